/**
 * GET as other programs on the machine do it: redirects are followed, HTTP(S)_PROXY and NO_PROXY count, the system's
 * authorities are trusted, an address may carry a name and a password, and any port will do; fetch() has none of that.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { messageOf } from '../../errors.ts'
import { knownAuthorities } from './authorities.ts'
import { isLoopback } from './loopback.ts'
import { Agent, type IncomingMessage, request, secure } from './node.ts'

export interface Got {
  status: number
  headers: IncomingHttpHeaders
  /** Must be read or destroyed. */
  body: IncomingMessage
}

const maxRedirects = 10
/** Longest silence of a server. */
const idleMs = 60_000

/** Rejects with what went wrong on the way; dialFailure() has words for it. */
export const get = async (
  start: URL,
  options: { headers?: Readonly<Record<string, string>>; signal?: AbortSignal | undefined } = {},
): Promise<Got> => {
  let url = start
  for (let hops = 0; ; hops++) {
    const got = await once(
      url,
      url.origin === start.origin ? options : { ...options, headers: unauthorized(options.headers) },
    )
    const { location } = got.headers
    if (!isRedirect(got) || location === undefined) return got
    got.body.destroy()
    if (hops === maxRedirects) throw new Error(`stopped after ${maxRedirects} redirects`)
    url = new URL(location, url)
    if (!/^https?:$/.test(url.protocol)) throw new Error(`redirected to the unsupported address ${url.href}`)
  }
}

export const isRedirect = ({ status }: { status: number }): boolean => [301, 302, 303, 307, 308].includes(status)

/** What another server may see. */
const unauthorized = (headers: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'))

const once = (
  url: URL,
  { headers = {}, signal }: { headers?: Readonly<Record<string, string>>; signal?: AbortSignal | undefined },
): Promise<Got> =>
  new Promise((resolve, reject) => {
    const tls = url.protocol === 'https:'
    // A proxy's own loopback is not ours.
    const proxyEnv = isLoopback(url.host) ? {} : process.env
    const agent = tls ? new (secure().Agent)({ proxyEnv, ca: knownAuthorities() }) : new Agent({ proxyEnv })
    const call = (tls ? secure().request : request)(url, { agent, headers, ...(signal && { signal }) }, (body) =>
      resolve({ status: body.statusCode ?? 0, headers: body.headers, body }),
    )
    call.on('error', reject)
    call.setTimeout(idleMs, () => call.destroy(new Error('the server has gone silent')))
    call.end()
  })

/** Why no answer came, as Go's programs say it. */
export const dialFailure = (url: URL, error: unknown): string => {
  // Several addresses were tried: the first failure stands for all.
  const first: unknown = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error
  const { code, address, port } = first as NodeJS.ErrnoException & { address?: string; port?: number }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `dial tcp: lookup ${url.hostname}: no such host`
  const distrust = distrusted(first, url)
  if (distrust !== undefined) return `tls: failed to verify certificate: x509: ${distrust}`
  // OpenSSL's number for a first record that is none: Node gives no other.
  if (code === 'EPROTO' && messageOf(first).includes(':0A00010B:'))
    return 'http: server gave HTTP response to HTTPS client'
  const at = address === undefined ? '' : ` ${address.includes(':') ? `[${address}]` : address}:${port}`
  if (code === 'ECONNREFUSED') return `dial tcp${at}: connect: connection refused`
  return messageOf(first)
}

const unknownAuthority = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** What is wrong with the server's certificate; undefined: it is something else. */
const distrusted = (error: unknown, url: URL): string | undefined => {
  const { code = '', cert } = error as NodeJS.ErrnoException & { cert?: { subjectaltname?: string } }
  if (unknownAuthority.has(code)) return 'certificate signed by unknown authority'
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') return 'certificate has expired or is not yet valid'
  if (code !== 'ERR_TLS_CERT_ALTNAME_INVALID') return undefined
  const names = (cert?.subjectaltname ?? '').replaceAll(/(?:DNS|IP Address):/g, '')
  return `certificate is valid for ${names || 'no names'}, not ${url.hostname.replace(/^\[|\]$/g, '')}`
}
