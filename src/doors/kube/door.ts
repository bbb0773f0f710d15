/**
 * The Kubernetes API over HTTP: decode, one call of the API server, encode. REST goes over HTTP/2 or HTTP/1.1 on one TLS
 * port, upgrades (exec, port-forward …) over HTTP/1.1 on the same; a unix socket serves our own command line.
 */
import { rmSync } from 'node:fs'
import { createSecureServer, type Http2SecureServer } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { ApiServer } from '../../cluster/types.ts'
import { messageOf, SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from '../../lib/http/node.ts'
import type { Log } from '../../lib/log.ts'
import { statusOf } from '../../spec/kube/status.ts'
import {
  type Authenticator,
  cachedVerifier,
  createAuthenticator,
  type TokenVerifier,
  tokenReviewer,
} from './authenticate.ts'
import { type Exchange, send, sendJson, splitUrl } from './exchange.ts'
import { defaultVersion, handleGeneral, type VersionInfo } from './general.ts'
import { parsePath, type Target } from './paths.ts'
import { handleResource } from './resources.ts'
import { serveLogs } from './streams/logs.ts'
import { Upgrades } from './streams/upgrade.ts'

interface DoorTls {
  /** Signs client certificates; PEM. */
  ca: string
  /** The server's own; PEM. */
  cert: string
  key: string
}
interface KubeDoorDeps {
  api: ApiServer
  log: Log
  clock: Clock
  tls: DoorTls
  /** Verifies bearer tokens; default: the API server's TokenReview. */
  verifyToken?: TokenVerifier | undefined
  version?: VersionInfo | undefined
  /** What /readyz says; default: always ready. */
  ready?: (() => boolean) | undefined
}
interface TcpAddress {
  host: string
  port: number
  admits?: ((peer: string) => boolean) | undefined
}
interface KubeDoor {
  /**
   * Starts to listen: `tcp` with TLS, `socket` (a path; mode 0600, whoever can open it is system:admin) without.
   * Returns the port, which is a free one for port 0. May be called again for more addresses, e.g. one that pods reach.
   * `admits` says which peers may connect at all; default: any. 'conflict' when the address is in use.
   */
  listen(on: {
    tcp?: TcpAddress | undefined
    socket?: string | undefined
  }): Promise<{ port: number | undefined; url: string | undefined }>
  /** New certificates for connections from now on. */
  renew(tls: DoorTls): void
  /** Ends watches and streams, lets short requests finish (2 s at most), and closes. */
  close(): Promise<void>
}

const secureOptions = ({ ca, cert, key }: DoorTls) => ({ ca, cert, key, requestCert: true, rejectUnauthorized: false })

const listening = (server: Server | Http2SecureServer, start: () => void): Promise<void> =>
  new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      reject(error.code === 'EADDRINUSE' ? new SlipwayError('conflict', messageOf(error), { cause: error }) : error)
    server.once('error', failed)
    server.once('listening', () => {
      server.off('error', failed)
      resolve()
    })
    start()
  })

/** How long an HTTP/1.1 connection may lie idle, in ms. */
const keepAliveTimeout = 60_000
/** Anything else that asks for an upgrade (h2c, say) is answered as if it had not. */
const shouldUpgradeCallback = (request: IncomingMessage): boolean =>
  /^(websocket|spdy\/3\.1)$/i.test(request.headers.upgrade ?? '')

const isLog = (target: Extract<Target, { kind: 'resource' }>): boolean =>
  target.subresource === 'log' && target.resource === 'pods' && !target.group && !!target.namespace

class Door implements KubeDoor {
  readonly #deps: KubeDoorDeps
  readonly #verify: TokenVerifier
  readonly #closing = new AbortController()
  readonly #sockets = new Set<Socket>()
  readonly #upgrades: Upgrades
  readonly #secure: Http2SecureServer[] = []
  readonly #local: Server[] = []
  #active = 0

  constructor(deps: KubeDoorDeps) {
    this.#deps = deps
    this.#verify = cachedVerifier(deps.verifyToken ?? tokenReviewer(deps.api), deps.clock)
    this.#upgrades = new Upgrades(deps.api, deps.clock)
  }

