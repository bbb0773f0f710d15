import { SlipwayError } from '../../errors.ts'
import { type Block, formatAddress, parseAddress } from '../../lib/ip.ts'
import type { Network, NetworkSpec } from '../types.ts'
import { type Context, linkName } from './context.ts'
import { hasGateway } from './options.ts'
import { addressPools } from './settings.ts'
import {
  candidatesOf,
  firstFree,
  formatBlock,
  freeAddress,
  isBroad,
  parseBlock,
  takenByHost,
  uniqueLocal,
} from './subnets.ts'

const familyOf = (subnet: string): 4 | 6 => (subnet.includes(':') ? 6 : 4)

/** A subnet asked for. The gateway is what is given, else the first address there is to give: of the range, if there is one. */
const given = (spec: NetworkSpec, { subnet, gateway, ipRange, auxAddresses = {} }: NetworkSpec['ipam'][number]) => {
  const block = parseBlock(subnet!)!
  const taken = new Set(Object.values(auxAddresses).map((text) => formatAddress(parseAddress(text)!)))
  const first = (): string =>
    freeAddress({ subnet: block, range: ipRange === undefined ? undefined : parseBlock(ipRange), taken }) ?? ''
  return { subnet: formatBlock(block), gateway: gateway ?? (hasGateway(spec, block.family) ? first() : '') }
}

const picked = (spec: NetworkSpec, block: Block): Network['subnets'][number] => ({
  subnet: formatBlock(block),
  gateway: hasGateway(spec, block.family) ? freeAddress({ subnet: block, taken: new Set() })! : '',
})

/** The subnets a spec asks for, and free ones of ours where it does not say. IPv4 comes first. */
export const pickSubnets = async (ctx: Context, spec: NetworkSpec, id: string): Promise<Network['subnets']> => {
  const ofFamily = (family: 4 | 6) =>
    spec.ipam
      .filter(({ subnet }) => subnet !== undefined && familyOf(subnet) === family)
      .map((pool) => given(spec, pool))
  const four = spec.ipv4 === false ? [] : ofFamily(4)
  const six = spec.ipv6 ? ofFamily(6) : []
  const known = [...ctx.records.networks.values()]
    .filter((network) => network.id !== id)
    .flatMap((network) => network.subnets.map(({ subnet }) => parseBlock(subnet)!))
  const pools = addressPools(ctx.instance.stateDir)
  if (spec.ipv4 !== false && four.length === 0) {
    const name = linkName(ctx, { id, spec })
    const host = await takenByHost(ctx.sys, ctx.instance.nftTable, (link) => link === name)
    const free = (taken: readonly Block[]) => firstFree(candidatesOf(pools, spec, 4)!, [...taken, ...known])
    four.push(picked(spec, free(host) ?? free(host.filter((each) => !isBroad(each))) ?? exhausted()))
  }
  if (spec.ipv6 && six.length === 0) {
    const wanted = candidatesOf(pools, spec, 6)
    six.push(picked(spec, wanted ? (firstFree(wanted, known) ?? exhausted()) : uniqueLocal(id)))
  }
  return [...four, ...six]
}

const exhausted = (): never => {
  throw new SlipwayError('invalid', 'all predefined address pools have been fully subnetted', {
    hint: 'Remove unused networks, or give the network a subnet.',
  })
}
