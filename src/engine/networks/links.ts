/** `ip` lines for networks and their endpoints: pure. */
import { createHash } from 'node:crypto'
import { parseAddress } from '../../lib/ip.ts'
import type { Endpoint, Instance, Network } from '../types.ts'

/** The other end of every routed sandbox's link: one address and one hardware address for all, as nobody else sees them. */
const routedGateway = { address: '169.254.1.1', address6: 'fe80::1', mac: 'ee:ee:ee:ee:ee:ee' }

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8)

export const bridgeName = (instance: Instance, networkId: string): string => `${instance.linkPrefix}b${hash(networkId)}`
export const anchorName = (instance: Instance, networkId: string): string => `${instance.linkPrefix}r${hash(networkId)}`
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

/** Interfaces of the network itself; `present` are those that exist. Replacing an address that is there changes nothing. */
export const networkLines = (network: Network, mtu: number, name: string, present: boolean): string[] => {
  const { spec, subnets } = network
  const lines: string[] = []
  if (spec.driver === 'bridge') {
    if (!present) lines.push(`link add name ${name} mtu ${mtu} address ${macOf(undefined, network.id)} type bridge`)
    for (const { subnet, gateway } of subnets) {
      const six = gateway.includes(':')
      lines.push(`addr replace ${gateway}/${prefixOf(subnet)}${six ? ' nodad' : ' brd +'} dev ${name}`)
    }
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

/** What makes one endpoint. `netns` is the pinned namespace. */
export const endpointLines = (network: Network, endpoint: Endpoint, netns: string, mtu: number): LinkPlan => {
  const { hostIfname: host, ifname, mac } = endpoint
  const addresses = [
    endpoint.ipv4 && { text: endpoint.ipv4, prefix: endpoint.ipv4PrefixLength ?? 32, six: false },
    endpoint.ipv6 && { text: endpoint.ipv6, prefix: endpoint.ipv6PrefixLength ?? 128, six: true },
  ].filter((address) => address !== undefined && address !== '')
  const inside = [
    ...addresses.map(({ text, prefix, six }) => `addr add ${text}/${prefix}${six ? ' nodad' : ' brd +'} dev ${ifname}`),
    `link set dev ${ifname} up`,
  ]
  const veth = `link add name ${host} mtu ${mtu}`
  const peer = `type veth peer name ${ifname} mtu ${mtu} address ${mac} netns ${netns}`
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
      return { outside: outside, inside }
    }
    case 'macvlan': {
      const mode = network.spec.options.macvlan_mode ?? 'bridge'
      const line = `link add link ${parentOf(network)} name ${ifname} address ${mac} netns ${netns} type macvlan mode ${mode}`
      return { outside: [line], inside }
    }
    case 'ipvlan': {
      const mode = network.spec.options.ipvlan_mode ?? 'l2'
      return {
        outside: [`link add link ${parentOf(network)} name ${ifname} netns ${netns} type ipvlan mode ${mode}`],
        inside,
      }
    }
    default:
      return { outside: [], inside: [] }
  }
}

const parentOf = (network: Network): string | undefined => network.spec.options.parent

/** The default routes of a sandbox, by the first of its endpoints that leads out. */
export const defaultRouteLines = (endpoints: readonly { network: Network; endpoint: Endpoint }[]): string[] => {
  const out = endpoints.filter(({ network }) => !network.spec.internal)
  const lines: string[] = []
  const four = out.find(({ endpoint }) => endpoint.gateway4 !== undefined)?.endpoint
  const six = out.find(({ endpoint }) => endpoint.gateway6 !== undefined)?.endpoint
  if (four) lines.push(`route replace default via ${four.gateway4} dev ${four.ifname}`)
  if (six) lines.push(`route replace default via ${six.gateway6} dev ${six.ifname}`)
  return lines
}
