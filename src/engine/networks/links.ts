/** `ip` lines for networks and their endpoints: pure. */
import { createHash } from 'node:crypto'
import { parseAddress } from '../../lib/ip.ts'
import type { Endpoint, Instance, Network } from '../types.ts'
import { bridgeOptions, ipvlanMode, isClosed, macvlanMode } from './options.ts'

/** The other end of every routed sandbox's link: one address and one hardware address for all, as nobody else sees them. */
const routedGateway = { address: '169.254.1.1', address6: 'fe80::1', mac: 'ee:ee:ee:ee:ee:ee' }

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8)

export const bridgeName = (instance: Instance, networkId: string): string => `${instance.linkPrefix}b${hash(networkId)}`
export const anchorName = (instance: Instance, networkId: string): string => `${instance.linkPrefix}r${hash(networkId)}`
/** For networks that name no parent: nothing is beyond it. */
export const parentName = (instance: Instance, networkId: string): string => `${instance.linkPrefix}d${hash(networkId)}`
/** `salt` differs each time, so a link that is still being deleted is never in the way. */
export const vethName = (instance: Instance, network: Network, sandboxId: string, salt: string): string =>
  `${instance.linkPrefix}${network.spec.driver === 'routed' ? 'p' : 'v'}${hash(`${network.id}/${sandboxId}/${salt}`)}`

/** 02:42 and the address, as docker does: an address that is used again keeps its hardware address. */
export const macOf = (ipv4: string | undefined, seed: string): string => {
  const value = ipv4 === undefined ? undefined : parseAddress(ipv4)?.value
  const tail = value === undefined ? hash(seed) : value.toString(16).padStart(8, '0')
  return `02:42:${tail.match(/../g)!.join(':')}`
}

const prefixOf = (subnet: string): string => subnet.slice(subnet.indexOf('/') + 1)

/** What links of ours that have somebody else's name are known by. */
export const markOf = (instance: Instance): string => `slipway-${instance.id}`

interface NetworkLink {
  name: string
  /** It is there already. Replacing an address that is there changes nothing. */
  present: boolean
  /** Marked as ours, because the name does not tell. */
  mark?: string | undefined
  mtu: number | undefined
}

/** The one address the bridge has of each family; none where the network's mode says so. */
const bridgeAddresses = (network: Network): string[] => {
  const { inhibitIpv4 } = bridgeOptions(network.spec.options)
  return network.subnets.flatMap(({ subnet, gateway }) => {
    const six = subnet.includes(':')
    if (gateway === '' || (inhibitIpv4 && !six)) return []
    return [`${gateway}/${prefixOf(subnet)}${six ? ' nodad' : ' brd +'}`]
  })
}

/** Interfaces of the network itself. */
export const networkLines = (network: Network, { name, present, mark, mtu }: NetworkLink): string[] => {
  const { spec, subnets } = network
  const lines: string[] = []
  if (spec.driver === 'bridge') {
    if (!present) lines.push(`link add name ${name} mtu ${mtu} address ${macOf(undefined, network.id)} type bridge`)
    if (mark !== undefined) lines.push(`link set dev ${name} alias ${mark}`)
    lines.push(...bridgeAddresses(network).map((address) => `addr replace ${address} dev ${name}`))
    lines.push(`link set dev ${name} up`)
  }
  if (spec.driver === 'routed') {
    // Holds the address the host talks to pods from, also on a machine without any other. A bridge without ports, as the
    // dummy driver is not in every kernel.
    if (!present) lines.push(`link add name ${name} type bridge`)
    for (const { gateway } of subnets)
      lines.push(`addr replace ${gateway}/${gateway.includes(':') ? 128 : 32} dev ${name}`)
    lines.push(`link set dev ${name} up`)
  }
  return lines
}

interface LinkPlan {
  /** Lines for the host's namespace, then for the sandbox's. */
  outside: string[]
  inside: string[]
}

const mtuWords = (mtu: number | undefined): string => (mtu === undefined ? '' : ` mtu ${mtu}`)

