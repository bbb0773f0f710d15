/**
 * Our nft table as data: a fixed frame of chains, and elements of sets and maps that come and go with networks and
 * published ports. A change is one small transaction; the whole is rendered again only at the start or when the table is
 * gone (somebody flushed the ruleset).
 *
 * The chains can only refuse or translate: a host firewall that drops forwarded packets keeps the last word.
 */
import type { Instance, Network } from '../types.ts'
import { bridgeOptions, gatewayMode } from './options.ts'

const sets = {
  /** Links of ours whose names do not begin with our prefix. */
  named: 'set named { type ifname; ',
  /** Bridges nobody outside may open connections to, but to published ports. */
  closed4: 'set closed4 { type ifname; ',
  closed6: 'set closed6 { type ifname; ',
  /** Bridges that are routed to: they answer pings. */
  routed4: 'set routed4 { type ifname; ',
  routed6: 'set routed6 { type ifname; ',
  /** Published ports of sandboxes that are routed to. */
  open4: 'set open4 { type ipv4_addr . inet_proto . inet_service; ',
  open6: 'set open6 { type ipv6_addr . inet_proto . inet_service; ',
  /** From which links of the host a bridge is reached as if nothing were closed. */
  trusted: 'set trusted { type ifname . ifname; ',
  /** May one sandbox of a bridge talk to another. */
  within: 'map within { type ifname . ifname : verdict; ',
  internal: 'set internal { type ifname; ',
  masquerade4: 'set masquerade4 { type ipv4_addr; flags interval; ',
  masquerade6: 'set masquerade6 { type ipv6_addr; flags interval; ',
  /** Subnets that leave by one address of the host. */
  source4: 'map source4 { type ipv4_addr : ipv4_addr; flags interval; ',
  source6: 'map source6 { type ipv6_addr : ipv6_addr; flags interval; ',
  /** Source and target whose answers would not come back through us. */
  hairpin4: 'set hairpin4 { type ipv4_addr . ipv4_addr; flags interval; ',
  hairpin6: 'set hairpin6 { type ipv6_addr . ipv6_addr; flags interval; ',
  published4: 'map published4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; ',
  published6: 'map published6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; ',
  everywhere4: 'map everywhere4 { type inet_proto . inet_service : ipv4_addr . inet_service; ',
  everywhere6: 'map everywhere6 { type inet_proto . inet_service : ipv6_addr . inet_service; ',
} as const

export interface Element {
  set: keyof typeof sets
  key: string
  value?: string | undefined
}

/** A port of the host that leads to a sandbox. `hostIp` '' is every address. */
interface Publication {
  hostIp: string
  hostPort: number
  protocol: 'tcp' | 'udp' | 'sctp'
  target: string
  targetPort: number
}

/** Who may talk to whom over a bridge. */
const bridgeElements = (network: Network, bridge: string): Element[] => {
  const { icc, trusted, name } = bridgeOptions(network.spec.options)
  const link = `"${bridge}"`
  const elements: Element[] = [{ set: 'within', key: `${link} . ${link}`, value: icc ? 'accept' : 'drop' }]
  if (name !== undefined) elements.push({ set: 'named', key: link })
  if (network.spec.internal) return [...elements, { set: 'internal', key: link }]
  for (const family of [4, 6] as const) {
    const mode = gatewayMode(network, family)
    if (mode !== 'nat-unprotected') elements.push({ set: `closed${family}`, key: link })
    if (mode === 'routed') elements.push({ set: `routed${family}`, key: link })
  }
  return [...elements, ...trusted.map((from): Element => ({ set: 'trusted', key: `"${from}" . ${link}` }))]
}

/** How a subnet leaves the machine, and comes back to itself. */
const subnetElements = (network: Network, subnet: string): Element[] => {
  const family = subnet.includes(':') ? 6 : 4
  const elements: Element[] = []
  if (network.bridge !== undefined) elements.push({ set: `hairpin${family}`, key: `${subnet} . ${subnet}` })
  const mode = gatewayMode(network, family)
  const { masquerade, source4, source6 } = bridgeOptions(network.spec.options)
  if (network.spec.internal || !masquerade || mode === 'routed' || mode === 'isolated') return elements
  const source = family === 4 ? source4 : source6
  if (source === undefined) elements.push({ set: `masquerade${family}`, key: subnet })
  else elements.push({ set: `source${family}`, key: subnet, value: source })
  return elements
}

export const elementsOfNetwork = (network: Network): Element[] => {
  const { spec, bridge, subnets } = network
  if (spec.driver !== 'bridge' && spec.driver !== 'routed') return []
  return [
    ...(bridge === undefined ? [] : bridgeElements(network, bridge)),
    ...subnets.flatMap(({ subnet }) => subnetElements(network, subnet)),
  ]
}

