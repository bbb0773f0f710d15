import type { Engine, Network, NetworkSpec } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import { attachment } from './container-create.ts'
import { iso } from './container-views.ts'
import { Filters } from './filters.ts'
import { type Exchange, type Route, route } from './server.ts'
import type { EndpointConfig } from './wire.ts'

type Backend = Pick<Engine, 'networks' | 'sandboxes' | 'containers'>
/** On networks of the embedded cluster: not docker's to see. */
const clusterLabel = 'dev.slipway.cluster'

interface CreateNetwork {
  Name?: string
  CheckDuplicate?: boolean
  Driver?: string
  Internal?: boolean
  Attachable?: boolean
  Ingress?: boolean
  EnableIPv6?: boolean
  EnableIPv4?: boolean
  Scope?: string
  ConfigOnly?: boolean
  IPAM?: {
    Driver?: string
    Options?: Record<string, string> | null
    Config?:
      | { Subnet?: string; IPRange?: string; Gateway?: string; AuxiliaryAddresses?: Record<string, string> }[]
      | null
  } | null
  Options?: Record<string, string> | null
  Labels?: Record<string, string> | null
}

export const networkRoutes = (engine: Backend): Route[] => {
  const { networks } = engine
  const must = (reference: string): Network => {
    const found = networks.get(reference)
    if (!found) throw new SlipwayError('not-found', `network ${reference} not found`)
    return found
  }
  return [
    route('GET', '/networks', (x) => list(engine, x)),
    route('POST', '/networks/create', (x) => create(engine, x)),
    route('POST', '/networks/prune', async (x) => {
      const filters = Filters.parse(x.query.get('filters'), ['label', 'label!', 'until'])
      const removed: string[] = []
      for (const n of networks.list()) {
        if (
          isPredefined(n) ||
          clusterLabel in n.spec.labels ||
          networks.endpoints(n.id).length > 0 ||
          !filters.labels(n.spec.labels)
        )
          continue
        if (usedByStopped(engine, n)) continue
        await networks.remove(n.id)
        removed.push(n.spec.name)
      }
      x.send(200, { NetworksDeleted: removed.length > 0 ? removed : null })
    }),
    route('GET', '/networks/:id', (x) => x.send(200, view(engine, must(x.params.id!), true))),
    route('DELETE', '/networks/:id', async (x) => {
      const network = must(x.params.id!)
      if (isPredefined(network))
        throw new SlipwayError('forbidden', `${network.spec.name} is a pre-defined network and cannot be removed`)
      await networks.remove(network.id)
      x.send(204)
    }),
    route('POST', '/networks/:id/connect', async (x) => {
      const body = await x.json<{ Container?: string; EndpointConfig?: EndpointConfig }>()
      const container = engine.containers.must(body.Container ?? '')
      const network = must(x.params.id!)
      await engine.sandboxes.connect(container.sandboxId, attachment(network.spec.name, body.EndpointConfig ?? {}, ''))
      x.send(200)
    }),
    route('POST', '/networks/:id/disconnect', async (x) => {
      const body = await x.json<{ Container?: string; Force?: boolean }>()
      const container = engine.containers.must(body.Container ?? '')
      await engine.sandboxes.disconnect(container.sandboxId, must(x.params.id!).id, { force: body.Force ?? false })
      x.send(200)
    }),
  ]
}

const isPredefined = (n: Network): boolean => ['bridge', 'host', 'none'].includes(n.spec.name)

const usedByStopped = (engine: Backend, network: Network): boolean =>
  engine.sandboxes
    .list()
    .some(
      (s) =>
        s.state === 'ready' &&
        s.spec.network.mode === 'attached' &&
        s.spec.network.attachments.some((a) => engine.networks.get(a.network)?.id === network.id),
    )

