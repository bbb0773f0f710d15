import type { Duplex } from 'node:stream'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import { readBody } from '../../lib/http/body.ts'
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as httpRequest,
  secure,
} from '../../lib/http/node.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { errorOfStatus, failure, type Status } from '../../spec/kube/status.ts'
import type { Credentials, HttpConfig } from './config.ts'

interface RequestOptions {
  query?: Record<string, string | string[] | undefined> | undefined
  body?: unknown
  contentType?: string | undefined
  signal?: AbortSignal | undefined
}
/** What a connection needs besides its address. */
interface ConnectionOptions {
  host?: string | undefined
  port?: number | undefined
  socketPath?: string | undefined
  headers: Record<string, string | string[]>
  tls: Record<string, unknown>
}

/** A list of ten thousand objects is some tens of megabytes. */
const answerLimit = 512 * 1024 * 1024
/** Idle connections are given up before servers usually do. In ms. */
const idleTimeout = 30_000

const search = (query: RequestOptions['query'] = {}): string => {
  const params = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) for (const v of [value ?? []].flat()) params.append(key, v)
  const text = params.toString()
  return text && `?${text}`
}

/** Requests to one API server: TLS, credentials, keep-alive, and errors as SlipwayErrors. */
export class Transport {
  readonly #config: HttpConfig
  readonly #secure: boolean
  readonly #url: URL
  readonly #agents = new Map<string, HttpAgent>()

  constructor(config: HttpConfig) {
    if (!config.socketPath && !config.server) throw new SlipwayError('bad-request', 'no server to connect to')
    this.#config = config
    this.#url = new URL(config.server ?? 'http://localhost')
    this.#secure = !config.socketPath && this.#url.protocol === 'https:'
  }

  /** The whole path of an API path, which begins with a slash. */
  pathOf(path: string, query?: RequestOptions['query']): string {
    return this.#url.pathname.replace(/\/$/, '') + path + search(query)
  }

  /** Host, TLS settings and identity for connections that are not plain requests. */
  async connection(again = false): Promise<ConnectionOptions> {
    const { config, credentials } = await this.#identity(again)
    const port = this.#url.port ? Number(this.#url.port) : this.#secure ? 443 : 80
    const host = this.#url.hostname.replace(/^\[|\]$/g, '')
    return {
      ...(config.socketPath ? { socketPath: config.socketPath } : { host, port }),
      headers: this.#headers(credentials),
      tls: this.#tls(credentials),
    }
  }
  get webSocketUrl(): string {
    if (this.#config.socketPath) return `ws+unix://${this.#config.socketPath}:`
    return `${this.#secure ? 'wss' : 'ws'}://${this.#url.host}`
  }

  async #identity(again: boolean): Promise<{ config: HttpConfig; credentials: Credentials }> {
    const config = this.#config
    const changing = await config.credentials?.(again)
    return { config, credentials: { token: config.token, cert: config.cert, key: config.key, ...changing } }
  }

