/** How a sandbox resolves names, and how others resolve it. */
import { join } from 'node:path'
import { isLoopback, readResolvConf } from '../../lib/dns/index.ts'
import { contains, parseAddress, parseBlock } from '../../lib/ip.ts'
import type { SandboxSpec } from '../types.ts'
import { type Context, dirOf } from './context.ts'
import type { StoredSandbox } from './records.ts'
import type { Wire } from './wiring.ts'

const eachOf = (record: StoredSandbox): string[] => {
  const { spec } = record
  return [...record.names, spec.hostname, spec.id.slice(0, 12)]
}
export const joinNames = (ctx: Context, record: StoredSandbox, { network, endpoint }: Wire): void => {
  if (!network.spec.dns) return
  const all = [...eachOf(record), ...endpoint.aliases].filter((name) => name !== '').map((name) => name.toLowerCase())
  ctx.names.table.join({
    networkId: network.id,
    networkName: network.spec.name,
    sandboxId: record.spec.id,
    names: [...new Set(all)],
    links: endpoint.links,
    ipv4: endpoint.ipv4,
    ipv6: endpoint.ipv6,
  })
}

/** Does our resolver serve it? On networks with names, and where the host's own servers cannot be reached from inside. */
export const needsResolver = (spec: SandboxSpec, wires: readonly Wire[]): boolean =>
  wires.some(({ network }) => network.spec.dns) ||
  (spec.network.mode === 'attached' &&
    spec.dns.servers.length === 0 &&
    wires.length > 0 &&
    readResolvConf().servers.every(isLoopback))

/** A name server that is a neighbour. */
const isIn = ({ subnets }: Wire['network'], server: string): boolean => {
  const address = parseAddress(server)
  return (
    address !== undefined &&
    subnets.some(({ subnet }) => {
      const block = parseBlock(subnet)
      return block !== undefined && contains(block, address)
    })
  )
}

export const serveNames = async (ctx: Context, spec: SandboxSpec): Promise<void> => {
  await ctx.names.serve(spec.id, join(dirOf(ctx, spec.id), 'net'), {
    servers: spec.dns.servers,
    allowed: (server) =>
      ctx.networks
        .endpointsOf(spec.id)
        .some(({ network }) => !network.spec.internal || (spec.dns.servers.includes(server) && isIn(network, server))),
  })
}
