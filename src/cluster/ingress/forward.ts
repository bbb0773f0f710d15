import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from '../../lib/http/node.ts'
import type { Upstream } from './upstreams.ts'

const connectMs = 2000
/** Between us and one side only (RFC 9110 §7.6.1); an upgrade is passed on on purpose. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'te',
  'trailer',
  'upgrade',
])

const remove = (raw: readonly string[], names: ReadonlySet<string>): string[] => {
  const kept: string[] = []
  for (let i = 0; i < raw.length; i += 2) if (!names.has(raw[i]!.toLowerCase())) kept.push(raw[i]!, raw[i + 1]!)
  return kept
}
/** Those the Connection header names are between us and the client as well. */
const dropped = ({ headers }: IncomingMessage, more: readonly string[] = []): Set<string> =>
  new Set([
    ...hopByHop,
    ...more,
    ...(headers.connection ?? '')
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  ])

/** What the application is told of the client. What clients claim themselves is not passed on: anybody can claim anything. */
const forwarded = (incoming: IncomingMessage, port: number): string[] => {
  const secure = (incoming.socket as TLSSocket).encrypted === true
  const client = (incoming.socket.remoteAddress ?? '').replace(/^::ffff:/, '')
  return [
    ...['X-Forwarded-For', client, 'X-Real-IP', client],
    ...['X-Forwarded-Proto', secure ? 'https' : 'http', 'X-Forwarded-Port', String(port)],
    ...['X-Forwarded-Host', incoming.headers.host ?? ''],
  ]
}
const claimed = [
  'x-forwarded-for',
  'x-real-ip',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-forwarded-host',
  'forwarded',
]

const requestHeaders = (incoming: IncomingMessage, port: number, upgrade: boolean): string[] => [
  ...remove(incoming.rawHeaders, dropped(incoming, claimed)),
  ...forwarded(incoming, port),
  ...(upgrade ? ['Connection', 'Upgrade', 'Upgrade', incoming.headers.upgrade!] : []),
]

const send = (incoming: IncomingMessage, upstream: Upstream, port: number, upgrade: boolean): ClientRequest =>
  request({
    host: upstream.target.address,
    port: upstream.target.port,
    method: incoming.method ?? 'GET',
    path: incoming.url ?? '/',
    headers: requestHeaders(incoming, port, upgrade),
    setHost: false,
    ...(upgrade ? {} : { agent: upstream.agent }),
  })

const plain = (response: ServerResponse, status: number, text: string): void => {
  if (response.headersSent) return void response.destroy()
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(text) + 1,
  })
  response.end(`${text}\n`)
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'

/** Resolves when connected (at once on a kept connection); rejects when that fails. */
const connected = (outgoing: ClientRequest): Promise<void> =>
  new Promise((resolve, reject) => {
    outgoing.once('error', reject)
    outgoing.once('socket', (socket) => {
      if (!socket.connecting) return resolve()
      const timer = setTimeout(() => outgoing.destroy(new Error('connect timeout')), connectMs)
      socket.once('connect', () => {
        clearTimeout(timer)
        resolve()
      })
      socket.once('close', () => clearTimeout(timer))
    })
    // Without this the request would not ask for its socket before there is something to send.
    outgoing.flushHeaders()
  })

type Outcome = 'done' | 'try-another'

/** One attempt. 'try-another' only while nothing of the request's body has gone and nothing has come back. */
const attempt = async (
  incoming: IncomingMessage,
  response: ServerResponse,
  upstream: Upstream,
  port: number,
): Promise<Outcome> => {
  const outgoing = send(incoming, upstream, port, false)
  const end = upstream.begin()
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const body = hasBody(incoming)
  let answered = false
  const abandon = (): void => void outgoing.destroy()
  response.once('close', abandon)
  outgoing.on('response', (answer) => {
    answered = true
    const headers = remove(answer.rawHeaders, dropped(answer, ['transfer-encoding']))
    response.writeHead(answer.statusCode!, answer.statusMessage, headers)
    answer.pipe(response)
    answer.once('error', () => response.destroy())
    answer.once('close', () => resolve('done'))
  })
  try {
    await connected(outgoing)
    outgoing.on('error', () => {
      // A kept connection may have been closed at the very moment it was used: a request without a body can go again.
      if (!answered && outgoing.reusedSocket && !body && !response.destroyed) return resolve('try-another')
      if (!answered && !response.destroyed) plain(response, 502, 'bad gateway: the application closed the connection')
      else response.destroy()
      resolve('done')
    })
    if (body) incoming.pipe(outgoing)
    else outgoing.end()
    return await promise
  } catch {
    return response.destroyed ? 'done' : 'try-another'
  } finally {
    response.off('close', abandon)
    end()
  }
}

/** Passes a request to the first endpoint that can be reached. */
export const forwardRequest = async (
  incoming: IncomingMessage,
  response: ServerResponse,
  upstreams: readonly Upstream[],
  port: number,
): Promise<void> => {
  if (upstreams.length === 0) return plain(response, 503, 'service unavailable: no endpoint is ready')
  // The first one is tried again at the end: its kept connection may have been the only thing that was stale.
  for (const upstream of [...upstreams, upstreams[0]!])
    if ((await attempt(incoming, response, upstream, port)) === 'done') return
  plain(response, 502, 'bad gateway: no endpoint could be reached')
}

export const answerPlain = plain

const head = (status: number, message: string, rawHeaders: readonly string[]): string => {
  const lines = [`HTTP/1.1 ${status} ${message}`]
  for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** WebSockets and other upgrades: after the application has agreed, bytes go both ways as they are. */
export const forwardUpgrade = async (
  incoming: IncomingMessage,
  socket: Duplex,
  first: Buffer,
  upstreams: readonly Upstream[],
  port: number,
): Promise<void> => {
  socket.on('error', () => socket.destroy())
  for (const upstream of upstreams) {
    const outgoing = send(incoming, upstream, port, true)
    const { promise, resolve } = Promise.withResolvers<void>()
    outgoing.on('upgrade', (answer, upstreamSocket, rest) => {
      socket.write(head(101, answer.statusMessage ?? 'Switching Protocols', answer.rawHeaders))
      if (rest.length > 0) socket.write(rest)
      if (first.length > 0) upstreamSocket.write(first)
      upstreamSocket.on('error', () => socket.destroy())
      socket.once('close', () => upstreamSocket.destroy())
      upstreamSocket.once('close', () => socket.destroy())
      upstreamSocket.pipe(socket).pipe(upstreamSocket)
      resolve()
    })
    outgoing.on('response', (answer) => {
      // Refused: its body as it comes, and the end of the connection as its end.
      const headers = remove(answer.rawHeaders, dropped(answer, ['transfer-encoding']))
      socket.write(head(answer.statusCode!, answer.statusMessage ?? '', [...headers, 'Connection', 'close']))
      answer.pipe(socket)
      resolve()
    })
    try {
      await connected(outgoing)
    } catch {
      continue
    }
    outgoing.on('error', () => {
      socket.destroy()
      resolve()
    })
    outgoing.end()
    return await promise
  }
  socket.end(head(upstreams.length === 0 ? 503 : 502, 'Bad Gateway', ['Connection', 'close', 'Content-Length', '0']))
}
