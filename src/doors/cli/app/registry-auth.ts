/** Who we are at a registry, as docker keeps it: credHelpers, then credsStore, then auths of ~/.docker/config.json. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { RegistryAuth } from '../../../engine/types.ts'
import { runHelper } from '../../../sys/daemonize.ts'

interface DockerConfig {
  auths?: Record<string, { auth?: string; username?: string; password?: string; identitytoken?: string }>
  credHelpers?: Record<string, string>
  credsStore?: string
}
type Env = Record<string, string | undefined>

const readConfig = (env: Env): DockerConfig => {
  try {
    const directory = env.DOCKER_CONFIG ?? join(env.HOME ?? homedir(), '.docker')
    return JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as DockerConfig
  } catch {
    return {} // none, or none that can be read: anonymous
  }
}

const hub = 'https://index.docker.io/v1/'
const hostOf = (key: string): string =>
  key === hub ? 'docker.io' : key.replace(/^https?:\/\//, '').replace(/\/.*$/, '')

/** undefined: anonymous. */
export const registryAuth = async (registry: string, env: Env): Promise<RegistryAuth | undefined> => {
  const config = readConfig(env)
  const key = registry === 'docker.io' ? hub : registry
  const helper = config.credHelpers?.[registry] ?? config.credsStore
  if (helper) {
    const { code, stdout } = await runHelper([`docker-credential-${helper}`, 'get'], { input: key, env })
    if (code === 0) {
      const { Username, Secret } = JSON.parse(stdout) as { Username: string; Secret: string }
      return Username === '<token>' ? { identityToken: Secret } : { username: Username, password: Secret }
    }
  }
  const entry = config.auths?.[key] ?? config.auths?.[`https://${registry}`]
  if (!entry) return undefined
  if (entry.identitytoken) return { identityToken: entry.identitytoken }
  const [username, ...rest] = Buffer.from(entry.auth ?? '', 'base64')
    .toString()
    .split(':')
  return { username: entry.username ?? username, password: entry.password ?? rest.join(':') }
}

/** By registry host, for every registry that docker's configuration names: which ones a build pulls from is not known before. */
export const registryAuths = async (env: Env): Promise<Record<string, RegistryAuth>> => {
  const config = readConfig(env)
  const hosts = new Set([...Object.keys(config.auths ?? {}).map(hostOf), ...Object.keys(config.credHelpers ?? {})])
  const found = await Promise.all(
    [...hosts].map(async (host) => [host, await registryAuth(host, env).catch(() => undefined)] as const),
  )
  return Object.fromEntries(found.filter((e): e is [string, RegistryAuth] => e[1] !== undefined))
}