  #headers({ token }: Credentials): Record<string, string | string[]> {
    const { basic, impersonate } = this.#config
    const headers: Record<string, string | string[]> = { 'user-agent': 'slipway' }
    if (token) headers.authorization = `Bearer ${token}`
    else if (basic) {
      headers.authorization = `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString('base64')}`
    }
    if (impersonate) {
      headers['impersonate-user'] = impersonate.user
      if (impersonate.groups?.length) headers['impersonate-group'] = impersonate.groups
      if (impersonate.uid) headers['impersonate-uid'] = impersonate.uid
      for (const [key, values] of Object.entries(impersonate.extra ?? {})) {
        headers[`impersonate-extra-${encodeURIComponent(key)}`] = values
      }
    }
    return headers
  }

  #tls({ cert, key }: Credentials): Record<string, unknown> {
    if (!this.#secure) return {}
    const { ca, insecureSkipTlsVerify, serverName } = this.#config
    return {
      ...(ca && { ca }),
      ...(cert && key && { cert, key }),
      ...(serverName && { servername: serverName }),
      ...(insecureSkipTlsVerify && { rejectUnauthorized: false }),
    }
  }

  #agent(tls: Record<string, unknown>): HttpAgent {
    const id = String(tls.cert ?? '')
    const known = this.#agents.get(id)
    if (known) return known
    const options = { keepAlive: true, timeout: idleTimeout, maxSockets: 256 }
    const agent = this.#secure ? new (secure().Agent)({ ...options, ...tls }) : new HttpAgent(options)
    for (const [old, stale] of this.#agents) {
      stale.destroy() // a rotated client certificate
      this.#agents.delete(old)
    }
    this.#agents.set(id, agent)
    return agent
  }

  /** Sends one request; resolves with the answer's head when it is 2xx, rejects with what a Status stands for otherwise. */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<IncomingMessage> {
    for (let attempt = 0; ; attempt++) {
      try {
        const response = await this.#once(method, path, options, attempt > 0)
        if (response.statusCode! < 300) return response
        const error = await errorOf(response)
        // A token may have expired since it was fetched: ask for a new one, once.
        if (isError(error, 'unauthorized') && this.#config.credentials && attempt === 0) continue
        throw error
      } catch (error) {
        const stale = method === 'GET' && attempt === 0 && (error as { stale?: boolean }).stale
        if (!stale) throw error
      }
    }
  }

  async #once(method: string, path: string, options: RequestOptions, again: boolean): Promise<IncomingMessage> {
    options.signal?.throwIfAborted()
    const { host, port, socketPath, headers, tls } = await this.connection(again)
    const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body))
    return new Promise((resolve, reject) => {
      const request: ClientRequest = (this.#secure ? secure().request : httpRequest)({
        method,
        host,
        port,
        ...(socketPath && { socketPath, servername: '' }),
        path: this.pathOf(path, options.query),
        agent: this.#agent(tls),
        signal: options.signal,
        headers: {
          accept: 'application/json',
          ...headers,
          ...(body && { 'content-type': options.contentType ?? 'application/json', 'content-length': body.length }),
        },
      })
      request.once('response', (response) => {
        // A broken connection shows when the body is read; without a listener it would end the process.
        response.on('error', () => {})
        resolve(response)
      })
      request.once('error', (error) => reject(this.#unreachable(error, request)))
      request.end(body)
    })
  }

  #unreachable(error: Error, request: ClientRequest): unknown {
    if (error.name === 'AbortError') return error.cause ?? error
    const code = (error as NodeJS.ErrnoException).code ?? ''
    const where = this.#config.socketPath ?? this.#url.host
    const failed = new SlipwayError('unavailable', `Unable to connect to the server: ${where}: ${messageOf(error)}`, {
      cause: error,
      hint: /CERT|SIGNATURE|SELF_SIGNED|ALTNAME/.test(code)
        ? 'The server’s certificate is not trusted; check certificate-authority in the kubeconfig.'
        : 'Is the cluster running, and does the context name the right server?',
    })
    // The server closed an idle connection just as it was used again: nothing was processed.
    return Object.assign(failed, { stale: request.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE') })
  }

  async json<T = KubeObject>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const body = await this.#read(await this.send(method, path, options))
    try {
      return JSON.parse(body.toString('utf8')) as T
    } catch (cause) {
      throw new SlipwayError('internal', `the server's answer to ${method} ${path} is no JSON`, { cause })
    }
  }
  #read(response: IncomingMessage): Promise<Buffer> {
    return readBody(response, answerLimit, () => new SlipwayError('internal', 'the answer is too long')).catch(
      (error: Error) => {
        throw isError(error)
          ? error
          : new SlipwayError('unavailable', `connection lost: ${messageOf(error)}`, { cause: error })
      },
    )
  }

  /** Asks to leave HTTP for SPDY/3.1; resolves with the raw connection. */
  async upgradeToSpdy(path: string, protocol: string, query?: RequestOptions['query']): Promise<Duplex> {
    const { host, port, socketPath, headers, tls } = await this.connection()
    return new Promise((resolve, reject) => {
      const request = (this.#secure ? secure().request : httpRequest)({
        method: 'POST',
        host,
        port,
        ...(socketPath && { socketPath, servername: '' }),
        path: this.pathOf(path, query),
        agent: false,
        ...tls,
        headers: {
          ...headers,
          connection: 'Upgrade',
          upgrade: 'SPDY/3.1',
          'x-stream-protocol-version': protocol,
          'content-length': 0,
        },
      })
      request.once('upgrade', (_response, socket, head) => {
        if (head.length) socket.unshift(head)
        resolve(socket)
      })
      request.once('response', (response) => {
        errorOf(response).then(reject, reject)
      })
      request.once('error', (error) => reject(this.#unreachable(error, request)))
      request.end()
    })
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy()
  }
}

/** The error an answer of 3xx and up stands for; reads its body. */
export const errorOf = async (response: IncomingMessage): Promise<SlipwayError> => {
  const code = response.statusCode!
  const text = (
    await readBody(response, 1024 * 1024, () => new Error('too long')).catch(() => Buffer.alloc(0))
  ).toString('utf8')
  try {
    const status = JSON.parse(text) as Status
    if (status.kind === 'Status') return errorOfStatus(status)
  } catch {
    // No Status: a proxy's page or the plain text of an unknown path.
  }
  const said = code === 404 ? 'the server could not find the requested resource' : text.trim().slice(0, 200)
  return errorOfStatus(failure(code, '', said || `the server answered ${code} ${response.statusMessage ?? ''}`.trim()))
}
