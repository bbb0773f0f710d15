import type { PortTargets } from '../ports/index.ts'
import type { PublishedPort } from '../types.ts'
import type { Context } from './context.ts'
import type { StoredSandbox } from './records.ts'
import type { Wire } from './wiring.ts'

/** Where published ports lead: the first network that leads out. */
export const targetsOf = (wires: readonly Wire[]): (PortTargets & { networkId: string }) | undefined => {
  const wire = wires.find(
    ({ network }) => !network.spec.internal && network.spec.driver !== 'macvlan' && network.spec.driver !== 'ipvlan',
  )
  if (!wire) return undefined
  const { ipv4, ipv6 } = wire.endpoint
  return { ipv4, ipv6, bridged: wire.network.spec.driver === 'bridge', networkId: wire.network.id }
}

/** Moves published ports to the endpoint that leads out now. */
export const republish = async (
  ctx: Context,
  record: StoredSandbox,
  before: string | undefined,
): Promise<PublishedPort[]> => {
  const targets = targetsOf(ctx.networks.endpointsOf(record.spec.id))
  if (targets?.networkId === before) return record.ports
  await ctx.ports.withdraw(record.spec.id)
  if (!targets) return []
  return await ctx.ports.publish(record.spec.id, record.ports.length > 0 ? record.ports : record.spec.ports, targets)
}
