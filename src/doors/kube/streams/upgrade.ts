/** Requests that leave HTTP: exec, attach and port-forward, over WebSocket or SPDY/3.1. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket, WebSocketServer } from 'ws'
import type { ApiServer, User } from '../../../cluster/types.ts'
import type { Clock } from '../../../lib/clock.ts'
import { statusError, statusOf } from '../../../spec/kube/status.ts'
import type { Authenticator } from '../authenticate.ts'
import { splitUrl } from '../exchange.ts'
import { parsePath } from '../paths.ts'
import { badRequest, noSuchResource } from '../refusals.ts'
import { serveCommand } from './command.ts'
import { chooseContainer, podForStream, requireRunning } from './pod.ts'
import { portChannelProtocols, portsOf, servePortChannels } from './port-channels.ts'
import { portForwardProtocol, servePortForward } from './port-forward.ts'
import { spdyCommand, spdyProtocols } from './spdy-command.ts'
import { channelProtocols, webSocketCommand } from './websocket.ts'

const tunnelProtocol = `SPDY/3.1+${portForwardProtocol}`

interface Upgrade {
  request: IncomingMessage
  socket: Duplex
  head: Buffer
  query: URLSearchParams
  signal: AbortSignal
  /** HTTP has been left: errors can no longer be answered. */
  switched: boolean
}
type StreamName = 'exec' | 'attach' | 'portforward'

