/**
 * Our nft table as data: a fixed frame of chains, and elements of sets and maps that come and go with networks and
 * published ports. A change is one small transaction; the whole is rendered again only at the start or when the table is
 * gone (somebody flushed the ruleset).
 *
 * The chains can only refuse or translate: a host firewall that drops forwarded packets keeps the last word.
 */
import { isError } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Firewall } from '../../sys/sys.ts'
import type { Instance, Network } from '../types.ts'

const sets = {
  /** Bridges nobody outside may open connections to. */
  bridges: 'set bridges { type ifname; ',
  /** May one sandbox of a bridge talk to another. */
  within: 'map within { type ifname . ifname : verdict; ',
  internal: 'set internal { type ifname; ',
  masquerade4: 'set masquerade4 { type ipv4_addr; flags interval; ',
  masquerade6: 'set masquerade6 { type ipv6_addr; flags interval; ',
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

export const elementsOfNetwork = (network: Network): Element[] => {
  const { spec, bridge, subnets } = network
  const elements: Element[] = []
  if (bridge !== undefined) {
    const verdict = spec.options['com.docker.network.bridge.enable_icc'] === 'false' ? 'drop' : 'accept'
    elements.push({ set: 'within', key: `"${bridge}" . "${bridge}"`, value: verdict })
    elements.push({ set: spec.internal ? 'internal' : 'bridges', key: `"${bridge}"` })
  }
  if (spec.driver !== 'bridge' && spec.driver !== 'routed') return elements
  for (const { subnet } of subnets) {
    const family = subnet.includes(':') ? 6 : 4
    if (bridge !== undefined) elements.push({ set: `hairpin${family}`, key: `${subnet} . ${subnet}` })
    if (!spec.internal && spec.options['com.docker.network.bridge.enable_ip_masquerade'] !== 'false')
      elements.push({ set: `masquerade${family}`, key: subnet })
  }
  return elements
}

export const elementsOfPublication = (port: Publication, options: { bridged: boolean }): Element[] => {
  const family = port.target.includes(':') ? 6 : 4
  const everywhere = port.hostIp === '' || port.hostIp === '0.0.0.0' || port.hostIp === '::'
  if (port.hostIp !== '' && port.hostIp.includes(':') !== (family === 6)) return []
  // The kernel cannot translate connections to ::1; the held socket forwards those.
  if (port.hostIp === '::1') return []
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
    oifname @bridges drop
    oifname "${prefix}p*" iifname != "${prefix}p*" drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip saddr . ip daddr @hairpin4 masquerade
    ct status dnat ip6 saddr . ip6 daddr @hairpin6 masquerade
    ip saddr 127.0.0.0/8 oifname "${prefix}*" masquerade
    iifname "${prefix}*" ip saddr @masquerade4 oifname != "${prefix}*" ip daddr != 224.0.0.0/4 masquerade
    iifname "${prefix}*" ip6 saddr @masquerade6 oifname != "${prefix}*" ip6 daddr != ff00::/8 masquerade
  }`

const written = ({ key, value }: Element): string => (value === undefined ? key : `${key} : ${value}`)

/** The whole table, replacing what there is, in one transaction. */
const renderTable = (instance: Pick<Instance, 'nftTable' | 'linkPrefix'>, elements: Iterable<Element>): string => {
  const bySet = Map.groupBy(elements, ({ set }) => set)
  const declared = Object.entries(sets).map(([name, head]) => {
    const mine = bySet.get(name as Element['set']) ?? []
    return `  ${head}${mine.length === 0 ? '' : `elements = { ${mine.map(written).join(', ')} }; `}}`
  })
  const table = `table inet ${instance.nftTable}`
  return `${table} {\n}\ndelete ${table}\n${table} {\n${declared.join('\n')}${chains(instance.linkPrefix)}\n}\n`
}

const renderChange = (
  instance: Pick<Instance, 'nftTable'>,
  change: { add: readonly Element[]; remove: readonly Element[] },
): string => {
  const lines = (verb: string, elements: readonly Element[]): string[] =>
    [...Map.groupBy(elements, ({ set }) => set)].map(
      ([set, mine]) => `${verb} element inet ${instance.nftTable} ${set} { ${mine.map(written).join(', ')} }\n`,
    )
  return [...lines('delete', change.remove), ...lines('add', change.add)].join('')
}

/** Keeps the kernel's table equal to the elements asked for. */
export interface RulesKeeper {
  /**
   * Resolves when the kernel has it. Before the first restore() it is only remembered: the table of an earlier daemon stays
   * in force until the new one can replace it as a whole.
   */
  change(change: { add?: readonly Element[]; remove?: readonly Element[] }): Promise<void>
  /** Writes the whole table. */
  restore(): Promise<void>
  /** Writes it only if the kernel has lost it. True: it had. */
  check(): Promise<boolean>
  remove(): Promise<void>
}

export const createRulesKeeper = (instance: Instance, firewall: Firewall, log: Log): RulesKeeper => {
  const wanted = new Map<string, Element>()
  const keyOf = ({ set, key }: Element): string => `${set} ${key}`
  let tail: Promise<unknown> = Promise.resolve()
  let written = false

  const inTurn = <T>(task: () => Promise<T>): Promise<T> => {
    const mine = tail.then(task, task)
    tail = mine.catch(() => {})
    return mine
  }
  const restore = async (): Promise<void> => {
    await firewall.apply(renderTable(instance, wanted.values()))
    written = true
  }

  return {
    change: ({ add = [], remove = [] }) =>
      inTurn(async () => {
        const gone = remove.filter((element) => wanted.delete(keyOf(element)))
        const fresh = add.filter(
          (element) => wanted.get(keyOf(element))?.value !== element.value || !wanted.has(keyOf(element)),
        )
        const replaced = fresh
          .filter((element) => wanted.has(keyOf(element)))
          .map((element) => wanted.get(keyOf(element))!)
        for (const element of fresh) wanted.set(keyOf(element), element)
        if (!written) return
        try {
          await firewall.apply(renderChange(instance, { add: fresh, remove: [...gone, ...replaced] }))
        } catch (error) {
          if (!isError(error, 'internal')) throw error
          // The table is gone or was changed by somebody: what we want is known, so write all of it.
          log.warn('writing the firewall table again', { table: instance.nftTable, error: error.message })
          try {
            await restore()
          } catch (again) {
            for (const element of fresh) wanted.delete(keyOf(element))
            throw again
          }
        }
      }),
    restore: () => inTurn(restore),
    check: () =>
      inTurn(async () => {
        if (!written || (await firewall.list('inet', instance.nftTable)) !== undefined) return false
        log.warn('the firewall table was removed by somebody; writing it again', { table: instance.nftTable })
        await restore()
        return true
      }),
    remove: () =>
      inTurn(async () => {
        await firewall.apply(`table inet ${instance.nftTable} {\n}\ndelete table inet ${instance.nftTable}\n`)
        written = false
      }),
  }
}
