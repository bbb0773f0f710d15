/** docker login's memory, docker's own: credential helpers, else ~/.docker/config.json. */
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import type { RegistryAuth } from '../../../engine/types.ts'
import { SlipwayError } from '../../../errors.ts'
import { type DockerConfig, defaultRegistryKey } from '../../../spec/docker/config.ts'
import { runHelper } from '../../../sys/daemonize.ts'

type Env = Record<string, string | undefined>
const fileOf = (env: Env): string => join(env.DOCKER_CONFIG ?? join(env.HOME ?? homedir(), '.docker'), 'config.json')

const read = (file: string): DockerConfig => {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  try {
    return JSON.parse(text) as DockerConfig
  } catch (cause) {
    throw new SlipwayError('invalid', `${file}: not JSON`, { cause, at: { file } })
  }
}

/** Everything else in the file stays as it is; a link to it stays a link. */
export const writeConfig = (file: string, config: object): void => {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const place = existsSync(file) ? realpathSync(file) : file
  const fresh = `${place}.${randomUUID()}.new`
  writeFileSync(fresh, `${JSON.stringify(config, undefined, '\t')}\n`, { mode: 0o600, flag: 'wx' })
  renameSync(fresh, place)
}

const keyOf = (registry: string): string => (registry === 'docker.io' ? defaultRegistryKey : registry)

/** Resolves with where they are kept: a helper's name, or the file (which holds them unencrypted). */
export const storeCredentials = async (
  registry: string,
  auth: RegistryAuth,
  env: Env,
): Promise<{ helper: string } | { file: string }> => {
  const file = fileOf(env)
  const config = read(file)
  const helper = config.credHelpers?.[registry] ?? config.credsStore
  const key = keyOf(registry)
  const { username = '', password = '', identityToken } = auth
  if (helper) {
    const input = JSON.stringify({
      ServerURL: key,
      Username: identityToken ? '<token>' : username,
      Secret: identityToken ?? password,
    })
    const { code, stdout } = await runHelper([`docker-credential-${helper}`, 'store'], { input, env })
    if (code !== 0)
      throw new SlipwayError('internal', `error saving credentials: docker-credential-${helper}: ${stdout.trim()}`)
    writeConfig(file, { ...config, auths: { ...config.auths, [key]: {} } })
    return { helper }
  }
  const secret = Buffer.from(`${username}:${identityToken ? '' : password}`).toString('base64')
  const entry = { auth: secret, ...(identityToken !== undefined && { identitytoken: identityToken }) }
  writeConfig(file, { ...config, auths: { ...config.auths, [key]: entry } })
  return { file }
}

/** False when there were none. */
export const eraseCredentials = async (registry: string, env: Env): Promise<boolean> => {
  const file = fileOf(env)
  const config = read(file)
  const key = keyOf(registry)
  const helper = config.credHelpers?.[registry] ?? config.credsStore
  if (helper) await runHelper([`docker-credential-${helper}`, 'erase'], { input: key, env })
  const { [key]: known, ...auths } = config.auths ?? {}
  if (known) writeConfig(file, { ...config, auths })
  return known !== undefined
}