const reasonPhrases: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}
/** Answers an upgrade with an error and closes. */
const refuse = (socket: Duplex, error: unknown): void => {
  const status = statusOf(error)
  const body = JSON.stringify(status) + '\n'
  if (socket.destroyed) return
  socket.end(
    `HTTP/1.1 ${status.code} ${reasonPhrases[status.code] ?? 'Error'}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

const list = (value: string | string[] | undefined): string[] =>
  [value ?? []]
    .flat()
    .flatMap((v) => v.split(','))
    .map((v) => v.trim())
    .filter(Boolean)
const choose = (offered: string[], supported: readonly string[]): string => {
  const chosen = supported.find((p) => offered.includes(p))
  if (chosen) return chosen
  const shown = (names: readonly string[]): string => `[${names.join(' ')}]`
  throw statusError(
    'forbidden',
    `unable to upgrade: unable to negotiate protocol: client supports ${shown(offered)}, server accepts ${shown(supported)}`,
  )
}

const flag = (query: URLSearchParams, key: string): boolean => /^(1|t|true)$/i.test(query.get(key) ?? '')
const streamsOf = (query: URLSearchParams) => {
  const tty = flag(query, 'tty')
  const wants = {
    stdin: flag(query, 'stdin'),
    stdout: flag(query, 'stdout'),
    stderr: flag(query, 'stderr') && !tty,
    tty,
  }
  if (!wants.stdin && !wants.stdout && !wants.stderr) {
    throw badRequest('you must specify at least 1 of stdin, stdout, stderr')
  }
  return wants
}

/** Performs upgrades for one door. ws is loaded with the first. */
export class Upgrades {
  readonly #api: ApiServer
  readonly #clock: Clock
  #webSockets: Promise<WebSocketServer> | undefined

  constructor(api: ApiServer, clock: Clock) {
    this.#api = api
    this.#clock = clock
  }

  /** Handles an 'upgrade' event to its end. Never rejects: refusals go to the client. */
  async handle(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    authenticate: Authenticator,
    closing: AbortSignal,
  ): Promise<void> {
    socket.on('error', () => socket.destroy())
    const { path, query } = splitUrl(request.url!)
    const gone = new AbortController()
    socket.once('close', () => gone.abort(new Error('the client has gone')))
    const signal = AbortSignal.any([gone.signal, closing])
    const upgrade: Upgrade = { request, socket, head, query, signal, switched: false }
    try {
      const user = await authenticate(request, path, signal)
      const target = parsePath(path)
      if (
        target.kind !== 'resource' ||
        target.group ||
        target.resource !== 'pods' ||
        !target.namespace ||
        !target.name
      ) {
        throw noSuchResource()
      }
      const name = target.subresource as StreamName
      if (name !== 'exec' && name !== 'attach' && name !== 'portforward') throw noSuchResource()
      const key = { namespace: target.namespace, name: target.name }
      if (name === 'portforward') await this.#portForward(upgrade, user, key)
      else await this.#command(upgrade, user, key, name)
    } catch (error) {
      if (upgrade.switched) socket.destroy()
      else refuse(socket, error)
    }
  }

  async #command(
    upgrade: Upgrade,
    user: User,
    key: { namespace: string; name: string },
    name: 'exec' | 'attach',
  ): Promise<void> {
    const { request, query } = upgrade
    const wants = streamsOf(query)
    const command = query.getAll('command')
    if (name === 'exec' && command.length === 0) throw badRequest('you must specify at least 1 command')
    const pod = await podForStream(this.#api, user, key, name)
    const container = chooseContainer(pod, query.get('container') || undefined)
    requireRunning(pod, container)
    const nodes = this.#api.nodes()
    const options = { container, ...wants }
    let streams: Awaited<ReturnType<typeof spdyCommand>>
    if (isWebSocket(request)) {
      const { webSocket, protocol } = await this.#webSocket(upgrade, channelProtocols)
      streams = webSocketCommand(webSocket, protocol, wants)
    } else {
      const protocol = choose(list(request.headers['x-stream-protocol-version']), spdyProtocols)
      streams = await spdyCommand(switchToSpdy(upgrade, protocol), protocol, wants)
    }
    const start = () => (name === 'exec' ? nodes.exec(pod, { ...options, command }) : nodes.attach(pod, options))
    await serveCommand(streams, start, this.#clock)
  }

  async #portForward(upgrade: Upgrade, user: User, key: { namespace: string; name: string }): Promise<void> {
    const pod = await podForStream(this.#api, user, key, 'portforward')
    requireRunning(pod)
    const nodes = this.#api.nodes()
    let transport: Duplex
    const connect = (port: number): Promise<Duplex> => nodes.portForward(pod, port)
    if (isWebSocket(upgrade.request)) {
      const ports = list(upgrade.request.headers['sec-websocket-protocol']).includes(tunnelProtocol)
        ? []
        : portsOf(upgrade.query)
      const { webSocket, protocol } = await this.#webSocket(upgrade, [tunnelProtocol, ...portChannelProtocols])
      if (protocol !== tunnelProtocol) {
        await servePortChannels(webSocket, protocol, ports, connect)
        return
      }
      const { createWebSocketStream } = await import('ws')
      transport = createWebSocketStream(webSocket)
    } else {
      choose(list(upgrade.request.headers['x-stream-protocol-version']), [portForwardProtocol])
      transport = switchToSpdy(upgrade, portForwardProtocol)
    }
    await servePortForward(transport, connect, upgrade.signal)
  }

  /** The WebSocket and its subprotocol, once the handshake is done. */
  async #webSocket(
    upgrade: Upgrade,
    supported: readonly string[],
  ): Promise<{ webSocket: WebSocket; protocol: string }> {
    const { request, socket, head } = upgrade
    const offered = list(request.headers['sec-websocket-protocol']).filter((p) => !p.startsWith('base64url.bearer.'))
    const protocol = offered.length ? choose(offered, supported) : ''
    const server = await (this.#webSockets ??= createWebSocketServer())
    // ws refuses names with a slash (RFC 6455 wants tokens), which Kubernetes uses all the same: it must not see them.
    delete request.headers['sec-websocket-protocol']
    const addProtocol = (headers: string[], asking: IncomingMessage): void => {
      if (asking === request && protocol) headers.push(`Sec-WebSocket-Protocol: ${protocol}`)
    }
    server.on('headers', addProtocol)
    upgrade.switched = true // from here on ws answers, refusals of the handshake too
    try {
      return await new Promise((resolve, reject) => {
        socket.once('close', () => reject(new Error('the client has gone')))
        server.handleUpgrade(request, socket, head, (webSocket) => resolve({ webSocket, protocol }))
      })
    } finally {
      server.off('headers', addProtocol)
    }
  }
}

const createWebSocketServer = async (): Promise<WebSocketServer> => {
  const { WebSocketServer } = await import('ws')
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 32 * 1024 * 1024 })
  server.setMaxListeners(0) // one for each handshake under way
  return server
}

const isWebSocket = (request: IncomingMessage): boolean => /^websocket$/i.test(request.headers.upgrade ?? '')

/** Answers 101 and hands over the connection, what came with the request first. */
const switchToSpdy = (upgrade: Upgrade, protocol: string): Duplex => {
  const { request, socket, head } = upgrade
  if (!/^spdy\/3\.1$/i.test(request.headers.upgrade ?? '')) throw badRequest('Upgrade request required')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n` +
      `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  )
  upgrade.switched = true
  if (head.length) socket.unshift(head)
  return socket
}
