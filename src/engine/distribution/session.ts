import { isError, SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { isRedirect } from '../../lib/http/get.ts'
import type { Reference } from '../../spec/oci/index.ts'
import type { RegistryAuth } from '../types.ts'
import { type Http, type HttpAnswer, type HttpCall, isStream, readBody } from './http.ts'
import type { Origin } from './origins.ts'
import { patiently } from './patience.ts'
import type { Tokens } from './tokens.ts'

/** `signal` besides the session's own. */
type Call = Omit<HttpCall, 'trust'>

const maxRedirects = 5

interface SessionOptions {
  http: Http
  tokens: Tokens
  clock: Clock
  origins: Origin[]
  reference: Reference
  auth: RegistryAuth
  /** 'pull', 'push', and repositories to mount from. */
  scopes: string[]
  writes: boolean
  signal?: AbortSignal | undefined
}

/** Calls to one repository of one registry: finds the way to it, logs in, follows redirects, waits when told to. */
export class Session {
  readonly #options: SessionOptions
  /** The way to the registry itself, once one has answered. */
  #origin: Origin | undefined
  /** Ways that did not answer, or whose answer was not what it should have been. */
  readonly #passed = new Set<Origin>()
  readonly #from = new WeakMap<HttpAnswer, Origin>()

  constructor(options: SessionOptions) {
    this.#options = options
  }

  get reference(): Reference {
    return this.#options.reference
  }

  /** `path` is relative to the repository: 'manifests/latest'. Mirrors that have not got it are passed over. */
  async call(path: string, call: Call): Promise<HttpAnswer> {
    const origins = this.#ways(path, call.method)
    let first: unknown
    for (const origin of origins) {
      try {
        const answer = await this.#try(origin, path, call)
        // A mirror that has not got it, or a plain HTTP server on the other end of what should be TLS.
        const last = origin === origins.at(-1)
        if (!last && (origin.mirror ? answer.status >= 400 : await isWrongProtocol(answer))) {
          answer.body.destroy()
          continue
        }
        if (!origin.mirror) this.#origin = origin
        this.#from.set(answer, origin)
        return answer
      } catch (error) {
        if (!isError(error, 'unavailable')) throw error
        if (origin.mirror) this.#passed.add(origin)
        first ??= error
      }
    }
    if (first !== undefined) throw first
    throw new SlipwayError('unsupported', `no way to ${this.reference.domain} is configured for this`, {
      hint: "See the capabilities in the registry's hosts.toml.",
    })
  }

  /** What a mirror has answered was wrong: it is not asked again. False if it was the registry itself. */
  disown(answer: HttpAnswer): boolean {
    const origin = this.#from.get(answer)
    if (!origin?.mirror) return false
    this.#passed.add(origin)
    return true
  }

  /** A call to where the registry has sent us: an absolute or relative Location. */
  follow(location: string, call: Call): Promise<HttpAnswer> {
    return this.#authorized(this.#origin!, new URL(location, this.#origin!.url), call)
  }

  #ways(path: string, method: string): Origin[] {
    const reading = method === 'GET' || method === 'HEAD'
    const resolving = path.startsWith('tags/') || (path.startsWith('manifests/') && !path.startsWith('manifests/sha'))
    const able = this.#options.origins.filter((origin) => {
      if (this.#passed.has(origin)) return false
      if (!origin.mirror && this.#origin && origin !== this.#origin) return false
      if (!reading) return origin.pushes ?? !origin.mirror
      return (resolving ? origin.resolves : origin.pulls) ?? true
    })
    // Pushing asks first whether a blob is there: that has to be the place it goes to.
    return this.#options.writes ? able.filter((origin) => origin.pushes ?? !origin.mirror) : able
  }

  #try(origin: Origin, path: string, call: Call): Promise<HttpAnswer> {
    const { reference } = this.#options
    const url = new URL(`${origin.wholePath ? '' : 'v2/'}${reference.path}/${path}`, origin.url)
    // A mirror of several registries has to know which one is meant.
    if (origin.mirror) url.searchParams.set('ns', reference.domain)
    return this.#authorized(origin, url, call)
  }

  async #authorized(origin: Origin, url: URL, call: Call): Promise<HttpAnswer> {
    const { tokens, scopes, signal } = this.#options
    // Credentials are the registry's only: a mirror gets its own, or none.
    const auth = origin.mirror ? (origin.auth ?? {}) : this.#options.auth
    const authorization = tokens.known(origin, scopes, auth)
    const answer = await this.#patient(origin, url, call, authorization)
    if (answer.status !== 401) return answer
    const challenge = answer.headers['www-authenticate']
    const obtained = challenge && (await tokens.obtain(origin, challenge, scopes, auth, signal))
    if (!obtained || obtained === authorization || isStream(call.body)) return answer
    answer.body.resume()
    return this.#patient(origin, url, call, obtained)
  }

  #patient(origin: Origin, url: URL, call: Call, authorization: string | undefined): Promise<HttpAnswer> {
    const ask = (): Promise<HttpAnswer> => this.#redirected(origin, url, call, authorization)
    if (isStream(call.body)) return ask()
    const { clock, signal, writes } = this.#options
    return patiently(ask, { clock, signal, persists: writes })
  }

  async #redirected(origin: Origin, start: URL, call: Call, authorization: string | undefined): Promise<HttpAnswer> {
    let url = start
    for (let hops = 0; ; hops++) {
      const same = url.origin === origin.url.origin
      const headers = {
        ...(same && origin.headers),
        ...call.headers,
        ...(same && authorization !== undefined && { Authorization: authorization }),
      }
      const trust = same ? origin.trust : {}
      const signal = either(this.#options.signal, call.signal)
      const answer = await this.#options.http.call(url, { ...call, headers, signal, trust })
      const { location } = answer.headers
      if (!isRedirect(answer) || location === undefined || isStream(call.body)) return answer
      answer.body.resume()
      if (hops === maxRedirects) throw new SlipwayError('unavailable', `${start.host}: too many redirects`)
      const next = new URL(location, url)
      if (url.protocol === 'https:' && next.protocol !== 'https:' && !origin.trust.insecure)
        throw new SlipwayError('unavailable', `${url.host} redirects to the unencrypted ${next.origin}`)
      url = next
    }
  }
}

const either = (one: AbortSignal | undefined, other: AbortSignal | undefined): AbortSignal | undefined =>
  one && other ? AbortSignal.any([one, other]) : (one ?? other)

/** Go's and nginx's answer to plain HTTP on a TLS port. */
const isWrongProtocol = async (answer: HttpAnswer): Promise<boolean> => {
  if (answer.status !== 400 || answer.url.protocol !== 'http:') return false
  if (answer.headers['docker-distribution-api-version'] !== undefined) return false
  if (/\bjson\b/.test(answer.headers['content-type'] ?? '')) return false
  await readBody(answer, 64 * 1024)
  return true
}
