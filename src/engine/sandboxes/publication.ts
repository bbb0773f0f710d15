import { bridgeOptions, gatewayMode, isOnParent, outward } from '../networks/index.ts'
import type { PortTargets } from '../ports/index.ts'
import type { PublishedPort } from '../types.ts'
import type { Context } from './context.ts'
import type { StoredSandbox } from './records.ts'
import type { Wire } from './wiring.ts'

/** Where published ports lead: the first network that leads out through this machine. */
export const targetsOf = (wires: readonly Wire[]): (PortTargets & { networkId: string }) | undefined => {
  const wire = outward(wires).find(({ network }) => !isOnParent(network.spec))
  if (!wire) return undefined
  const { network, endpoint } = wire
  const { hostBinding, throughInput } = bridgeOptions(network.spec.options)
  return {
    ipv4: endpoint.ipv4,
    ipv6: endpoint.ipv6,
    bridged: network.spec.driver === 'bridge',
    routed: ([4, 6] as const).filter((family) => gatewayMode(network, family) === 'routed'),
    hostBinding,
    throughInput,
    networkId: network.id,
  }
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
  const bound = record.ports.some(({ hostPort }) => hostPort !== 0)
  return await ctx.ports.publish(record.spec.id, bound ? record.ports : record.spec.ports, targets)
}
