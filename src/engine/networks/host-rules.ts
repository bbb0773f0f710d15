/**
 * The hooks of others on this machine. A packet has to pass all of them, so whoever drops there has the last word, and a
 * policy of "drop" (dockerd, ufw and others set one) ends what our table lets through. Where iptables has such a policy, rules
 * that accept our links are kept at the very end of its chain: what anybody refuses by a rule stays refused. What cannot be
 * helped like that is told to the user.
 */
import { existsSync, readFileSync } from 'node:fs'
import { messageOf } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Sys } from '../../sys/sys.ts'
import type { Instance } from '../types.ts'
import { type Admitted, marked, planForward, planInput, planUserChain } from './host-plan.ts'

const variants = [
  { program: 'iptables-nft', family: 'ip', legacy: undefined },
  { program: 'ip6tables-nft', family: 'ip6', legacy: undefined },
  { program: 'iptables-legacy', family: 'ip', legacy: '/proc/self/net/ip_tables_names' },
  { program: 'ip6tables-legacy', family: 'ip6', legacy: '/proc/self/net/ip6_tables_names' },
] as const
type Variant = (typeof variants)[number]

interface BaseChain {
  family: string
  table: string
  name: string
  hook?: string | undefined
  policy?: string | undefined
}
type Listing = { nftables: { chain?: BaseChain; rule?: { expr: object[] } }[] }

const isRefusal = (expression: object): boolean => 'drop' in expression || 'reject' in expression
/** Does it end by refusing whatever is left? */
const refusesRest = ({ nftables }: Listing): boolean => {
  const last = nftables.flatMap(({ rule }) => rule ?? []).at(-1)
  const said = (last?.expr ?? []).filter((expression) => !('counter' in expression))
  return said.length === 1 && isRefusal(said[0]!)
}

/** Chains of a hook that refuse what is left, and that we do not write into: "chain f of nftables' table inet mine". */
const refusing = async (
  processes: Sys['processes'],
  all: readonly BaseChain[],
  hook: 'forward' | 'input',
): Promise<string[]> => {
  const found: string[] = []
  for (const { family, table, name, policy } of all.filter((chain) => chain.hook === hook)) {
    if (table.startsWith('slipway_')) continue
    const iptables = table === 'filter' && name === hook.toUpperCase() && family !== 'inet'
    const { stdout, code } = await processes.run(['nft', '-j', 'list', 'chain', family, table, name])
    const rest = code === 0 && refusesRest(JSON.parse(stdout) as Listing)
    if ((policy === 'drop' && !iptables) || rest) found.push(`chain ${name} of nftables' table ${family} ${table}`)
  }
  return found
}

const sentences = (
  prefix: string,
  forward: readonly string[],
  input: readonly string[],
  admitted: readonly Admitted[],
): string[] => {
  const places = admitted.map(({ address, protocol, port }) => `${address} ${protocol} ${port}`).join(', ')
  return [
    ...forward.map(
      (chain) =>
        `${chain} refuses forwarded packets: containers may not be reached from outside, nor reach it. Accept iifname "${prefix}*" and oifname "${prefix}*" there.`,
    ),
    ...input.map(
      (chain) =>
        `${chain} refuses what pods send to this machine: names may not resolve. Accept iifname "${prefix}p*" to ${places} there.`,
    ),
  ]
}

/** Has the old iptables a filter table here? To ask itself would make one, and that stays. */
const isLegacyInUse = (file: string): boolean =>
  existsSync(file) && readFileSync(file, 'utf8').split('\n').includes('filter')

const lists = ({ legacy, family }: Variant, chains: readonly BaseChain[]): boolean =>
  legacy === undefined
    ? chains.some((chain) => chain.family === family && chain.table === 'filter' && chain.hook === 'forward')
    : isLegacyInUse(legacy)

export interface HostRules {
  /** Looks at what has changed, at most every few seconds. Never fails. */
  check(): Promise<void>
  /** Sentences for the user, of what stops packets of ours. */
  warnings(): string[]
  /** Replaces what routed sandboxes have to reach. */
  admit(admitted: readonly Admitted[]): void
}

const restMs = 2000
const legacyMs = 30_000

interface Parts {
  instance: Instance
  sys: Pick<Sys, 'firewall' | 'processes'>
  log: Log
  /** Names of links as iptables takes them ("sw1a2b+"); empty while there is no network. */
  links: () => string[]
}

export const createHostRules = ({ instance, sys, log, links }: Parts): HostRules => {
  const mark = `slipway-${instance.id}`
  let seen: string | undefined
  let lookedAt = 0
  let busy = false
  let warnings: string[] = []
  let admitted: readonly Admitted[] = []
  const prefix = instance.linkPrefix

  const settle = async (variant: Variant, wanted: readonly string[]): Promise<void> => {
    const { program } = variant
    const { stdout, code, stderr } = await sys.processes.run([program, '-w', '-S'])
    if (code !== 0) return log.warn('the host firewall cannot be read', { program, error: stderr.trim() })
    const reached = variant.family === 'ip' ? admitted : []
    const steps = [
      ...planForward(stdout, mark, wanted),
      ...planInput(stdout, mark, `${prefix}p+`, reached),
      ...planUserChain(stdout, mark),
    ]
    for (const words of steps) await sys.processes.must([program, '-w', ...words])
    if (steps.length > 0) log.info('rules for our links in the host firewall', { program, steps: steps.length })
  }

  const look = async (): Promise<void> => {
    const wanted = links()
    const { stdout } = await sys.processes.must(['nft', '-j', 'list', 'chains'])
    const all = (JSON.parse(stdout) as Listing).nftables.flatMap(({ chain }) => chain ?? [])
    for (const variant of variants) if (lists(variant, all)) await settle(variant, wanted)
    const before = warnings
    const input = admitted.length > 0 ? await refusing(sys.processes, all, 'input') : []
    warnings = sentences(prefix, await refusing(sys.processes, all, 'forward'), input, admitted)
    for (const warning of warnings) if (!before.includes(warning)) log.warn(warning)
  }

  const state = (): string =>
    [
      sys.firewall.generation(),
      links().join(' '),
      // The old iptables has no generation: it is looked at now and then.
      variants.some(({ legacy }) => legacy !== undefined && isLegacyInUse(legacy))
        ? Math.floor(Date.now() / legacyMs)
        : '',
    ].join(' ')

  return {
    async check() {
      if (busy || links().length === 0 || performance.now() - lookedAt < restMs) return
      busy = true
      try {
        if (state() === seen) return
        lookedAt = performance.now()
        await look()
        seen = state()
      } catch (error) {
        log.warn('the host firewall', { error: messageOf(error) })
      } finally {
        busy = false
      }
    },
    warnings: () => warnings,
    admit(asked) {
      admitted = asked
      seen = undefined
    },
  }
}

/** Takes our rules out of iptables, however the instance ended. */
export const removeHostRules = async (processes: Sys['processes'], instance: Pick<Instance, 'id'>): Promise<void> => {
  const mark = `slipway-${instance.id}`
  for (const { program, legacy } of variants) {
    if (legacy !== undefined && !isLegacyInUse(legacy)) continue
    const { stdout, code } = await processes.run([program, '-w', '-S']).catch(() => ({ stdout: '', code: 1 })) // not installed
    if (code !== 0) continue
    for (const chain of ['FORWARD', 'INPUT'])
      for (const words of marked(stdout, chain, mark)) await processes.run([program, '-w', ...words])
  }
}
