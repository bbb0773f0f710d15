/** Gives sandboxes their places on networks. */
import { randomBytes } from 'node:crypto'
import { SlipwayError } from '../../errors.ts'
import { formatAddress, parseAddress } from '../../lib/ip.ts'
import type { Attachment, Endpoint, Network } from '../types.ts'
import { type Context, hasLinks, must } from './context.ts'
import { macOf, vethName } from './links.ts'
import { isClosed } from './options.ts'
import type { StoredNetwork } from './records.ts'
import { freeAddress, isIn, parseBlock } from './subnets.ts'
import { checkWanted } from './validate.ts'

type Subnet = Network['subnets'][number]

const subnetsOf = ({ subnets }: Network, family: 4 | 6): Subnet[] =>
  subnets.filter(({ subnet }) => subnet.includes(':') === (family === 6))

/** Addresses nobody may be given: those of endpoints, gateways, and those kept for others. */
const takenOn = (ctx: Context, network: StoredNetwork): Set<string> => {
  const auxiliary = network.spec.ipam.flatMap(({ auxAddresses }) => Object.values(auxAddresses ?? {}))
  const endpoints = [...ctx.records.endpointsOf(network.id).values()].flatMap(({ endpoint }) => [
    endpoint.ipv4,
    endpoint.ipv6,
  ])
  const texts = [...endpoints, ...network.subnets.map(({ gateway }) => gateway), ...auxiliary]
  return new Set(texts.flatMap((text) => (text ? formatAddress(parseAddress(text)!) : [])))
}

const rangeOf = (network: Network, { subnet }: Subnet): string | undefined =>
  network.spec.ipam.find((pool) => pool.subnet === subnet)?.ipRange

const freeOn = (ctx: Context, network: StoredNetwork, family: 4 | 6, taken: ReadonlySet<string>): string => {
  const after = network.spec.driver === 'routed' ? ctx.lastGiven.get(network.id) : undefined
  for (const mine of subnetsOf(network, family)) {
    const range = rangeOf(network, mine)
    const question = { subnet: parseBlock(mine.subnet)!, range: range === undefined ? undefined : parseBlock(range) }
    const picked = freeAddress({ ...question, taken, after: family === 4 ? after : undefined })
    if (picked === undefined) continue
    if (family === 4) ctx.lastGiven.set(network.id, picked)
    return picked
  }
  throw new SlipwayError(
    'no-space',
    `no available IPv${family} addresses on this network's address pools: ${network.spec.name} (${network.id})`,
  )
}

const address = (ctx: Context, network: StoredNetwork, family: 4 | 6, wanted: string | undefined) => {
  if (wanted !== undefined) checkWanted(wanted, family, network)
  if (subnetsOf(network, family).length === 0) return undefined
  const taken = takenOn(ctx, network)
  if (wanted === undefined) return freeOn(ctx, network, family, taken)
  const text = formatAddress(parseAddress(wanted)!)
  if (taken.has(text)) throw new SlipwayError('forbidden', 'Address already in use', { details: { address: wanted } })
  return text
}

/** An address with what belongs to it: prefix length and gateway of its subnet. */
const placed = (network: Network, text: string): { prefix: number; gateway: string | undefined } => {
  const six = text.includes(':')
  if (network.spec.driver === 'routed')
    return six ? { prefix: 128, gateway: 'fe80::1' } : { prefix: 32, gateway: '169.254.1.1' }
  const mine = network.subnets.find(({ subnet }) => isIn(parseBlock(subnet)!, text))!
  return { prefix: parseBlock(mine.subnet)!.prefix, gateway: isClosed(network) ? undefined : mine.gateway || undefined }
}

const macFor = (network: Network, wanted: string | undefined, ipv4: string | undefined, seed: string): string => {
  if (network.spec.driver !== 'ipvlan') return wanted?.toLowerCase().replaceAll('-', ':') ?? macOf(ipv4, seed)
  // All of them have the parent's.
  if (wanted !== undefined)
    throw new SlipwayError('invalid', 'ipvlan interfaces do not support custom mac address assignment')
  return ''
}

/** 'forbidden' when an address asked for is in use, 'no-space' when there is none left. */
export const reserve = (
  ctx: Context,
  sandboxId: string,
  name: string,
  attachment: Attachment,
  ifname: string,
): { network: Network; endpoint: Endpoint } => {
  const network = must(ctx, attachment.network)
  if (network.spec.configOnly)
    throw new SlipwayError('forbidden', `cannot create endpoint on configuration-only network`)
  if (ctx.records.endpointsOf(network.id).has(sandboxId))
    throw new SlipwayError('forbidden', `endpoint with name ${name} already exists in network ${network.spec.name}`)
  const ipv4 = address(ctx, network, 4, attachment.ipv4)
  const ipv6 = address(ctx, network, 6, attachment.ipv6)
  const four = ipv4 === undefined ? undefined : placed(network, ipv4)
  const six = ipv6 === undefined ? undefined : placed(network, ipv6)
  const endpoint: Endpoint = {
    networkId: network.id,
    networkName: network.spec.name,
    ifname,
    hostIfname: hasLinks(network) ? vethName(ctx.instance, network, sandboxId, randomBytes(4).toString('hex')) : '',
    mac: macFor(network, attachment.mac, ipv4, `${network.id}/${sandboxId}`),
    ...(four ? { ipv4, ipv4PrefixLength: four.prefix, gateway4: four.gateway } : {}),
    ...(six ? { ipv6, ipv6PrefixLength: six.prefix, gateway6: six.gateway } : {}),
    aliases: attachment.aliases,
    ...(attachment.linkLocal ? { linkLocal: attachment.linkLocal } : {}),
    ...(attachment.links ? { links: attachment.links } : {}),
    ...(attachment.gwPriority ? { gwPriority: attachment.gwPriority } : {}),
    ...(attachment.sysctls ? { sysctls: attachment.sysctls } : {}),
  }
  ctx.records.saveEndpoint({ sandboxId, name, endpoint })
  return { network, endpoint }
}
