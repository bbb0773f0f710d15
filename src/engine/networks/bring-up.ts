/** Makes and removes what a network is on this machine: interfaces, addresses, rules. */
import { existsSync, readFileSync } from 'node:fs'
import type { Network } from '../types.ts'
import { type Context, linkName, mtu, must } from './context.ts'
import { elementsOfNetwork } from './firewall.ts'
import { markOf, networkLines } from './links.ts'
import { withMachineLock } from './machine-lock.ts'
import { isOnParent } from './options.ts'
import { dropParent, ensureParent, isOurs } from './parents.ts'
import { pickSubnets } from './pick.ts'
import type { StoredNetwork } from './records.ts'
import { firstFree, isBroad, parseBlock, takenByHost } from './subnets.ts'

/** Forwarding is the one thing we turn on for the whole machine; routers announce themselves still where they did. */
const allowForwarding = (ctx: Context, six: boolean): void => {
  if (readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim() === '0')
    ctx.sys.links.sysctl('net/ipv4/ip_forward', '1')
  if (!six || readFileSync('/proc/sys/net/ipv6/conf/all/forwarding', 'utf8').trim() === '1') return
  for (const line of readFileSync('/proc/net/if_inet6', 'utf8').trim().split('\n')) {
    const link = line.trim().split(/\s+/)[5]
    const key = `net/ipv6/conf/${link}/accept_ra`
    if (link !== undefined && readFileSync(`/proc/sys/${key}`, 'utf8').trim() === '1') ctx.sys.links.sysctl(key, '2')
  }
  ctx.sys.links.sysctl('net/ipv6/conf/all/forwarding', '1')
}

const isThere = (ctx: Context, network: Network): boolean => ctx.sys.links.names().has(linkName(ctx, network))

const makeLinks = async (ctx: Context, network: StoredNetwork): Promise<void> => {
  if (isOnParent(network.spec)) return await ensureParent(ctx, network)
  const name = linkName(ctx, network)
  const present = isThere(ctx, network)
  const named = network.spec.options['com.docker.network.bridge.name'] !== undefined
  const mark = named && !network.foundLink ? markOf(ctx.instance) : undefined
  await ctx.sys.links.batch(networkLines(network, { name, present, mark, mtu: mtu(network) }))
  const six = network.subnets.some(({ subnet }) => subnet.includes(':'))
  if (network.spec.driver === 'bridge') {
    // For 127.0.0.1:PORT; the table's raw chain keeps sandboxes from reaching the host's own loopback by it.
    ctx.sys.links.sysctl(`net/ipv4/conf/${name}/route_localnet`, '1')
    if (!six && existsSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`))
      ctx.sys.links.sysctl(`net/ipv6/conf/${name}/disable_ipv6`, '1')
  }
  allowForwarding(ctx, six)
}

export const bringUp = async (ctx: Context, networkId: string): Promise<Network> => {
  const known = must(ctx, networkId)
  if (linkName(ctx, known) === '' || known.spec.configOnly) return known
  if (ctx.up.has(networkId) && isThere(ctx, known)) return known
  return await ctx.locks.run(networkId, async () => {
    const network = must(ctx, networkId)
    // Picked long ago, or by another instance at the same moment: while nobody is on it, it can still move.
    const movable = network.picked && ctx.records.endpointsOf(networkId).size === 0
    const made = movable ? await withMachineLock(ctx.clock, () => settleSubnets(ctx, network)) : network
    if (!movable) await makeLinks(ctx, made)
    await ctx.rules.change({ add: elementsOfNetwork(made) })
    ctx.up.add(networkId)
    return made
  })
}

/** Picks again if somebody else has the subnet by now, and takes it. */
const settleSubnets = async (ctx: Context, network: StoredNetwork): Promise<StoredNetwork> => {
  const name = linkName(ctx, network)
  const host = await takenByHost(ctx.sys, ctx.instance.nftTable, (link) => link === name)
  const serious = host.filter((each) => !isBroad(each))
  const clash = network.subnets.some(({ subnet }) => firstFree([parseBlock(subnet)!], serious) === undefined)
  let settled = network
  if (clash || network.subnets.length === 0) {
    await ctx.rules.change({ remove: elementsOfNetwork(network) })
    settled = { ...network, subnets: await pickSubnets(ctx, network.spec, network.id) }
    ctx.records.save(settled)
    if (network.spec.driver === 'bridge' && isThere(ctx, network)) await ctx.sys.links.batch([`addr flush dev ${name}`])
  }
  await makeLinks(ctx, settled)
  if (!network.spec.keepSubnets) return settled
  const kept = { ...settled, picked: false }
  ctx.records.save(kept)
  return kept
}

export const takeDown = async (ctx: Context, network: StoredNetwork): Promise<void> => {
  const name = linkName(ctx, network)
  if (name === '') return
  await ctx.rules.change({ remove: elementsOfNetwork(network) })
  ctx.up.delete(network.id)
  if (isOnParent(network.spec)) return await dropParent(ctx, network)
  if (!network.foundLink && (await isOurs(ctx, name))) await ctx.sys.links.batch([`link del dev ${name}`])
}
