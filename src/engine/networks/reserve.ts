/** Gives sandboxes their places on networks. */
import { randomBytes } from 'node:crypto'
import { SlipwayError } from '../../errors.ts'
import type { Attachment, Endpoint, Network } from '../types.ts'
import { type Context, hasLinks, must } from './context.ts'
import { macOf, vethName } from './links.ts'
import type { StoredNetwork } from './records.ts'
import { freeAddress, isIn, parseBlock } from './subnets.ts'
import { checkWanted } from './validate.ts'

const address = (
  ctx: Context,
  network: StoredNetwork,
  family: 4 | 6,
  wanted: string | undefined,
): string | undefined => {
  const mine = network.subnets.find(({ subnet }) => subnet.includes(':') === (family === 6))
  if (!mine) return undefined
  const pool = network.spec.ipam.find(({ subnet }) => subnet !== undefined && subnet.includes(':') === (family === 6))
  const used = [...ctx.records.endpointsOf(network.id).values()].map(({ endpoint }) =>
    family === 4 ? endpoint.ipv4 : endpoint.ipv6,
  )
  const taken = new Set([
    ...used.filter((text) => text !== undefined),
    mine.gateway,
    ...Object.values(pool?.auxAddresses ?? {}),
  ])
  if (wanted !== undefined) {
    checkWanted(wanted, network)
    if (taken.has(wanted))
      throw new SlipwayError('conflict', 'Address already in use', { details: { address: wanted } })
    return wanted
  }
  const range = pool?.ipRange === undefined ? undefined : parseBlock(pool.ipRange)
  const after = network.spec.driver === 'routed' ? ctx.lastGiven.get(network.id) : undefined
  const picked = freeAddress({ subnet: parseBlock(mine.subnet)!, range, taken, after })
  if (picked === undefined)
    throw new SlipwayError(
      'no-space',
      `no available IPv${family} addresses on this network's address pools: ${network.spec.name} (${network.id})`,
    )
  if (family === 4) ctx.lastGiven.set(network.id, picked)
  return picked
}

/** 'conflict' when an address asked for is in use, 'no-space' when there is none left. */
export const reserve = (
  ctx: Context,
  sandboxId: string,
  name: string,
  attachment: Attachment,
  ifname: string,
): { network: Network; endpoint: Endpoint } => {
  const network = must(ctx, attachment.network)
  if (ctx.records.endpointsOf(network.id).has(sandboxId))
    throw new SlipwayError('forbidden', `endpoint with name ${name} already exists in network ${network.spec.name}`)
  const ipv4 = address(ctx, network, 4, attachment.ipv4)
  const ipv6 = address(ctx, network, 6, attachment.ipv6)
  const prefixLength = (text: string): number =>
    network.spec.driver === 'routed'
      ? text.includes(':')
        ? 128
        : 32
      : parseBlock(network.subnets.find(({ subnet }) => isIn(parseBlock(subnet)!, text))!.subnet)!.prefix
  const gateway = (family: 4 | 6): string | undefined =>
    network.spec.driver === 'routed'
      ? family === 4
        ? '169.254.1.1'
        : 'fe80::1'
      : network.subnets.find(({ subnet }) => subnet.includes(':') === (family === 6))?.gateway
  const endpoint: Endpoint = {
    networkId: network.id,
    networkName: network.spec.name,
    ifname,
    hostIfname: hasLinks(network) ? vethName(ctx.instance, network, sandboxId, randomBytes(4).toString('hex')) : '',
    mac: attachment.mac?.toLowerCase() ?? macOf(ipv4, `${network.id}/${sandboxId}`),
    ...(ipv4 === undefined ? {} : { ipv4, ipv4PrefixLength: prefixLength(ipv4), gateway4: gateway(4) }),
    ...(ipv6 === undefined ? {} : { ipv6, ipv6PrefixLength: prefixLength(ipv6), gateway6: gateway(6) }),
    aliases: attachment.aliases,
  }
  ctx.records.saveEndpoint({ sandboxId, name, endpoint })
  return { network, endpoint }
}