/** What makes one endpoint. `netns` is the pinned namespace, `parent` the link that macvlan and ipvlan sit on. */
export const endpointLines = (
  network: Network,
  endpoint: Endpoint,
  at: { netns: string; mtu: number | undefined; parent: string },
): LinkPlan => {
  const { hostIfname: host, ifname, mac } = endpoint
  const { netns, parent } = at
  const mtu = mtuWords(at.mtu)
  const addresses = [
    endpoint.ipv4 && { text: endpoint.ipv4, prefix: endpoint.ipv4PrefixLength ?? 32, six: false },
    endpoint.ipv6 && { text: endpoint.ipv6, prefix: endpoint.ipv6PrefixLength ?? 128, six: true },
  ].filter((address) => address !== undefined && address !== '')
  const linkLocal = (endpoint.linkLocal ?? []).map((text) => {
    const six = text.includes(':')
    return { text, prefix: six ? 64 : 16, six }
  })
  const inside = [
    ...[...addresses, ...linkLocal].map(
      ({ text, prefix, six }) => `addr add ${text}/${prefix}${six ? ' nodad' : ' brd +'} dev ${ifname}`,
    ),
    `link set dev ${ifname} up`,
  ]
  const veth = `link add name ${host}${mtu}`
  const peer = `type veth peer name ${ifname}${mtu} address ${mac} netns ${netns}`
  switch (network.spec.driver) {
    case 'bridge':
      return {
        outside: [
          `${veth} master ${network.bridge} ${peer}`,
          `link set dev ${host} type bridge_slave hairpin on`,
          `link set dev ${host} addrgenmode none up`,
        ],
        inside,
      }
    case 'routed': {
      const outside = [`${veth} address ${routedGateway.mac} ${peer}`, `link set dev ${host} addrgenmode none up`]
      for (const { text, six } of addresses) {
        const source = network.subnets.find(({ gateway }) => gateway.includes(':') === six)?.gateway
        outside.push(`neigh replace ${text} lladdr ${mac} dev ${host} nud permanent`)
        outside.push(`route replace ${text}/${six ? 128 : 32} dev ${host}${source ? ` src ${source}` : ''}`)
        const gateway = six ? routedGateway.address6 : routedGateway.address
        inside.push(`neigh replace ${gateway} lladdr ${routedGateway.mac} dev ${ifname} nud permanent`)
        inside.push(`route replace ${gateway} dev ${ifname} scope link`)
      }
      return { outside, inside }
    }
    case 'macvlan': {
      const type = `type macvlan mode ${macvlanMode(network.spec.options)}`
      return { outside: [`link add link ${parent} name ${ifname}${mtu} address ${mac} netns ${netns} ${type}`], inside }
    }
    case 'ipvlan': {
      const { mode, flag } = ipvlanMode(network.spec.options)
      const type = `type ipvlan mode ${mode}${flag === 'bridge' ? '' : ` ${flag}`}`
      return { outside: [`link add link ${parent} name ${ifname}${mtu} netns ${netns} ${type}`], inside }
    }
    default:
      return { outside: [], inside: [] }
  }
}

type Wired = { network: Network; endpoint: Endpoint }

/** Those that lead out, the one that leads first. */
export const outward = <T extends Wired>(wires: readonly T[]): T[] =>
  wires
    .filter(({ network }) => !isClosed(network))
    .sort(
      (a, b) =>
        (b.endpoint.gwPriority ?? 0) - (a.endpoint.gwPriority ?? 0) ||
        (a.network.spec.name < b.network.spec.name ? -1 : 1),
    )

/** In the third layer there is no gateway to ask for: everything is sent into the link. */
const routesItself = ({ spec }: Network): boolean => spec.driver === 'ipvlan' && ipvlanMode(spec.options).mode !== 'l2'

/** The default routes of a sandbox, by the first of its endpoints that leads out. */
export const defaultRouteLines = (endpoints: readonly Wired[]): string[] => {
  const out = outward(endpoints)
  return ([4, 6] as const).flatMap((family) => {
    const gatewayOf = ({ endpoint }: Wired) => (family === 4 ? endpoint.gateway4 : endpoint.gateway6)
    const has = ({ endpoint }: Wired) => (family === 4 ? endpoint.ipv4 : endpoint.ipv6) !== undefined
    const first = out.find((wire) => gatewayOf(wire) !== undefined || (has(wire) && routesItself(wire.network)))
    if (!first) return []
    const via = gatewayOf(first) === undefined ? '' : ` via ${gatewayOf(first)}`
    return [`route replace ${family === 6 ? '::/0' : '0.0.0.0/0'}${via} dev ${first.endpoint.ifname}`]
  })
}
