import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { Socket } from 'node:net'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { User } from '../../cluster/types.ts'

/** One request and its answer; HTTP/1.1 and HTTP/2 look the same here (Node's compatibility API). */
export interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  path: string
  query: URLSearchParams
  user: User
  /** Aborted when the client has gone or the door closes. */
  signal: AbortSignal
}

/** The connection a request came by. */
export const socketOf = (request: IncomingMessage): Socket =>
  ((request as unknown as Http2ServerRequest).stream?.session?.socket as Socket | undefined) ?? request.socket

export const splitUrl = (url: string): { path: string; query: URLSearchParams } => {
  const at = url.indexOf('?')
  return at < 0
    ? { path: url, query: new URLSearchParams() }
    : { path: url.slice(0, at), query: new URLSearchParams(url.slice(at + 1)) }
}

const compress = promisify(gzip)
/** Answers smaller than this are never compressed (as k8s.io/apiserver). */
const compressFrom = 128 * 1024

/** `299 - "text"` as k8s.io/apimachinery writes it, one header value per warning. */
export const warningHeader = (text: string): string =>
  `299 - "${text
    .replace(/[\r\n]+/g, ' ')
    .replace(/[^\x20-\x7e]/g, '?')
    .replace(/([\\"])/g, '\\$1')}"`

/** Sends a whole answer. */
export const send = async (
  request: Pick<IncomingMessage, 'method'> & { headers: IncomingHttpHeaders },
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string | Buffer,
  headers: Record<string, string | string[]> = {},
): Promise<void> => {
  let bytes = typeof body === 'string' ? Buffer.from(body) : body
  const zipped = bytes.length >= compressFrom && /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))
  if (zipped) bytes = await compress(bytes, { level: 1 })
  if (response.destroyed || response.headersSent) return
  response.writeHead(status, {
    'cache-control': 'no-cache, private',
    'content-type': contentType,
    'content-length': bytes.length,
    ...(zipped && { 'content-encoding': 'gzip', vary: 'Accept-Encoding' }),
    ...headers,
  })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

export const sendJson = (
  { request, response }: Pick<Exchange, 'request' | 'response'>,
  status: number,
  value: unknown,
  headers: Record<string, string | string[]> = {},
  contentType = 'application/json',
): Promise<void> => send(request, response, status, contentType, JSON.stringify(value) + '\n', headers)

/** Sends a text that already is one; with an ETag, 304 when the client has it. */
export const sendCached = (
  { request, response }: Pick<Exchange, 'request' | 'response'>,
  contentType: string,
  body: string,
  etag: string,
  headers: Record<string, string> = {},
): Promise<void> => {
  const quoted = `"${etag}"`
  const all = { etag: quoted, vary: 'Accept', ...headers }
  if (request.headers['if-none-match']?.includes(quoted)) {
    response.writeHead(304, { 'cache-control': 'no-cache, private', ...all })
    response.end()
    return Promise.resolve()
  }
  return send(request, response, 200, contentType, body, all)
}
