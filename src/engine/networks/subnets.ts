import { readResolvConf } from '../../lib/dns/index.ts'
import {
  type Address,
  addressAt,
  type Block,
  contains,
  formatAddress,
  formatBlock,
  overlaps,
  parseAddress,
  parseBlock,
  sizeOf,
} from '../../lib/ip.ts'
import type { Links } from '../../sys/sys.ts'
import type { NetworkSpec } from '../types.ts'

const within = function* (text: string, prefix: number): Generator<Block> {
  const outer = parseBlock(text)!
  const step = 1n << BigInt((outer.family === 4 ? 32 : 128) - prefix)
  for (let base = outer.base; base < outer.base + sizeOf(outer); base += step)
    yield { family: outer.family, base, prefix }
}

/**
 * Blocks in the order they are tried. Bridges begin where docker's do, but in pieces of 4096 addresses, so that hundreds
 * fit and less of the private space is taken from VPNs. Routed networks (pods) get a /16.
 */
export const candidates = function* (spec: Pick<NetworkSpec, 'driver' | 'name'>): Generator<Block> {
  if (spec.driver === 'routed') {
    yield* within('10.244.0.0/14', 16)
    yield* within('10.128.0.0/10', 16)
    return
  }
  if (spec.name === 'bridge') yield parseBlock('172.17.0.0/16')!
  yield* within('172.18.0.0/15', 20)
  yield* within('172.20.0.0/14', 20)
  yield* within('172.24.0.0/13', 20)
  yield* within('192.168.0.0/16', 24)
  yield* within('10.192.0.0/11', 24)
}

/** A unique local /64 (RFC 4193) per network, from its id. */
export const uniqueLocal = (networkId: string): Block =>
  parseBlock(`fd${networkId.slice(0, 2)}:${networkId.slice(2, 6)}:${networkId.slice(6, 10)}:1::/64`)!

export const firstFree = (wanted: Iterable<Block>, taken: readonly Block[]): Block | undefined => {
  for (const block of wanted) if (!taken.some((other) => overlaps(block, other))) return block
  return undefined
}

/** What the machine already routes somewhere, and its nameservers; `ours` are interface names to leave out. */
export const takenByHost = async (links: Links, ours: (link: string) => boolean): Promise<Block[]> => {
  const routes = (await links.query(['-4', 'route', 'show', 'table', 'all'])) as { dst?: string; dev?: string }[]
  const blocks: Block[] = []
  for (const route of routes) {
    if (route.dst === undefined || route.dst === 'default' || (route.dev !== undefined && ours(route.dev))) continue
    const block = parseBlock(route.dst)
    if (block && block.prefix > 0) blocks.push(block)
  }
  for (const server of readResolvConf().servers) {
    const block = parseBlock(server)
    if (block) blocks.push(block)
  }
  return blocks
}

interface AddressQuestion {
  subnet: Block
  range?: Block | undefined
  /** Addresses in use, the gateway and auxiliary ones included. */
  taken: ReadonlySet<string>
  /** Look behind this one first, so that an address rests before it is used again. */
  after?: string | undefined
}

/** The next free address; undefined when all are taken. Network and broadcast addresses are never given. */
export const freeAddress = ({ subnet, range, taken, after }: AddressQuestion): string | undefined => {
  const from = range ?? subnet
  const size = sizeOf(from)
  const start = after === undefined ? 0n : ((parseAddress(after)?.value ?? from.base) - from.base + 1n + size) % size
  const first = subnet.base
  const last = subnet.base + sizeOf(subnet) - 1n
  const tries = size < 1n << 20n ? size : 1n << 20n
  for (let i = 0n; i < tries; i++) {
    const address: Address = addressAt(from, (start + i) % size)
    if (sizeOf(subnet) > 2n && (address.value === first || (address.value === last && subnet.family === 4))) continue
    const text = formatAddress(address)
    if (!taken.has(text)) return text
  }
  return undefined
}

/** The address that ends in .1 (or the first one usable), as docker picks it. */
export const defaultGateway = (subnet: Block): string => formatAddress(addressAt(subnet, sizeOf(subnet) > 1n ? 1n : 0n))

export const isIn = (subnet: Block, text: string): boolean => {
  const address = parseAddress(text)
  return address !== undefined && contains(subnet, address)
}
export { formatBlock, parseBlock }
