/** Credentials for addresses that a build fetches from: secrets with names that BuildKit's source/git and source/http know. */
import type { GitAddress } from './git.ts'

type FindSecret = (id: string) => Promise<Uint8Array | undefined>

const first = async (find: FindSecret, ids: readonly string[]): Promise<[string, string] | undefined> => {
  for (const id of ids) {
    const value = await find(id)
    if (value) return [id, Buffer.from(value).toString().trim()]
  }
  return undefined
}

/** What `Authorization` says to the server of a repository: GIT_AUTH_HEADER, or GIT_AUTH_TOKEN; those of its host first. */
export const gitAuthorization = async ({ remote }: GitAddress, find: FindSecret): Promise<string | undefined> => {
  if (!/^https?:\/\//.test(remote) || !URL.canParse(remote)) return undefined
  const { host } = new URL(remote)
  const ids = [`GIT_AUTH_HEADER.${host}`, `GIT_AUTH_TOKEN.${host}`, 'GIT_AUTH_HEADER', 'GIT_AUTH_TOKEN']
  const [id, value] = (await first(find, ids)) ?? []
  if (id === undefined || value === undefined) return undefined
  return id.startsWith('GIT_AUTH_HEADER') ? value : `basic ${Buffer.from(`x-access-token:${value}`).toString('base64')}`
}

/** What `Authorization` says to the server of a file: HTTP_AUTH_HEADER_HOST, or HTTP_AUTH_TOKEN_HOST. */
export const httpAuthorization = async (url: string, find: FindSecret): Promise<string | undefined> => {
  if (!URL.canParse(url)) return undefined
  const { hostname } = new URL(url)
  const [id, value] = (await first(find, [`HTTP_AUTH_HEADER_${hostname}`, `HTTP_AUTH_TOKEN_${hostname}`])) ?? []
  if (id === undefined || value === undefined) return undefined
  return id.startsWith('HTTP_AUTH_HEADER_') ? value : `Bearer ${value}`
}
