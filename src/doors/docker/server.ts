/** HTTP for the Docker Engine API: versions in the path, Docker's error shape, and connections that are taken over. */
import { chmodSync, chownSync, readFileSync } from 'node:fs'
import { type Duplex, PassThrough, type Readable } from 'node:stream'
import type { WebSocket } from 'ws'
import { type ErrorCode, isError, messageOf, SlipwayError } from '../../errors.ts'
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  statusTexts,
} from '../../lib/http/node.ts'
import type { Log } from '../../lib/log.ts'
import { checkContentType, parseBody } from './json-body.ts'
import { fit, type Shape } from '../../lib/shape.ts'
import { isJson, takeChunks } from './upgrade-body.ts'

export const apiVersion = '1.50'
export const minApiVersion = '1.24'

export interface Exchange {
  method: string
  /** Without version prefix and query. */
  path: string
  params: Record<string, string>
  query: URLSearchParams
  headers: IncomingMessage['headers']
  /** The request's body as it comes. Whoever stops reading half-way ends this stream, not the connection. */
  upload(): Readable
  /** Resolves when the whole body has come: a client that is answered before ends, and breaks the pipe it reads from. */
  drained(): Promise<void>
  /** [1, 50] for /v1.50; the newest without one. */
  version: readonly [number, number]
  /** Aborted when the client hangs up. */
  signal: AbortSignal
  /** The request's JSON; {} for an empty body. */
  json<T>(shape?: Shape): Promise<T>
  /** The JSON of a request that is taken over next, by its Content-Length: what follows belongs to the connection. */
  upgradeBody(): Promise<unknown>
  send(status: number, body?: unknown, headers?: Record<string, string>): void
  /** Headers out at once; what is written later follows in chunks. */
  stream(status: number, contentType: string, headers?: Record<string, string>): ServerResponse
  /** Takes the connection over, after answering 101 (or 200 to clients that did not ask for an upgrade). */
  hijack(contentType: string): Duplex
  /** Takes the connection over as a WebSocket, whatever its origin or subprotocol. */
  webSocket(): Promise<WebSocket>
}
export type Handler = (exchange: Exchange) => Promise<void> | void
export interface Route {
  method: string
  pattern: RegExp
  names: string[]
  handler: Handler
}

/** `:id` is one segment; `:name*` takes slashes as well (image names). */
export const route = (method: string, path: string, handler: Handler): Route => {
  const names: string[] = []
  const source = path.replace(/:(\w+)(\*)?/g, (_, name: string, many: string | undefined) => {
    names.push(name)
    return many ? '(.+)' : '([^/]+)'
  })
  return { method, pattern: new RegExp(`^${source}$`), names, handler }
}

const statuses: Record<ErrorCode, number> = {
  'not-found': 404,
  'already-exists': 409,
  conflict: 409,
  invalid: 400,
  'bad-request': 400,
  precondition: 412,
  unauthorized: 401,
  forbidden: 403,
  expired: 410,
  'too-many-requests': 429,
  unsupported: 501,
  unavailable: 503,
  'no-space': 500,
  timeout: 500,
  cancelled: 499,
  internal: 500,
}
export const statusOf = (error: unknown): number => (isError(error) ? statuses[error.code] : 500)
/** The hint goes along: docker prints the message as it is. */
export const textOf = (error: unknown): string =>
  isError(error) && error.hint ? `${error.message}\n${error.hint}` : messageOf(error)

export const createDockerServer = (routes: readonly Route[], log: Log, about: Record<string, string>) => {
  const server: Server = createServer({
    maxHeaderSize: 1024 * 1024,
    keepAliveTimeout: 120_000,
    requestTimeout: 0,
    headersTimeout: 60_000,
  })
  const serve = (req: IncomingMessage, res: ServerResponse | undefined, socket: Duplex, head: Buffer): void => {
    const target = new Target(req, res, socket, head, about)
    dispatch(routes, target).catch((error: unknown) => {
      if (statusOf(error) >= 500 && !target.signal.aborted)
        log.error('request failed', {
          request: `${req.method} ${req.url}`,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        })
      target.fail(error)
    })
  }
  server.on('request', (req, res) => serve(req, res, req.socket, Buffer.alloc(0)))
  server.on('upgrade', (req, socket, head) => serve(req, undefined, socket, head))
  server.on('clientError', (_error, socket) => socket.destroy())
  return {
    /** `fd` is bound at `path`, for root alone. */
    listen: (path: string, fd: number): Promise<void> =>
      new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen({ fd }, () => {
          shareWithDockerGroup(path)
          resolve()
        })
      }),
    close: (): void => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** root:docker 0660 where that group exists, as dockerd does. */
