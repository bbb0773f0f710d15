import { SlipwayError } from '../../errors.ts'
import type { Network, NetworkSpec } from '../types.ts'
import { type Context, linkName } from './context.ts'
import { candidates, defaultGateway, firstFree, formatBlock, parseBlock, takenByHost, uniqueLocal } from './subnets.ts'

/** The subnets a spec asks for, and free ones of ours where it does not say. */
export const pickSubnets = async (ctx: Context, spec: NetworkSpec, id: string): Promise<Network['subnets']> => {
  const given = spec.ipam.filter(({ subnet }) => subnet !== undefined)
  const subnets = given.map(({ subnet, gateway }) => {
    const block = parseBlock(subnet!)!
    return { subnet: formatBlock(block), gateway: gateway ?? defaultGateway(block) }
  })
  if (!subnets.some(({ subnet }) => !subnet.includes(':'))) {
    const host = await takenByHost(ctx.sys.links, (link) => link === linkName(ctx, { id, spec }))
    const known = [...ctx.records.networks.values()]
      .filter((network) => network.id !== id)
      .flatMap((network) => network.subnets.map(({ subnet }) => parseBlock(subnet)!))
    const block = firstFree(candidates(spec), [...host, ...known])
    if (!block)
      throw new SlipwayError('unavailable', 'all predefined address pools have been fully subnetted', {
        hint: 'Remove unused networks, or give the network a subnet.',
      })
    subnets.unshift({ subnet: formatBlock(block), gateway: defaultGateway(block) })
  }
  if (spec.ipv6 && !subnets.some(({ subnet }) => subnet.includes(':'))) {
    const block = uniqueLocal(id)
    subnets.push({ subnet: formatBlock(block), gateway: defaultGateway(block) })
  }
  return subnets
}
