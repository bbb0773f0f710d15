/** --use-api-socket: the engine's socket inside the container, and what the registries know us by. */
import { Readable } from 'node:stream'
import type { EngineClient } from '../../../clients/engine/index.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import { packTar, tarEntry, type TarMember } from '../../../lib/tar/index.ts'
import { defaultRegistryKey } from '../../../spec/docker/config.ts'
import { registryAuths } from '../app/registry-auth.ts'
import type { Shell } from '../framework/command.ts'
import { containerPath } from './calls.ts'

const directory = 'run/secrets/docker'

export interface ApiSocket {
  mount: object
  env: string[]
  /** Puts the credentials into the container that was made. */
  finish(engine: EngineClient, container: string): Promise<void>
}

export const apiSocket = async (shell: Shell): Promise<ApiSocket> => {
  const auths = await registryAuths(shell.env)
  const entries = Object.entries(auths).map(([registry, auth]) => {
    const key = registry === 'docker.io' ? defaultRegistryKey : registry
    const pair = Buffer.from(`${auth.username ?? ''}:${auth.password ?? ''}`).toString('base64')
    return [key, { auth: pair, ...(auth.identityToken && { identitytoken: auth.identityToken }) }] as const
  })
  const mount = {
    Type: 'bind',
    Source: socketsOf(placeOf(shell.env)).docker,
    Target: '/var/run/docker.sock',
    BindOptions: {},
  }
  if (entries.length === 0) return { mount, env: [], finish: async () => {} }
  const content = Buffer.from(JSON.stringify({ auths: Object.fromEntries(entries) }, undefined, '\t'))
  return {
    mount,
    env: [`DOCKER_CONFIG=/${directory}`],
    async finish(engine, container) {
      const body = Readable.from(packTar(membersOf(content)), { objectMode: false })
      await engine.json(containerPath(container, '/archive'), { method: 'PUT', query: { path: '/' }, body })
    },
  }
}

async function* membersOf(content: Buffer): AsyncGenerator<TarMember> {
  yield { entry: tarEntry({ path: directory, type: 'directory', mode: 0o700 }) }
  yield { entry: tarEntry({ path: `${directory}/config.json`, mode: 0o600, size: content.length }), body: content }
}
