import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { SlipwayError } from '../../errors.ts'
import { cancelled } from '../../lib/cancel.ts'
import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from '../../lib/http/node.ts'
import { dialFailure } from '../../lib/http/get.ts'
import { knownAuthorities } from '../../lib/http/authorities.ts'
import { isLoopback } from '../../lib/http/loopback.ts'

export interface Trust {
  /** PEM certificates to trust; default: Node's and the system's. */
  ca?: string[] | undefined
  /** Client certificate and key, PEM. */
  cert?: string | undefined
  key?: string | undefined
  /** Do not verify the server. */
  insecure?: boolean | undefined
}
export interface HttpCall {
  method: string
  headers?: Record<string, string | number> | undefined
  /** What a stream has given is not looked at any more when it is asked for more. */
  body?: Uint8Array | AsyncIterable<Uint8Array> | undefined
  signal?: AbortSignal | undefined
  trust?: Trust | undefined
  /** Longest silence of a server that has been reached (ms); default: a minute. */
  idleMs?: number | undefined
}
export interface HttpAnswer {
  status: number
  /** What the server calls that status. */
  reason: string
  headers: IncomingMessage['headers']
  /** Without its transport encoding. Must be read or destroyed. */
  body: Readable
  url: URL
}

const idleMs = 60_000
/** A connection that was kept has been closed by the other end just as it was used again. */
const staleCodes: unknown[] = ['ECONNRESET', 'EPIPE']

/**
 * HTTP for a registry client: connections are kept, HTTP(S)_PROXY and NO_PROXY are honoured, a server that cannot be
 * reached is an 'unavailable' error after `connectMs`, one that goes silent after a minute. Follows no redirects.
 */
export class Http {
  readonly #plain = new HttpAgent({ keepAlive: true, proxyEnv: process.env })
  readonly #direct = new HttpAgent({ keepAlive: true })
  #secure = new Map<string, HttpsAgent>()
  readonly #connectMs: number

  constructor(connectMs: number) {
    this.#connectMs = connectMs
  }

  call(url: URL, call: HttpCall): Promise<HttpAnswer> {
    // A proxy's own loopback is not ours.
    const local = isLoopback(url.host)
    const plain = local ? this.#direct : this.#plain
    const agent = url.protocol === 'https:' ? this.#agentFor(call.trust ?? {}, local) : plain
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => reject(unreachable(url, call, error))
      const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(
        url,
        { method: call.method, headers: { 'User-Agent': 'slipway', ...call.headers }, agent, signal: call.signal },
        (message) => {
          const { statusCode = 0, statusMessage = '', headers } = message
          resolve({ status: statusCode, reason: statusMessage, headers, body: decoded(message), url })
        },
      )
      const giveUp = setTimeout(
        () => request.destroy(new SlipwayError('timeout', `no connection after ${this.#connectMs / 1000} s`)),
        this.#connectMs,
      )
      const connected = (): void => clearTimeout(giveUp)
      request.on('socket', (socket) => {
        if (socket.connecting) socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', connected)
        else connected()
      })
      request.once('close', connected)
      request.on('error', (error: NodeJS.ErrnoException) => {
        const stale = request.reusedSocket && staleCodes.includes(error.code) && !isStream(call.body)
        if (stale) this.call(url, call).then(resolve, reject)
        else fail(error)
      })
      request.setTimeout(call.idleMs ?? idleMs, () =>
        request.destroy(new SlipwayError('timeout', 'the server has gone silent')),
      )
      const { body } = call
      if (body === undefined || body instanceof Uint8Array) request.end(body)
      else send(body, request).catch((error: unknown) => request.destroy(error as Error))
    })
  }

  close(): void {
    this.#plain.destroy()
    this.#direct.destroy()
    for (const agent of this.#secure.values()) agent.destroy()
  }

  #agentFor(trust: Trust, local: boolean): HttpsAgent {
    const key = JSON.stringify([trust, local])
    const known = this.#secure.get(key)
    if (known) return known
    const agent = new HttpsAgent({
      keepAlive: true,
      ...(!local && { proxyEnv: process.env }),
      rejectUnauthorized: !trust.insecure,
      ca: trust.ca ?? knownAuthorities(),
      ...(trust.cert && { cert: trust.cert }),
      ...(trust.key && { key: trust.key }),
    })
    this.#secure.set(key, agent)
    return agent
  }
}

/** Each chunk is with the system before the next one is asked for. Ends with the request. */
const send = async (body: AsyncIterable<Uint8Array>, request: ClientRequest): Promise<void> => {
  let over = (): void => {}
  const closed = new Promise<void>((resolve) => (over = resolve))
  request.once('close', over)
  for await (const chunk of body) {
    if (request.destroyed) return
    await Promise.race([closed, new Promise<void>((resolve) => request.write(chunk, () => resolve()))])
  }
  request.end()
}

/** One that has been sent cannot be sent again. */
export const isStream = (body: HttpCall['body']): boolean => body !== undefined && !(body instanceof Uint8Array)

/** A failed call in docker's words. An abort stays what it is. */
const unreachable = (url: URL, call: HttpCall, error: unknown): unknown => {
  if (call.signal?.aborted) return cancelled(call.signal)
  const method = call.method[0] + call.method.slice(1).toLowerCase()
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const untrusted = /CERT|SELF_SIGNED|VERIFY/.test(code)
  const plain = code === 'EPROTO'
  return new SlipwayError(
    'unavailable',
    `${method} "${url.protocol}//${url.host}${url.pathname}": ${dialFailure(url, error)}`,
    {
      cause: error,
      hint: untrusted
        ? `Put the certificate of the registry's authority at /etc/slipway/certs.d/${url.host}/ca.crt.`
        : plain
          ? `If it is to be reached by http, name ${url.host} under "insecure" in /etc/slipway/registries.json.`
          : 'Check the network connection, name resolution and proxy settings.',
    },
  )
}

/** Some servers, or what stands before them, compress what nobody asked to be compressed. A part of that is no part of the content. */
const decoded = (message: IncomingMessage): Readable => {
  const encoding = message.headers['content-encoding']?.trim().toLowerCase()
  if (!/^(x-)?gzip$/.test(encoding ?? '') || message.statusCode === 206) return message
  return pipeline(message, createGunzip(), () => {}) // what fails is seen by who reads
}

/** At most `limit` bytes of an answer. */
export const readBody = async (answer: HttpAnswer, limit: number): Promise<Buffer> => {
  const parts: Buffer[] = []
  let size = 0
  try {
    for await (const part of answer.body as AsyncIterable<Buffer>) {
      size += part.length
      if (size > limit) throw new SlipwayError('invalid', `answer of ${answer.url.host} is larger than ${limit} bytes`)
      parts.push(part)
    }
  } catch (error) {
    if (error instanceof SlipwayError) throw error
    const cut = (error as NodeJS.ErrnoException).code === 'ECONNRESET'
    throw unreachable(answer.url, { method: 'GET' }, cut ? new Error('unexpected EOF', { cause: error }) : error)
  }
  return Buffer.concat(parts)
}
