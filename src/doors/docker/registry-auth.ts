/** Credentials that clients send along, in headers: base64url JSON. What is malformed counts as nothing, as with dockerd. */
import type { RegistryAuth } from '../../engine/types.ts'

export interface AuthConfig {
  username?: string
  password?: string
  identitytoken?: string
  registrytoken?: string
  auth?: string
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

const decoded = (header: string | string[] | undefined): Record<string, unknown> => {
  if (typeof header !== 'string' || header === '') return {}
  try {
    const value: unknown = JSON.parse(Buffer.from(header, 'base64url').toString())
    return isObject(value) ? value : {}
  } catch {
    return {} // some clients send anything
  }
}

/** An AuthConfig of docker's API. undefined: it says nothing. */
export const credentialsIn = (config: AuthConfig): RegistryAuth | undefined => {
  const [user, ...rest] = Buffer.from(config.auth ?? '', 'base64')
    .toString()
    .split(':')
  const auth = {
    username: config.username ?? (config.auth ? user : undefined),
    password: config.password ?? (config.auth ? rest.join(':') : undefined),
    identityToken: config.identitytoken,
    registryToken: config.registrytoken,
  }
  return auth.username || auth.identityToken || auth.registryToken ? auth : undefined
}

/** X-Registry-Auth. */
export const authOf = (header: string | string[] | undefined): RegistryAuth | undefined =>
  credentialsIn(decoded(header))

/** X-Registry-Config: by what the client calls the registry. */
export const configOf = (header: string | string[] | undefined): [string, RegistryAuth | undefined][] =>
  Object.entries(decoded(header)).map(([key, config]) => [key, isObject(config) ? credentialsIn(config) : undefined])