/** Where a published port leads without any translation. */
export const elementsOfRouted = ({ protocol, target, targetPort }: Publication): Element[] => [
  { set: target.includes(':') ? 'open6' : 'open4', key: `${target} . ${protocol} . ${targetPort}` },
]

export const elementsOfPublication = (port: Publication, options: { bridged: boolean }): Element[] => {
  const family = port.target.includes(':') ? 6 : 4
  if (port.hostIp !== '' && port.hostIp.includes(':') !== (family === 6)) return []
  // The kernel cannot translate connections to ::1; the held socket forwards those.
  if (port.hostIp === '::1') return []
  const everywhere = port.hostIp === '' || port.hostIp === '0.0.0.0' || port.hostIp === '::'
  const service = `${port.protocol} . ${port.hostPort}`
  const value = `${port.target} . ${port.targetPort}`
  const elements: Element[] = [
    everywhere
      ? { set: `everywhere${family}`, key: service, value }
      : { set: `published${family}`, key: `${port.hostIp} . ${service}`, value },
  ]
  // On a bridge the whole subnet is in the set already.
  if (!options.bridged) elements.push({ set: `hairpin${family}`, key: `${port.target} . ${port.target}` })
  return elements
}

const chains = (prefix: string): string => `
  chain raw {
    type filter hook prerouting priority raw; policy accept;
    iifname "${prefix}*" ip daddr 127.0.0.0/8 drop
    iifname @named ip daddr 127.0.0.0/8 drop
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump published
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump published
  }
  chain published {
    meta l4proto { tcp, udp, sctp } dnat ip to ip daddr . meta l4proto . th dport map @published4
    meta l4proto { tcp, udp, sctp } dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6
    meta l4proto { tcp, udp, sctp } dnat ip to meta l4proto . th dport map @everywhere4
    ip6 daddr != ::1 meta l4proto { tcp, udp, sctp } dnat ip6 to meta l4proto . th dport map @everywhere6
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    iifname . oifname vmap @within
    iifname @internal drop
    oifname @internal drop
    ct status dnat accept
    iifname . oifname @trusted accept
    ip daddr . meta l4proto . th dport @open4 accept
    ip6 daddr . meta l4proto . th dport @open6 accept
    oifname @routed4 meta l4proto icmp accept
    oifname @routed6 meta l4proto icmpv6 accept
    meta nfproto ipv4 oifname @closed4 drop
    meta nfproto ipv6 oifname @closed6 drop
    oifname "${prefix}p*" iifname != "${prefix}p*" drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip saddr . ip daddr @hairpin4 masquerade
    ct status dnat ip6 saddr . ip6 daddr @hairpin6 masquerade
    oifname "${prefix}*" ip saddr 127.0.0.0/8 masquerade
    oifname "${prefix}*" return
    oifname @named ip saddr 127.0.0.0/8 masquerade
    oifname @named return
    ip daddr 224.0.0.0/4 return
    ip6 daddr ff00::/8 return
    snat ip to ip saddr map @source4
    snat ip6 to ip6 saddr map @source6
    ip saddr @masquerade4 masquerade
    ip6 saddr @masquerade6 masquerade
  }`

const written = ({ key, value }: Element): string => (value === undefined ? key : `${key} : ${value}`)

/** The whole table, replacing what there is, in one transaction. */
export const renderTable = (
  instance: Pick<Instance, 'nftTable' | 'linkPrefix'>,
  elements: Iterable<Element>,
): string => {
  const bySet = Map.groupBy(elements, ({ set }) => set)
  const declared = Object.entries(sets).map(([name, head]) => {
    const mine = bySet.get(name as Element['set']) ?? []
    return `  ${head}${mine.length === 0 ? '' : `elements = { ${mine.map(written).join(', ')} }; `}}`
  })
  const table = `table inet ${instance.nftTable}`
  return `${table} {\n}\ndelete ${table}\n${table} {\n${declared.join('\n')}${chains(instance.linkPrefix)}\n}\n`
}

export const renderChange = (
  instance: Pick<Instance, 'nftTable'>,
  change: { add: readonly Element[]; remove: readonly Element[] },
): string => {
  const lines = (verb: string, elements: readonly Element[]): string[] =>
    [...Map.groupBy(elements, ({ set }) => set)].map(
      ([set, mine]) => `${verb} element inet ${instance.nftTable} ${set} { ${mine.map(written).join(', ')} }\n`,
    )
  return [...lines('delete', change.remove), ...lines('add', change.add)].join('')
}
