/** GET /containers/json: filters and order. */
import type { Container } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { listView, originOf } from './container-views.ts'
import { those } from './disk-usage.ts'
import type { ContainerBackend } from './containers.ts'
import { Filters, isTrue } from './filters.ts'
import type { Exchange } from './server.ts'

const bad = (message: string): SlipwayError => new SlipwayError('bad-request', message)

const listFilters = [
  'ancestor',
  'before',
  'expose',
  'exited',
  'health',
  'id',
  'isolation',
  'is-task',
  'label',
  'name',
  'network',
  'publish',
  'since',
  'status',
  'volume',
]

/** Filters whose values are known words. */
const closedFilters: Record<string, string[]> = {
  status: ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'],
  health: ['starting', 'healthy', 'unhealthy', 'none'],
}

export const listContainers = async (engine: ContainerBackend, clock: Clock, x: Exchange): Promise<void> => {
  const filters = Filters.parse(x.query.get('filters'), listFilters)
  for (const [name, values] of Object.entries(closedFilters)) {
    const odd = filters.get(name).find((v) => !values.includes(v))
    if (odd !== undefined) throw bad(`invalid filter '${name}=${odd}'`)
  }
  const odd = filters.get('exited').find((v) => !/^-?\d+$/.test(v))
  if (odd !== undefined) throw bad(`invalid filter 'exited=${odd}'`)
  const limit = Number(x.query.get('limit') ?? 0)
  const all = isTrue(x.query.get('all')) || limit > 0 || filters.has('status') || filters.has('exited')
  const bound = (name: string): number | undefined =>
    filters.has(name) ? engine.containers.must(filters.get(name)[0]!).createdAt : undefined
  const [before, since] = [bound('before'), bound('since')]
  const ancestors = await Promise.all(filters.get('ancestor').map(async (a) => (await engine.images.get(a))?.id ?? a))
  const found = engine.containers
    .list()
    .filter((c) => all || c.status === 'running' || c.status === 'paused' || c.status === 'restarting')
    .filter((c) => filters.labels(c.spec.labels))
    .filter((c) => filters.any('id', (v) => c.id.startsWith(v)))
    .filter((c) =>
      filters.any('name', (v) =>
        new RegExp(v.replace(/^\^?\//, (m) => (m.startsWith('^') ? '^' : ''))).test(c.spec.name),
      ),
    )
    .filter((c) => filters.any('status', (v) => c.status === v))
    .filter((c) =>
      filters.any(
        'exited',
        (v) => (c.status === 'exited' || c.status === 'dead') && c.startedAt !== undefined && c.exitCode === Number(v),
      ),
    )
    .filter((c) => filters.any('health', (v) => (c.health?.status ?? 'none') === v))
    .filter((c) => ancestors.length === 0 || ancestors.includes(c.imageId))
    .filter((c) =>
      filters.any('volume', (v) =>
        c.mounts.some((m) => m.name === v || m.target === v || (m.type === 'bind' && m.source === v)),
      ),
    )
    .filter((c) => filters.any('network', (v) => onNetwork(engine, c, v)))
    .filter((c) =>
      filters.any('publish', (v) =>
        (engine.sandboxes.get(c.sandboxId)?.ports ?? []).some((p) => samePort(v, p.hostPort, p.protocol)),
      ),
    )
    .filter((c) =>
      filters.any('expose', (v) =>
        Object.keys(originOf(c)?.Config.ExposedPorts ?? {}).some((k) => k === v || k === `${v}/tcp`),
      ),
    )
    .filter((c) => (before === undefined || c.createdAt < before) && (since === undefined || c.createdAt > since))
    .sort((a, b) => b.createdAt - a.createdAt)
  const shown = limit > 0 ? found.slice(0, limit) : found
  const links = linkNames(engine.containers.list())
  const options = { links, size: isTrue(x.query.get('size')), now: clock.now(), version: x.version }
  const { containers, sandboxes, networks, snapshots } = engine
  const rooms = { containers, sandboxes, networks, snapshots, images: askedOnce(engine.images) }
  x.send(200, await those(shown, (c) => listView(c, rooms, options)))
}

/** Containers of a list have few images between them. */
const askedOnce = (images: ContainerBackend['images']): Pick<ContainerBackend['images'], 'get'> => {
  const asked = new Map<string, ReturnType<ContainerBackend['images']['get']>>()
  return {
    get(reference) {
      const found = asked.get(reference) ?? images.get(reference)
      asked.set(reference, found)
      return found
    },
  }
}

/** Names that containers have by others' links, by sandbox: "/other/alias". */
const linkNames = (all: readonly Container[]): Map<string, string[]> => {
  const names = new Map<string, string[]>()
  for (const { spec } of all)
    for (const { alias, sandboxId } of spec.links ?? [])
      names.set(sandboxId, [...(names.get(sandboxId) ?? []), `/${spec.name}/${alias}`])
  return names
}

const samePort = (wanted: string, port: number, protocol: string): boolean => {
  const [range, type = 'tcp'] = wanted.split('/')
  const [from, to = from] = range!.split('-').map(Number)
  return port >= from! && port <= to! && protocol === type
}

const onNetwork = (engine: ContainerBackend, c: Container, wanted: string): boolean => {
  const network = engine.sandboxes.get(c.sandboxId)?.spec.network
  if (network?.mode !== 'attached') return network?.mode === wanted
  const id = engine.networks.get(wanted)?.id
  return network.attachments.some(
    (a) => a.network === wanted || (id !== undefined && engine.networks.get(a.network)?.id === id),
  )
}
