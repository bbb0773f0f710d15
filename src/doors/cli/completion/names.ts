/** Names of what is there now. Nothing is started to find them out. */
import { createEngineClient } from '../../../clients/engine/index.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import type { Shell } from '../framework/command.ts'
import { answers } from '../framework/daemon.ts'
import type { Flags } from '../framework/flags.ts'
import { projectNames } from '../framework/project.ts'
import type { Kind } from './complete.ts'

interface Listed {
  containers: { Names: string[]; State: string; Image: string }[]
  images: { RepoTags: string[] | null }[]
  networks: { Name: string; Driver: string }[]
  volumes: { Volumes: { Name: string }[] | null }
}
interface Name {
  word: string
  about: string
}

/** Whoever types waits for it. */
const limitMs = 2000

export const namesOf = async (kind: Kind, shell: Shell, globals: Flags): Promise<Name[]> => {
  if (kind === 'service') return servicesOf(shell, globals)
  const { docker } = socketsOf(placeOf(shell.env))
  if (!(await answers(docker))) return []
  const engine = createEngineClient(docker)
  const signal = AbortSignal.any([shell.signal, AbortSignal.timeout(limitMs)])
  const get = <K extends keyof Listed>(path: string, query: Record<string, boolean> = {}): Promise<Listed[K]> =>
    engine.json<Listed[K]>(path, { query, signal })
  switch (kind) {
    case 'image': {
      const images = await get<'images'>('/images/json')
      return images.flatMap(({ RepoTags }) => RepoTags ?? []).map((word) => ({ word, about: '' }))
    }
    case 'network':
      return (await get<'networks'>('/networks')).map(({ Name, Driver }) => ({ word: Name, about: Driver }))
    case 'volume':
      return ((await get<'volumes'>('/volumes')).Volumes ?? []).map(({ Name }) => ({ word: Name, about: '' }))
    default: {
      const running = ['running', 'paused', 'restarting']
      const all = await get<'containers'>('/containers/json', { all: true })
      return all
        .filter(({ State }) => kind === 'container' || running.includes(State) === (kind === 'running'))
        .map(({ Names, State, Image }) => ({ word: Names[0]!.slice(1), about: `${Image}, ${State}` }))
    }
  }
}

const servicesOf = async (shell: Shell, globals: Flags): Promise<Name[]> => {
  const { services } = await projectNames({ shell, args: [], flags: {}, globals })
  return services.map((word) => ({ word, about: '' }))
}