  async listen(on: { tcp?: TcpAddress | undefined; socket?: string | undefined }) {
    const port = on.tcp && (await this.#listenTls(on.tcp))
    if (on.socket) await this.#listenLocal(on.socket)
    if (!on.tcp) return { port: undefined, url: undefined }
    const host = on.tcp.host === '0.0.0.0' || on.tcp.host === '::' ? '127.0.0.1' : on.tcp.host
    return { port, url: `https://${host.includes(':') ? `[${host}]` : host}:${port}` }
  }

  async #listenTls({ host, port, admits }: TcpAddress): Promise<number> {
    const server = createSecureServer({
      ...secureOptions(this.#deps.tls),
      allowHTTP1: true,
      // A client's hundred watches share one session; the default (10 MB) would refuse streams under long lists.
      maxSessionMemory: 1000,
      settings: { maxConcurrentStreams: 1000, initialWindowSize: 1024 * 1024 },
      // Clients cancel watches by resetting streams; that is no attack here.
      streamResetBurst: 10_000,
      streamResetRate: 1000,
    })
    // The HTTP/1.1 half has these as properties; the options of http2 do not reach it.
    Object.assign(server, { shouldUpgradeCallback, keepAliveTimeout })
    this.#secure.push(server)
    server.on('connection', (socket: Socket) => {
      if (admits && !admits(socket.remoteAddress ?? '')) return void socket.destroy()
      socket.setNoDelay(true)
      socket.setKeepAlive(true, 30_000) // a machine that vanished must not hold its watches for ever
      this.#track(socket)
    })
    server.on('session', (session) => session.on('error', () => session.destroy()))
    this.#attach(server as unknown as Server, createAuthenticator(this.#deps.api, this.#verify, false))
    await listening(server, () => server.listen(port, host))
    return (server.address() as AddressInfo).port
  }

  async #listenLocal(path: string): Promise<void> {
    const server = createServer({ keepAliveTimeout, shouldUpgradeCallback })
    this.#local.push(server)
    server.on('connection', (socket) => this.#track(socket))
    this.#attach(server, createAuthenticator(this.#deps.api, this.#verify, true))
    rmSync(path, { force: true }) // left by a daemon that was killed; the daemon's own lock keeps two apart
    await listening(server, () => {
      // The socket is made inside listen(): with this mask nobody else can ever open it.
      const mask = process.umask(0o177)
      try {
        server.listen(path)
      } finally {
        process.umask(mask)
      }
    })
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  #attach(server: Server, authenticate: Authenticator): void {
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void this.#serve(request, response, authenticate)
    })
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      void this.#upgrades.handle(request, socket, head, authenticate, this.#closing.signal)
    })
    server.on('clientError', (_error, socket) => socket.destroy())
  }

  async #serve(request: IncomingMessage, response: ServerResponse, authenticate: Authenticator): Promise<void> {
    const gone = new AbortController()
    response.once('close', () => gone.abort(new Error('the client has gone')))
    response.on('error', () => gone.abort(new Error('the client has gone')))
    const signal = AbortSignal.any([gone.signal, this.#closing.signal])
    this.#active++
    try {
      const { path, query } = splitUrl(request.url!)
      const user = await authenticate(request, path, signal)
      await this.#route({ request, response, path, query, user, signal })
    } catch (error) {
      await this.#refuse(request, response, error, signal)
    } finally {
      this.#active--
    }
  }

  async #route(exchange: Exchange): Promise<void> {
    const { api, clock, version = defaultVersion, ready = () => true } = this.#deps
    const { request, response } = exchange
    const target = parsePath(exchange.path)
    if (target.kind === 'resource' && this.#serves(target.group, target.version, target.resource)) {
      if (isLog(target)) await serveLogs(api, exchange, { namespace: target.namespace!, name: target.name! }, clock)
      else await handleResource(api, exchange, target, clock.random)
    } else if (target.kind === 'resource' || !(await handleGeneral(api, exchange, version, ready))) {
      await send(request, response, 404, 'text/plain; charset=utf-8', '404 page not found\n')
    }
  }

  #serves(group: string, version: string, resource: string): boolean {
    return this.#deps.api
      .resources()
      .some(({ kind }) => kind.plural === resource && kind.group === group && kind.version === version)
  }

  async #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    error: unknown,
    signal: AbortSignal,
  ): Promise<void> {
    if (response.headersSent || response.destroyed) {
      if (!signal.aborted) this.#deps.log.warn('answer broken off', { url: request.url, error: messageOf(error) })
      response.destroy()
      return
    }
    const status = statusOf(error)
    if (status.code >= 500 && !signal.aborted) {
      const fields = { method: request.method, url: request.url, error: messageOf(error) }
      this.#deps.log.error(
        'request failed',
        status.reason === 'InternalError' ? { ...fields, stack: (error as Error)?.stack } : fields,
      )
    }
    const retry = status.details?.retryAfterSeconds
    try {
      await sendJson(
        { request, response },
        status.code,
        status,
        retry === undefined ? {} : { 'retry-after': String(retry) },
      )
    } catch {
      response.destroy() // the client has gone meanwhile
    }
  }

  renew(tls: DoorTls): void {
    for (const server of this.#secure) server.setSecureContext(secureOptions(tls))
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the server is shutting down'))
    const servers = [...this.#secure, ...this.#local]
    const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    for (let waited = 0; this.#active > 0 && waited < 2000; waited += 20) await this.#deps.clock.sleep(20)
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }
}

export const createKubeDoor = (deps: KubeDoorDeps): KubeDoor => new Door(deps)