const list = (engine: Backend, x: Exchange): void => {
  const filters = Filters.parse(x.query.get('filters'), ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'])
  const dangling = filters.flag('dangling')
  const found = engine.networks
    .list()
    .filter((n) => !(clusterLabel in n.spec.labels))
    .filter((n) => filters.labels(n.spec.labels))
    .filter((n) => filters.any('name', (v) => n.spec.name.includes(v)))
    .filter((n) => filters.any('id', (v) => n.id.includes(v)))
    .filter((n) => filters.any('driver', (v) => n.spec.driver === v))
    .filter(() => filters.any('scope', (v) => v === 'local'))
    .filter((n) => filters.any('type', (v) => (v === 'builtin') === isPredefined(n)))
    .filter(
      (n) => dangling === undefined || (!isPredefined(n) && engine.networks.endpoints(n.id).length === 0) === dangling,
    )
  x.send(
    200,
    found.map((n) => view(engine, n, false)),
  )
}

const create = async (engine: Backend, x: Exchange): Promise<void> => {
  const body = await x.json<CreateNetwork>()
  if (!body.Name) throw new SlipwayError('bad-request', 'network name cannot be empty')
  if (['bridge', 'host', 'none', 'default'].includes(body.Name))
    throw new SlipwayError('forbidden', `operation is not permitted on predefined ${body.Name} network`)
  if (engine.networks.list().some((n) => n.spec.name === body.Name))
    throw new SlipwayError('conflict', `network with name ${body.Name} already exists`)
  const driver = body.Driver || 'bridge'
  if (!['bridge', 'macvlan', 'ipvlan'].includes(driver)) {
    if (driver === 'host' || driver === 'null')
      throw new SlipwayError('forbidden', `only one instance of "${driver}" network is allowed`)
    throw new SlipwayError('not-found', `could not find plugin ${driver} in v1 plugin registry: plugin not found`)
  }
  const spec: NetworkSpec = {
    name: body.Name,
    driver: driver as NetworkSpec['driver'],
    internal: body.Internal ?? false,
    attachable: body.Attachable ?? false,
    ipv6: body.EnableIPv6 ?? false,
    ipam: (body.IPAM?.Config ?? []).map((c) => ({
      ...(c.Subnet ? { subnet: c.Subnet } : {}),
      ...(c.Gateway ? { gateway: c.Gateway } : {}),
      ...(c.IPRange ? { ipRange: c.IPRange } : {}),
      ...(c.AuxiliaryAddresses ? { auxAddresses: c.AuxiliaryAddresses } : {}),
    })),
    options: body.Options ?? {},
    labels: body.Labels ?? {},
    dns: true,
  }
  const network = await engine.networks.create(spec)
  x.send(201, { Id: network.id, Warning: '' })
}

const view = (engine: Backend, n: Network, withContainers: boolean) => {
  const containers: Record<string, unknown> = {}
  if (withContainers)
    for (const e of engine.networks.endpoints(n.id)) {
      const owner = engine.containers.list().find((c) => c.sandboxId === e.sandboxId)
      containers[owner?.id ?? e.sandboxId] = {
        Name: owner?.spec.name ?? e.name,
        EndpointID: e.sandboxId.padEnd(64, '0').slice(0, 64),
        MacAddress: e.endpoint.mac,
        IPv4Address: e.endpoint.ipv4 ? `${e.endpoint.ipv4}/${e.endpoint.ipv4PrefixLength}` : '',
        IPv6Address: e.endpoint.ipv6 ? `${e.endpoint.ipv6}/${e.endpoint.ipv6PrefixLength}` : '',
      }
    }
  return {
    Name: n.spec.name,
    Id: n.id,
    Created: iso(n.createdAt),
    Scope: 'local',
    Driver: n.spec.driver,
    EnableIPv4: true,
    EnableIPv6: n.spec.ipv6,
    IPAM: {
      Driver: 'default',
      Options: n.spec.name === 'bridge' ? null : {},
      Config: n.subnets.map((s, i) => ({
        Subnet: s.subnet,
        ...(n.spec.ipam[i]?.ipRange ? { IPRange: n.spec.ipam[i].ipRange } : {}),
        Gateway: s.gateway,
      })),
    },
    Internal: n.spec.internal,
    Attachable: n.spec.attachable,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: containers,
    Options: {
      ...(n.bridge && n.spec.name === 'bridge' ? { 'com.docker.network.bridge.name': n.bridge } : {}),
      ...n.spec.options,
    },
    Labels: n.spec.labels,
  }
}
