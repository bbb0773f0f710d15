/** The nft table of services as data, and the transaction that leads from one state of it to the next: pure. */
import { createHash } from 'node:crypto'
import type { Claim, PortPlan, Target } from './plan.ts'

interface Element {
  set: 'services' | 'local' | 'refused' | 'refused_local' | 'ports' | 'hairpin' | 'outside'
  key: string
  value?: string | undefined
}
export interface TableState {
  /** Rules by chain name. */
  chains: Map<string, string[]>
  /** Declarations by name: the clients each target of a service with affinity has. */
  sets: Map<string, string>
  elements: Map<string, Element>
}

export const emptyTable = (): TableState => ({ chains: new Map(), sets: new Map(), elements: new Map() })

export interface Frame {
  table: string
  linkPrefix: string
  /** Addresses of ours that are no service, like the cluster's name server: host ports do not exist there. */
  reserved: readonly string[]
  /** Where service addresses come from: what no rule translates is refused there. */
  serviceCidr?: string | undefined
}

/**
 * A packet to a service address that is still addressed so after translation belongs to nobody. Let through, it would leave a
 * tracked connection without a translation, and later tries from the same port would follow that one to nowhere.
 */
const renderUnmatchedOutput = (cidr: string): string => `  chain unmatched {
    ip daddr @reserved return
    fib daddr type local return
    goto refuse
  }
  chain unmatched-output {
    type filter hook output priority filter; policy accept;
    ip daddr ${cidr} jump unmatched
  }
`

/**
 * Chains and sets that are always there.
 *
 * reset-guard: between a process's death and the removal of its endpoint, its pod's kernel answers a SYN with a reset. The
 * first one of a connection is dropped: the client sends its SYN again after a second, and by then the connection's entry is
 * forgotten and another endpoint is picked. A second reset passes. A reset that answers a SYN has sequence number 0
 * (RFC 9293 §3.10.7.1).
 */
export const renderFrame = ({ table, linkPrefix, reserved, serviceCidr }: Frame): string => `table inet ${table} {
}
delete table inet ${table}
table inet ${table} {
  map services { type ipv4_addr . inet_proto . inet_service : verdict; }
  map local { type inet_proto . inet_service : verdict; }
  map refused { type ipv4_addr . inet_proto . inet_service : verdict; }
  map refused_local { type inet_proto . inet_service : verdict; }
  set ports { type inet_proto . inet_service; }
  set hairpin { type ipv4_addr . ipv4_addr; }
  set outside { type ipv4_addr . inet_proto . inet_service; }
  set reserved { type ipv4_addr; ${reserved.length > 0 ? `elements = { ${reserved.join(', ')} }; ` : ''}}
  set resets { type ipv4_addr . inet_service . ipv4_addr . inet_service; size 65535; flags dynamic,timeout; timeout 5s; }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx port-unreachable
  }
  chain refusals {
    ip daddr . meta l4proto . th dport vmap @refused
    meta l4proto . th dport != @ports return
    ip daddr @reserved return
    fib daddr type local meta l4proto . th dport vmap @refused_local
  }
  chain refusals-in {
    type filter hook prerouting priority -110; policy accept;
    ct state new jump refusals
  }
  chain refusals-out {
    type filter hook output priority -110; policy accept;
    ct state new jump refusals
  }
  chain dispatch {
    ip daddr . meta l4proto . th dport vmap @services
    meta l4proto . th dport != @ports return
    ip daddr @reserved return
    fib daddr type local meta l4proto . th dport vmap @local
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    jump dispatch
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump dispatch
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ct status dnat oifname != "lo" ip daddr . meta l4proto . th dport @outside masquerade
    ct status dnat ip saddr 127.0.0.0/8 oifname "${linkPrefix}*" masquerade
  }
  chain reset-guard {
    ip saddr . tcp sport . ip daddr . tcp dport @resets return
    add @resets { ip saddr . tcp sport . ip daddr . tcp dport } drop
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
${serviceCidr === undefined ? '' : `    ip daddr ${serviceCidr} jump unmatched\n`}    iifname "${linkPrefix}p*" tcp flags & (fin | syn | rst | ack) == (rst | ack) tcp sequence 0 ct direction reply ct status dnat jump reset-guard
  }
  chain guard-input {
    type filter hook input priority -10; policy accept;
    iifname "${linkPrefix}p*" tcp flags & (fin | syn | rst | ack) == (rst | ack) tcp sequence 0 ct direction reply ct status dnat jump reset-guard
  }
${serviceCidr === undefined ? '' : renderUnmatchedOutput(serviceCidr)}}
`

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8)
/** Readable, and unique by its hash. nft takes letters, digits and "-_./\\" in names, at most 127. */
const chainName = (key: string): string => `svc-${hash(key)}-${key.replaceAll(':', '/').slice(0, 90)}`
/** The timeout is in it: a set's own cannot be changed, so another timeout is another set. */
const targetId = (plan: PortPlan, target: Target): string =>
  hash(`${plan.key} ${target.address}:${target.port} ${plan.affinity}`)

