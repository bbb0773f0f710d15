import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { RegistryAuth } from '../types.ts'
import { errorsIn, spoken } from './answers.ts'
import { parseChallenges } from './challenge.ts'
import { type Http, type HttpAnswer, type HttpCall, readBody } from './http.ts'
import type { Origin } from './origins.ts'
import { patiently } from './patience.ts'

const defaultLifeMs = 60_000
const maxAnswer = 1 << 20

/** Authorization headers for a registry, by what they allow; tokens are kept until shortly before their end. */
export class Tokens {
  readonly #http: Http
  readonly #clock: Clock
  #kept = new Map<string, { header: string; until: number }>()

  constructor(http: Http, clock: Clock) {
    this.#http = http
    this.#clock = clock
  }

  /** A header known to have worked for these scopes. */
  known(origin: Origin, scopes: string[], auth: RegistryAuth): string | undefined {
    const key = keyOf(origin, scopes, auth)
    const kept = this.#kept.get(key)
    if (kept && kept.until > this.#clock.now()) return kept.header
    this.#kept.delete(key)
    return undefined
  }

  /** Answers a 401; undefined when there is nothing to answer it with. */
  async obtain(
    origin: Origin,
    challengeHeader: string,
    scopes: string[],
    auth: RegistryAuth,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const challenges = parseChallenges(challengeHeader)
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer')
    const answer = bearer
      ? await this.#bearer(origin, bearer.parameters, scopes, auth, signal)
      : challenges.some((challenge) => challenge.scheme === 'basic') && auth.username
        ? { header: basic(auth), lifeMs: Number.MAX_SAFE_INTEGER / 2 }
        : undefined
    if (!answer) return undefined
    if (this.#kept.size > 1000) this.#kept.clear()
    this.#kept.set(keyOf(origin, scopes, auth), { header: answer.header, until: this.#clock.now() + answer.lifeMs })
    return answer.header
  }

  /** Like obtain, for nothing in particular and keeping nothing; a token server may hand out an identity token for later. */
  async login(
    origin: Origin,
    challengeHeader: string,
    auth: RegistryAuth,
    signal?: AbortSignal,
  ): Promise<{ header: string; identityToken?: string | undefined } | undefined> {
    const challenges = parseChallenges(challengeHeader)
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer')
    if (bearer) return this.#bearer(origin, bearer.parameters, [], auth, signal, true)
    const asked = challenges.some((challenge) => challenge.scheme === 'basic')
    return asked && auth.username ? { header: basic(auth) } : undefined
  }

  async #bearer(
    origin: Origin,
    parameters: Record<string, string>,
    scopes: string[],
    auth: RegistryAuth,
    signal?: AbortSignal,
    offline = false,
  ): Promise<{ header: string; lifeMs: number; identityToken?: string | undefined } | undefined> {
    if (auth.registryToken) return { header: `Bearer ${auth.registryToken}`, lifeMs: defaultLifeMs }
    const realm = URL.parse(parameters.realm ?? '')
    if (!realm || !/^https?:$/.test(realm.protocol))
      throw new SlipwayError('unauthorized', `${origin.url.host} asks for a token but names no place to get it`)
    // Whoever speaks https must not send passwords out in the clear.
    if (origin.url.protocol === 'https:' && realm.protocol === 'http:' && (auth.username || auth.identityToken))
      throw new SlipwayError('unauthorized', `${origin.url.host} wants credentials sent unencrypted to ${realm.host}`)
    const call = tokenCall(realm, parameters.service, scopes, auth, offline)
    const trust = realm.host === origin.url.host ? origin.trust : undefined
    const ask = (): Promise<HttpAnswer> => this.#http.call(realm, { ...call, signal, trust })
    const answer = await patiently(ask, { clock: this.#clock, signal })
    const body = await readBody(answer, maxAnswer)
    if (answer.status !== 200) {
      const said = errorsIn(body).map(spoken).join('; ')
      const denied = answer.status === 401 || answer.status === 403
      if (denied && said === '') return undefined
      const code = denied ? 'unauthorized' : answer.status === 429 ? 'too-many-requests' : 'unavailable'
      throw new SlipwayError(code, said || `token server ${realm.host} answered ${answer.status}`)
    }
    const { token, access_token, expires_in, refresh_token } = parse(body)
    const value = token || access_token
    if (typeof value !== 'string')
      throw new SlipwayError('unavailable', 'authorization server did not include a token in the response', {
        hint: `It is ${realm.host}.`,
      })
    const lifeMs = typeof expires_in === 'number' && expires_in > 0 ? expires_in * 1000 : defaultLifeMs
    const identityToken = typeof refresh_token === 'string' && refresh_token !== '' ? refresh_token : undefined
    return { header: `Bearer ${value}`, lifeMs: lifeMs * 0.9, identityToken }
  }
}

const tokenCall = (
  realm: URL,
  service: string | undefined,
  scopes: string[],
  auth: RegistryAuth,
  offline: boolean,
): HttpCall => {
  if (auth.identityToken) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: auth.identityToken,
      client_id: 'slipway',
      service: service ?? '',
      scope: scopes.join(' '),
    })
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
    return { method: 'POST', body: Buffer.from(form.toString()), headers }
  }
  if (service) realm.searchParams.set('service', service)
  for (const scope of scopes) realm.searchParams.append('scope', scope)
  if (auth.username) realm.searchParams.set('account', auth.username)
  if (offline) {
    realm.searchParams.set('offline_token', 'true')
    realm.searchParams.set('client_id', 'slipway')
  }
  return { method: 'GET', headers: auth.username ? { Authorization: basic(auth) } : {} }
}

const basic = (auth: RegistryAuth): string =>
  `Basic ${Buffer.from(`${auth.username}:${auth.password ?? ''}`).toString('base64')}`

const keyOf = (origin: Origin, scopes: string[], auth: RegistryAuth): string =>
  JSON.stringify([
    origin.url.host,
    [...scopes].sort(),
    auth.username,
    auth.password,
    auth.identityToken,
    auth.registryToken,
  ])

const parse = (
  body: Buffer,
): { token?: unknown; access_token?: unknown; expires_in?: unknown; refresh_token?: unknown } => {
  try {
    return JSON.parse(body.toString('utf8')) as object
  } catch {
    return {} // the caller says what is missing
  }
}