const shareWithDockerGroup = (path: string): void => {
  const group = /^docker:[^:]*:(\d+):/m.exec(readFileSync('/etc/group', 'utf8'))?.[1]
  if (group) chownSync(path, 0, Number(group))
  chmodSync(path, 0o660)
}

const dispatch = async (routes: readonly Route[], target: Target): Promise<void> => {
  const { method } = target
  if (method === 'OPTIONS') return target.send(200)
  for (const one of routes) {
    const match = one.pattern.exec(target.path)
    if (!match) continue
    if (one.method !== method && !(one.method === 'GET' && method === 'HEAD')) continue
    target.params = Object.fromEntries(one.names.map((name, i) => [name, decodeURIComponent(match[i + 1]!)]))
    checkVersion(target.version)
    return one.handler(target)
  }
  // Also where another method is served there, as dockerd does.
  throw new SlipwayError('not-found', 'page not found')
}

const checkVersion = ([major, minor]: readonly [number, number]): void => {
  const least = Number(minApiVersion.split('.')[1])
  const most = Number(apiVersion.split('.')[1])
  if (major !== 1 || minor > most)
    throw new SlipwayError(
      'bad-request',
      `client version ${major}.${minor} is too new. Maximum supported API version is ${apiVersion}`,
    )
  // docker-compose with files of version 1 pins 1.21; the answers are those of 1.24, which it reads.
  if (minor < 21 && minor < least)
    throw new SlipwayError(
      'bad-request',
      `client version ${major}.${minor} is too old. Minimum supported API version is ${minApiVersion}, please upgrade your client to a newer version`,
    )
}

/** Of what has to be held in memory as a whole; archives and build contexts stream. */
const largestJson = 32 << 20
const tooLarge = (): SlipwayError => new SlipwayError('bad-request', 'http: request body too large')

class Target implements Exchange {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly version: readonly [number, number]
  readonly #req: IncomingMessage
  params: Record<string, string> = {}
  readonly #abort = new AbortController()
  readonly #res: ServerResponse | undefined
  readonly #socket: Duplex
  #head: Buffer
  readonly #about: Record<string, string>
  #taken = false

  constructor(
    req: IncomingMessage,
    res: ServerResponse | undefined,
    socket: Duplex,
    head: Buffer,
    about: Record<string, string>,
  ) {
    this.#req = req
    this.#res = res
    this.#socket = socket
    this.#head = head
    this.#about = about
    this.method = req.method ?? 'GET'
    this.headers = req.headers
    const [path, query] = (req.url ?? '/').split('?', 2)
    const match = /^\/v(\d+)\.(\d+)(\/.*)$/.exec(path!)
    this.version = match ? [Number(match[1]), Number(match[2])] : [1, Number(apiVersion.split('.')[1])]
    this.path = match ? match[3]! : path!
    this.query = new URLSearchParams(query ?? '')
    const gone = (): void => {
      if (!res?.writableFinished) this.#abort.abort(new SlipwayError('cancelled', 'the client went away'))
    }
    if (res) res.on('close', gone)
    else socket.on('close', gone)
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  async json<T>(shape: Shape = 'any'): Promise<T> {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of this.#req) {
      size += (chunk as Buffer).length
      if (size > largestJson) throw tooLarge()
      chunks.push(chunk as Buffer)
    }
    const body = Buffer.concat(chunks)
    checkContentType(this.headers['content-type'], body.length)
    return fit(shape, parseBody(body.toString()))
  }

  async upgradeBody(): Promise<unknown> {
    // Without "Connection: Upgrade" it is a request as any other to the parser, which has the body.
    if (this.#res) return await this.json()
    const text = this.#chunked ? await this.#chunkedText() : await this.#textOfLength()
    checkContentType(this.headers['content-type'], text.length)
    return parseBody(text)
  }

  async #textOfLength(): Promise<string> {
    const length = Number(this.headers['content-length'] ?? 0)
    if (length > largestJson) throw tooLarge()
    while (this.#head.length < length) await this.#readMore()
    const text = this.#head.subarray(0, length).toString()
    this.#head = this.#head.subarray(length)
    return text
  }

  get #chunked(): boolean {
    return /\bchunked$/i.test(this.headers['transfer-encoding'] ?? '')
  }