const balanced = (plan: PortPlan, state: TableState): string[] => {
  const { targets, protocol, affinity } = plan
  if (affinity === undefined) {
    const match = `meta l4proto ${protocol} dnat ip to`
    if (targets.length === 1) return [`${match} ${targets[0]!.address}:${targets[0]!.port}`]
    const choices = targets.map(({ address, port }, i) => `${i} : ${address} . ${port}`)
    return [`${match} numgen inc mod ${targets.length} map { ${choices.join(', ')} }`]
  }
  for (const target of targets) {
    const id = targetId(plan, target)
    state.sets.set(`clients-${id}`, `type ipv4_addr; size 65535; flags dynamic,timeout; timeout ${affinity}s;`)
    state.chains.set(`target-${id}`, [
      `update @clients-${id} { ip saddr }`,
      `meta l4proto ${protocol} dnat ip to ${target.address}:${target.port}`,
    ])
  }
  const known = targets.map(
    (target) => `ip saddr @clients-${targetId(plan, target)} goto target-${targetId(plan, target)}`,
  )
  const choices = targets.map((target, i) => `${i} : goto target-${targetId(plan, target)}`)
  return [...known, `numgen inc mod ${targets.length} vmap { ${choices.join(', ')} }`]
}

/** `held` are the host ports that are ours: others would be taken from somebody. */
export const tableOf = (plans: Iterable<PortPlan>, held: readonly Claim[], reserved: readonly string[]): TableState => {
  const state = emptyTable()
  const put = (element: Element): void => {
    const id = `${element.set} ${element.key}`
    if (!state.elements.has(id)) state.elements.set(id, element)
  }
  const sorted = [...plans].sort((a, b) => (a.key < b.key ? -1 : 1))
  for (const plan of sorted) {
    const chain = chainName(plan.key)
    const refused = plan.targets.length === 0
    if (!refused) state.chains.set(chain, balanced(plan, state))
    for (const address of plan.virtual) {
      if (reserved.includes(address)) continue
      const key = `${address} . ${plan.protocol} . ${plan.port}`
      put(refused ? { set: 'refused', key, value: 'goto refuse' } : { set: 'services', key, value: `goto ${chain}` })
    }
    for (const { address, port, outside } of plan.targets) {
      put({ set: 'hairpin', key: `${address} . ${address}` })
      if (outside) put({ set: 'outside', key: `${address} . ${plan.protocol} . ${port}` })
    }
  }
  for (const { plan, protocol, port } of held) {
    const key = `${protocol} . ${port}`
    put({ set: 'ports', key })
    if (plan.targets.length === 0) put({ set: 'refused_local', key, value: 'goto refuse' })
    else put({ set: 'local', key, value: `goto ${chainName(plan.key)}` })
  }
  return state
}

const written = ({ key, value }: Element): string => (value === undefined ? key : `${key} : ${value}`)
const same = (a: readonly string[] | undefined, b: readonly string[]): boolean =>
  a !== undefined && a.length === b.length && a.every((line, i) => line === b[i])

/** One transaction. '' when nothing changes. */
export const renderChange = (table: string, from: TableState, to: TableState): string => {
  const lines: string[] = []
  const elements = (verb: string, changed: readonly Element[]): void => {
    for (const [set, mine] of Map.groupBy(changed, (element) => element.set))
      lines.push(`${verb} element inet ${table} ${set} { ${mine.map(written).join(', ')} }`)
  }
  const gone = [...from.elements].filter(
    ([id, { value }]) => to.elements.get(id)?.value !== value || !to.elements.has(id),
  )
  const fresh = [...to.elements].filter(
    ([id, { value }]) => from.elements.get(id)?.value !== value || !from.elements.has(id),
  )
  elements(
    'delete',
    gone.map(([, element]) => element),
  )
  const changed = [...to.chains].filter(([name, rules]) => !same(from.chains.get(name), rules))
  for (const [name, declaration] of to.sets)
    if (!from.sets.has(name)) lines.push(`add set inet ${table} ${name} { ${declaration} }`)
  for (const [name] of changed) lines.push(`${from.chains.has(name) ? 'flush' : 'add'} chain inet ${table} ${name}`)
  for (const [name, rules] of changed) for (const rule of rules) lines.push(`add rule inet ${table} ${name} ${rule}`)
  elements(
    'add',
    fresh.map(([, element]) => element),
  )
  const dead = [...from.chains.keys()].filter((name) => !to.chains.has(name))
  for (const name of dead) lines.push(`flush chain inet ${table} ${name}`)
  for (const name of dead) lines.push(`delete chain inet ${table} ${name}`)
  for (const name of from.sets.keys()) if (!to.sets.has(name)) lines.push(`delete set inet ${table} ${name}`)
  return lines.map((line) => `${line}\n`).join('')
}

/** The whole table, replacing what there is, in one transaction. */
export const renderTable = (frame: Frame, state: TableState): string =>
  renderFrame(frame) + renderChange(frame.table, emptyTable(), state)
