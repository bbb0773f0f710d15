import { readResolvConf } from '../../lib/dns/index.ts'
import { addressesBoundByOthers } from '../../lib/host-ports/index.ts'
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
import type { Links, Sys } from '../../sys/sys.ts'
import type { NetworkSpec } from '../types.ts'
import type { AddressPool } from './settings.ts'

const within = (text: string, prefix: number): Generator<Block> => piecesOf(parseBlock(text)!, prefix)
const piecesOf = function* (outer: Block, prefix: number): Generator<Block> {
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

/** Those of a family that are set, in their order; undefined where none is, and for pods. */
export const candidatesOf = (
  pools: readonly AddressPool[],
  spec: Pick<NetworkSpec, 'driver' | 'name'>,
  family: 4 | 6,
): Iterable<Block> | undefined => {
  const mine = pools.filter(({ base }) => base.family === family)
  if (mine.length === 0 || spec.driver === 'routed') return family === 4 ? candidates(spec) : undefined
  return (function* () {
    for (const { base, size } of mine) yield* piecesOf(base, size)
  })()
}

/** A unique local /64 (RFC 4193) per network, from its id. */
export const uniqueLocal = (networkId: string): Block =>
  parseBlock(`fd${networkId.slice(0, 2)}:${networkId.slice(2, 6)}:${networkId.slice(6, 10)}:1::/64`)!

export const firstFree = (wanted: Iterable<Block>, taken: readonly Block[]): Block | undefined => {
  for (const block of wanted) if (!taken.some((other) => overlaps(block, other))) return block
  return undefined
}

/** Routes as broad as this (0.0.0.0/1, 10.0.0.0/8, 172.16.0.0/12) leave room within them, if there is none elsewhere. */
const broadest = 12
export const isBroad = ({ prefix }: Block): boolean => prefix <= broadest

const routed = async (links: Links, ours: (link: string) => boolean): Promise<string[]> => {
  const routes = (await links.query(['-4', 'route', 'show', 'table', 'all'])) as { dst?: string; dev?: string }[]
  return routes
    .filter(({ dev }) => dev === undefined || !ours(dev))
    .flatMap(({ dst }) => (dst === undefined || dst === 'default' ? [] : [dst]))
}

/** What other instances' rules speak of, whether they live or have left their tables behind: ours would meet theirs. */
const inOtherTables = (listing: string, own: string): string[] =>
  listing
    .split(/^table /m)
    .filter((table) => /^inet slipway_[0-9a-f]{4} /.test(table) && !table.startsWith(`inet ${own} `))
    .flatMap((table) => table.match(/\b\d+(?:\.\d+){3}\/\d+/g) ?? [])

/**
 * IPv4 blocks that are somebody's on this machine: all that is routed, its name servers, the addresses others listen at, and
 * what other instances have. `ours` are interface names to leave out, `table` is our own.
 */
export const takenByHost = async (
  sys: Pick<Sys, 'links' | 'firewall'>,
  table: string,
  ours: (link: string) => boolean,
): Promise<Block[]> => {
  const [routes, sets] = await Promise.all([routed(sys.links, ours), sys.firewall.sets('inet')])
  const texts = [...routes, ...inOtherTables(sets, table), ...readResolvConf().servers, ...addressesBoundByOthers()]
  return texts.flatMap((text) => parseBlock(text) ?? []).filter(({ family, prefix }) => family === 4 && prefix > 0)
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

export const isIn = (subnet: Block, text: string): boolean => {
  const address = parseAddress(text)
  return address !== undefined && contains(subnet, address)
}
export { formatBlock, parseBlock }
