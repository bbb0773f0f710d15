/** Who we are at a registry, as docker keeps it: credHelpers, then credsStore, then auths of ~/.docker/config.json. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { readFileSync } from '../../../lib/fs.ts'
import type { RegistryAuth } from '../../../engine/types.ts'
import { credentialsOf, type DockerConfig, defaultRegistryKey, registryOfKey } from '../../../spec/docker/config.ts'

type Env = Record<string, string | undefined>

const readConfig = (env: Env): DockerConfig => {
  try {
    const directory = env.DOCKER_CONFIG ?? join(env.HOME ?? homedir(), '.docker')
    return JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as DockerConfig
  } catch {
    return {} // none, or none that can be read: anonymous
  }
}

/** undefined: anonymous. */
export const registryAuth = async (registry: string, env: Env): Promise<RegistryAuth | undefined> => {
  const config = readConfig(env)
  const key = registry === 'docker.io' ? defaultRegistryKey : registry
  const helper = config.credHelpers?.[registry] ?? config.credsStore
  if (helper) {
    const { runHelper } = await import('../../../sys/daemonize.ts')
    const { code, stdout } = await runHelper([`docker-credential-${helper}`, 'get'], { input: key, env })
    if (code === 0) {
      const { Username, Secret } = JSON.parse(stdout) as { Username: string; Secret: string }
      return Username === '<token>' ? { identityToken: Secret } : { username: Username, password: Secret }
    }
  }
  const entry = config.auths?.[key] ?? config.auths?.[`https://${registry}`]
  return entry && credentialsOf(entry)
}

/** By registry host, for every registry that docker's configuration names: which ones a build pulls from is not known before. */
export const registryAuths = async (env: Env): Promise<Record<string, RegistryAuth>> => {
  const config = readConfig(env)
  const hosts = new Set([
    ...Object.keys(config.auths ?? {}).map(registryOfKey),
    ...Object.keys(config.credHelpers ?? {}),
  ])
  const found = await Promise.all(
    [...hosts].map(async (host) => [host, await registryAuth(host, env).catch(() => undefined)] as const),
  )
  return Object.fromEntries(found.filter((e): e is [string, RegistryAuth] => e[1] !== undefined))
}
