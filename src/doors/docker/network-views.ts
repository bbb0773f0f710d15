/** Networks as docker lists and inspects them. */
import type { Engine, Network } from '../../engine/types.ts'
import { endpointId } from './container-fields.ts'
import { iso } from './container-views.ts'

type Rooms = Pick<Engine, 'networks' | 'containers'>

const containersOn = (rooms: Rooms, network: Network): Record<string, object> =>
  Object.fromEntries(
    rooms.networks.endpoints(network.id).map(({ sandboxId, name, endpoint }) => {
      const owner = rooms.containers.list().find((container) => container.sandboxId === sandboxId)
      const view = {
        Name: owner?.spec.name ?? name,
        EndpointID: endpointId(network.id, sandboxId),
        MacAddress: endpoint.mac,
        IPv4Address: endpoint.ipv4 ? `${endpoint.ipv4}/${endpoint.ipv4PrefixLength}` : '',
        IPv6Address: endpoint.ipv6 ? `${endpoint.ipv6}/${endpoint.ipv6PrefixLength}` : '',
      }
      return [owner?.id ?? sandboxId, view]
    }),
  )

const isSix = (subnet: string | undefined): boolean => subnet?.includes(':') ?? false

/** Of each family what was asked for, as it was; where nothing was, what came of it. IPv4 first. */
const addressing = ({ spec, subnets }: Network): object[] | null => {
  const config = [false, true].flatMap((six): object[] => {
    const asked = spec.ipam.filter(({ subnet }) => subnet !== undefined && isSix(subnet) === six)
    if (asked.length === 0)
      return subnets
        .filter(({ subnet }) => isSix(subnet) === six)
        .map(({ subnet, gateway }) => ({ Subnet: subnet, ...(gateway ? { Gateway: gateway } : {}) }))
    return asked.map(({ subnet, ipRange, gateway, auxAddresses }) => ({
      Subnet: subnet,
      ...(ipRange ? { IPRange: ipRange } : {}),
      ...(gateway ? { Gateway: gateway } : {}),
      ...(auxAddresses && Object.keys(auxAddresses).length > 0 ? { AuxiliaryAddresses: auxAddresses } : {}),
    }))
  })
  return config.length > 0 ? config : null
}

/** As dockerd makes its own default bridge. */
const defaultBridgeOptions = (bridge: string, mtu: number | undefined) => ({
  'com.docker.network.bridge.default_bridge': 'true',
  'com.docker.network.bridge.enable_icc': 'true',
  'com.docker.network.bridge.enable_ip_masquerade': 'true',
  'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0',
  'com.docker.network.bridge.name': bridge,
  'com.docker.network.driver.mtu': String(mtu ?? ''),
})

/** `containers`: also who is on it. */
export const networkView = (rooms: Rooms, network: Network, containers: boolean) => {
  const { spec, id } = network
  const isDefault = spec.name === 'bridge' && network.bridge !== undefined
  return {
    Name: spec.name,
    Id: id,
    Created: iso(network.createdAt),
    Scope: 'local',
    Driver: spec.configOnly ? 'null' : spec.driver,
    EnableIPv4: spec.ipv4 ?? true,
    EnableIPv6: spec.ipv6,
    IPAM: {
      Driver: 'default',
      Options: spec.ipamOptions ?? null,
      Config: addressing(network),
    },
    Internal: spec.internal,
    Attachable: spec.attachable,
    Ingress: false,
    ConfigFrom: { Network: spec.configFrom ?? '' },
    ConfigOnly: spec.configOnly ?? false,
    Containers: containers ? containersOn(rooms, network) : {},
    Options: {
      ...(isDefault ? defaultBridgeOptions(network.bridge!, rooms.networks.mtu(network)) : {}),
      ...spec.options,
    },
    Labels: spec.labels,
  }
}
