import { isError, SlipwayError } from '../../errors.ts'
import type { RegistryAuth } from '../types.ts'
import { type Http, type HttpAnswer, readBody } from './http.ts'
import { type Origin, originsOf, type RegistrySettings } from './origins.ts'
import type { Tokens } from './tokens.ts'

export interface LoginWish {
  http: Http
  tokens: Tokens
  settings: RegistrySettings
  server: string
  auth: RegistryAuth
  signal: AbortSignal | undefined
}

/** The registry a server address of docker login means: 'https://index.docker.io/v1/' is docker.io. */
const domainOf = (server: string): string => {
  const host = server.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
  return ['', 'index.docker.io', 'registry-1.docker.io'].includes(host) ? 'docker.io' : host
}

/** docker login's check (distribution-spec "Determining Support"): /v2/ with the credentials. */
export const checkLogin = async (wish: LoginWish): Promise<{ identityToken?: string | undefined }> => {
  const origins = originsOf(domainOf(wish.server), wish.settings).filter((origin) => !origin.mirror)
  let first: unknown
  for (const origin of origins) {
    try {
      return await checkAt(origin, wish)
    } catch (error) {
      if (!isError(error, 'unavailable')) throw error
      first ??= error
    }
  }
  throw first
}

const checkAt = async (origin: Origin, wish: LoginWish): Promise<{ identityToken?: string | undefined }> => {
  const { http, tokens, auth, signal } = wish
  const url = new URL(origin.wholePath ? '' : 'v2/', origin.url)
  const ask = async (header?: string): Promise<HttpAnswer> => {
    const headers = { ...origin.headers, ...(header !== undefined && { Authorization: header }) }
    const answer = await http.call(url, { method: 'GET', headers, signal, trust: origin.trust })
    await readBody(answer, 1 << 20)
    return answer
  }
  const open = await ask()
  const challenge = open.headers['www-authenticate']
  if (open.status === 400)
    throw new SlipwayError('unavailable', `${url.host} does not speak ${url.protocol.slice(0, -1)}`)
  if (open.status !== 401 || challenge === undefined) return settled(open, url)
  const obtained = await tokens.login(origin, challenge, auth, signal)
  const { identityToken } = obtained ?? {}
  settled(obtained ? await ask(obtained.header) : open, url)
  return identityToken === undefined ? {} : { identityToken }
}

const settled = (answer: HttpAnswer, url: URL): Record<string, never> => {
  if (answer.status === 200) return {}
  const denied = answer.status === 401 || answer.status === 403
  const words: Record<number, string> = { 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found' }
  throw new SlipwayError(
    denied ? 'unauthorized' : answer.status >= 500 ? 'unavailable' : 'invalid',
    `login attempt to ${url.href} failed with status: ${answer.status} ${words[answer.status] ?? ''}`.trimEnd(),
    denied ? { hint: 'Check the user name and the password.' } : {},
  )
}
