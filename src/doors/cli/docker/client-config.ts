/** Docker's configuration of the client, ~/.docker/config.json: formats, keys, proxies. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { readFileSync } from '../../../lib/fs.ts'

type Env = Record<string, string | undefined>

const read = (env: Env): Record<string, unknown> => {
  try {
    const directory = env.DOCKER_CONFIG || join(env.HOME || homedir(), '.docker')
    return JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>
  } catch {
    return {} // none, or none that can be read
  }
}

/** A text of the configuration: 'psFormat', 'detachKeys'. */
export const configValue = (env: Env, key: string): string | undefined => {
  const value = read(env)[key]
  return typeof value === 'string' && value !== '' ? value : undefined
}

const names: Record<string, string> = {
  httpProxy: 'HTTP_PROXY',
  httpsProxy: 'HTTPS_PROXY',
  noProxy: 'NO_PROXY',
  ftpProxy: 'FTP_PROXY',
  allProxy: 'ALL_PROXY',
}

/** `proxies.default` as variables, in capitals and not: containers and builds get those that they are not given otherwise. */
export const proxyVariables = (env: Env): Record<string, string> => {
  const { default: proxies = {} } = (read(env).proxies ?? {}) as { default?: Record<string, string> }
  return Object.fromEntries(
    Object.entries(names).flatMap(([key, name]) => {
      const value = proxies[key]
      return value ? [[name, value] as const, [name.toLowerCase(), value] as const] : []
    }),
  )
}
