import { messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Firewall } from '../../sys/sys.ts'
import type { PortPlan, Protocol } from './plan.ts'

interface Place {
  protocol: Protocol
  address: string
  port: number
}

const places = (plans: Iterable<PortPlan>, of: 'targets' | 'virtual'): Map<string, Place> => {
  const found = new Map<string, Place>()
  for (const plan of plans) {
    const all = of === 'targets' ? plan.targets : plan.virtual.map((address) => ({ address, port: plan.port }))
    for (const { address, port } of all)
      found.set(`${plan.protocol} ${address} ${port}`, { protocol: plan.protocol, address, port })
  }
  return found
}

interface StaleFlows {
  /** Endpoints that are no longer targets. */
  lost: Place[]
  /** Services that just came to be: UDP packets and first SYNs sent before went elsewhere, and would go on doing so. */
  appeared: Place[]
}

/** What connection tracking should forget after going from one plan to the next: pure. */
export const staleFlows = (before: readonly PortPlan[], after: readonly PortPlan[]): StaleFlows => {
  const now = places(after, 'targets')
  const lost = [...places(before, 'targets')].filter(([id]) => !now.has(id)).map(([, place]) => place)
  const had = places(
    before.filter(({ targets }) => targets.length > 0),
    'virtual',
  )
  const has = places(
    after.filter(({ targets, protocol }) => targets.length > 0 && protocol !== 'sctp'),
    'virtual',
  )
  const appeared = [...has].filter(([id]) => !had.has(id)).map(([, place]) => place)
  return { lost, appeared }
}

/** Handshakes under way to an endpoint that lives are over by then; a client's second SYN comes after 1000 ms. */
const settleMs = 60

/** Forgets them: never fails, as the flows end by themselves in the worst case. */
export const createFlowSweeper = (firewall: Firewall, clock: Clock, log: Log, signal: AbortSignal) => {
  const forget = async (filter: string[]): Promise<void> => {
    try {
      await firewall.forget(filter)
    } catch (error) {
      log.warn('connection tracking', { filter: filter.join(' '), error: messageOf(error) })
    }
  }
  return async ({ lost, appeared }: StaleFlows): Promise<void> => {
    for (const { protocol, address, port } of appeared) {
      const state = protocol === 'tcp' ? ['--state', 'SYN_SENT'] : []
      await forget(['-p', protocol, ...state, '-d', address, '--orig-port-dst', String(port)])
    }
    for (const { protocol, address, port } of lost)
      if (protocol === 'udp') await forget(['-p', 'udp', '-r', address, '--reply-port-src', String(port)])
    const tcp = lost.filter(({ protocol }) => protocol === 'tcp')
    if (tcp.length === 0) return
    try {
      await clock.sleep(settleMs, signal)
    } catch {
      return // closing
    }
    for (const { address, port } of tcp)
      for (const state of ['SYN_SENT', 'CLOSE'])
        await forget(['-p', 'tcp', '--state', state, '-r', address, '--reply-port-src', String(port)])
  }
}