  async #chunkedText(): Promise<string> {
    for (let text = ''; ; await this.#readMore()) {
      const { body, rest, ended } = takeChunks(this.#head)
      text += body.toString()
      this.#head = rest
      if (ended || isJson(text)) return text
      if (text.length + rest.length > largestJson) throw tooLarge()
    }
  }

  async #readMore(): Promise<void> {
    const more = await new Promise<Buffer>((resolve, reject) => {
      const cut = (): void => reject(new SlipwayError('bad-request', 'unexpected EOF'))
      this.#socket.once('end', cut)
      this.#socket.once('data', (chunk: Buffer) => {
        this.#socket.pause()
        this.#socket.off('end', cut)
        resolve(chunk)
      })
      this.#socket.resume()
    })
    this.#head = Buffer.concat([this.#head, more])
  }

  async drained(): Promise<void> {
    const req = this.#req
    if (req.complete || req.destroyed) return
    req.unpipe()
    req.resume()
    await new Promise<void>((go) => void req.once('end', go).once('close', go))
  }

  upload(): Readable {
    const body = new PassThrough()
    body.on('error', () => {}) // seen by whoever reads it
    body.once('close', () => {
      this.#req.unpipe(body)
      this.#req.resume()
    })
    this.#req.once('aborted', () => body.destroy(new SlipwayError('bad-request', 'unexpected EOF')))
    return this.#req.pipe(body)
  }

  send(status: number, body?: unknown, headers: Record<string, string> = {}): void {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : `${JSON.stringify(body)}\n`
    const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json'
    const all = {
      ...this.#about,
      ...(text === undefined ? {} : { 'Content-Type': type, 'Content-Length': String(Buffer.byteLength(text)) }),
      ...headers,
    }
    if (this.#res) {
      this.#res.writeHead(status, all)
      this.#res.end(this.method === 'HEAD' ? undefined : text)
      return
    }
    const lines = Object.entries(all).map(([k, v]) => `${k}: ${v}\r\n`)
    this.#socket.end(
      `HTTP/1.1 ${status} ${statusTexts[status] ?? status}\r\n${lines.join('')}Connection: close\r\n\r\n${text ?? ''}`,
    )
  }

  stream(status: number, contentType: string, headers: Record<string, string> = {}): ServerResponse {
    if (!this.#res) throw new SlipwayError('bad-request', 'this request cannot be upgraded')
    this.#res.writeHead(status, { ...this.#about, 'Content-Type': contentType, ...headers })
    this.#res.flushHeaders()
    return this.#res
  }

  hijack(contentType: string): Duplex {
    this.#taken = true
    const upgrade = this.headers.upgrade
    const first = upgrade
      ? `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}`
      : `HTTP/1.1 200 OK\r\nContent-Type: ${contentType}`
    if (this.#res) {
      // No upgrade was asked for: the socket still belongs to the HTTP parser, which must let go of it.
      this.#res.detachSocket(this.#socket as never)
      this.#socket.removeAllListeners('data')
      this.#socket.removeAllListeners('end')
      this.#socket.removeAllListeners('close')
      this.#socket.on('close', () => this.#abort.abort())
    }
    this.#socket.on('error', () => {}) // 'close' follows
    const extra = Object.entries(this.#about).map(([k, v]) => `\r\n${k}: ${v}`)
    this.#socket.write(`${first}${extra.join('')}\r\n\r\n`)
    // The end of a body that was sent in chunks is no input.
    if (this.#chunked) this.#head = takeChunks(this.#head).rest
    if (this.#head.length > 0) this.#socket.unshift(this.#head)
    return this.#socket
  }

  async webSocket(): Promise<WebSocket> {
    if (!/^websocket$/i.test(this.headers.upgrade ?? ''))
      throw new SlipwayError('bad-request', 'not websocket protocol')
    const { WebSocketServer } = await import('ws')
    const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 32 * 1024 * 1024 })
    this.#taken = true // from here on ws answers, refusals of the handshake too
    return new Promise((resolve, reject) => {
      this.#socket.once('close', () => reject(new SlipwayError('cancelled', 'the client went away')))
      server.handleUpgrade(this.#req, this.#socket, this.#head, resolve)
    })
  }

  fail(error: unknown): void {
    if (this.#taken || this.#res?.headersSent) {
      this.#socket.destroy()
      return
    }
    if (this.signal.aborted) return
    this.send(statusOf(error), { message: textOf(error) })
    this.#req.resume() // an upload that was refused is not read, only drained
  }
}
