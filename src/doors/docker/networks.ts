import type { Engine, Network } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { attachment } from './container-network.ts'
import { Filters } from './filters.ts'
import { type CreateNetwork, createAsOf, networkSpecOf } from './network-create.ts'
import { networkView } from './network-views.ts'
import { type Exchange, type Route, route } from './server.ts'
import { connectShape, networkShape } from './shapes.ts'
import type { EndpointConfig } from './wire.ts'

type Backend = Pick<Engine, 'networks' | 'sandboxes' | 'containers'>
/** On networks of the embedded cluster: not docker's to see. */
const clusterLabel = 'dev.slipway.cluster'

const isPredefined = (n: Network): boolean => ['bridge', 'host', 'none'].includes(n.spec.name)

export const networkRoutes = (engine: Backend, clock: Clock): Route[] => {
  const { networks } = engine
  const must = (reference: string): Network => {
    const found = networks.get(reference)
    if (!found) throw new SlipwayError('not-found', `network ${reference} not found`)
    return found
  }
  return [
    ...['/networks', '/networks/'].map((path) => route('GET', path, (x) => list(engine, x))),
    route('POST', '/networks/create', async (x) => {
      const network = await networks.create(
        networkSpecOf(createAsOf(x.version, await x.json<CreateNetwork>(networkShape))),
      )
      x.send(201, { Id: network.id, Warning: '' })
    }),
    route('POST', '/networks/prune', (x) => prune(engine, clock, x)),
    route('GET', '/networks/:id', (x) => {
      const scope = x.query.get('scope')
      if (scope && scope !== 'local') throw new SlipwayError('not-found', `network ${x.params.id} not found`)
      x.send(200, networkView(engine, must(x.params.id!), true))
    }),
    route('DELETE', '/networks/:id', async (x) => {
      const network = must(x.params.id!)
      if (isPredefined(network))
        throw new SlipwayError('forbidden', `${network.spec.name} is a pre-defined network and cannot be removed`)
      await networks.remove(network.id)
      x.send(204)
    }),
    route('POST', '/networks/:id/connect', async (x) => {
      const body = await x.json<{ Container?: string; EndpointConfig?: EndpointConfig | null }>(connectShape)
      const container = engine.containers.must(body.Container ?? '')
      const network = must(x.params.id!)
      await engine.sandboxes.connect(container.sandboxId, attachment(network.spec.name, body.EndpointConfig ?? {}))
      x.send(200)
    }),
    route('POST', '/networks/:id/disconnect', async (x) => {
      const body = await x.json<{ Container?: string }>(connectShape)
      const container = engine.containers.must(body.Container ?? '')
      await engine.sandboxes.disconnect(container.sandboxId, networks.get(x.params.id!)?.id ?? x.params.id!)
      x.send(200)
    }),
  ]
}

const prune = async ({ networks }: Backend, clock: Clock, x: Exchange): Promise<void> => {
  const filters = Filters.parse(x.query.get('filters'), ['label', 'label!', 'until'])
  const until = filters.time('until', clock.now())
  const removed: string[] = []
  for (const n of networks.list()) {
    if (isPredefined(n) || clusterLabel in n.spec.labels || networks.endpoints(n.id).length > 0) continue
    if (!filters.labels(n.spec.labels) || (until !== undefined && n.createdAt > until)) continue
    if (filters.has('label!') && filters.labels(n.spec.labels, 'label!')) continue
    if (n.spec.configOnly && networks.list().some(({ spec }) => spec.configFrom === n.spec.name)) continue
    await networks.remove(n.id)
    removed.push(n.spec.name)
  }
  x.send(200, { NetworksDeleted: removed.length > 0 ? removed : null })
}

/** Values of `name` and `id` are patterns; one that is none stands for itself. */
const matches = (pattern: string, text: string): boolean => {
  try {
    return text === pattern || new RegExp(pattern).test(text)
  } catch {
    return false
  }
}

const list = (engine: Backend, x: Exchange): void => {
  const filters = Filters.parse(x.query.get('filters'), ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'])
  const dangling = filters.flag('dangling')
  for (const type of filters.get('type'))
    if (type !== 'builtin' && type !== 'custom')
      throw new SlipwayError('bad-request', `invalid filter: 'type'='${type}'`)
  const isDangling = (n: Network): boolean => !isPredefined(n) && engine.networks.endpoints(n.id).length === 0
  const found = engine.networks
    .list()
    .filter((n) => !(clusterLabel in n.spec.labels))
    .filter((n) => filters.labels(n.spec.labels))
    .filter((n) => filters.any('name', (v) => matches(v, n.spec.name)))
    .filter((n) => filters.any('id', (v) => matches(v, n.id)))
    .filter((n) => filters.any('driver', (v) => (n.spec.configOnly ? 'null' : n.spec.driver) === v))
    .filter(() => filters.any('scope', (v) => v === 'local'))
    .filter((n) => filters.any('type', (v) => (v === 'builtin') === isPredefined(n)))
    .filter((n) => dangling === undefined || isDangling(n) === dangling)
  // Since 1.28 a list does not say who is on them.
  const detailed = x.version[1] < 28
  x.send(
    200,
    found.map((n) => networkView(engine, n, detailed)),
  )
}
