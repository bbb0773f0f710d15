/** IPv4 and IPv6 addresses and blocks as numbers. Text forms follow RFC 4632 and RFC 5952. */

export interface Address {
  family: 4 | 6
  value: bigint
}
export interface Block {
  family: 4 | 6
  /** First address of the block. */
  base: bigint
  prefix: number
}

const bitsOf = (family: 4 | 6): number => (family === 4 ? 32 : 128)

const parse4 = (text: string): bigint | undefined => {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let value = 0n
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    value = (value << 8n) | BigInt(part)
  }
  return value
}

const parse6 = (text: string): bigint | undefined => {
  let rest = text
  const tail = rest.lastIndexOf(':')
  if (rest.slice(tail + 1).includes('.')) {
    const four = parse4(rest.slice(tail + 1))
    if (four === undefined) return undefined
    rest = `${rest.slice(0, tail + 1)}${(four >> 16n).toString(16)}:${(four & 0xffffn).toString(16)}`
  }
  const halves = rest.split('::')
  if (halves.length > 2) return undefined
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')))
  const given = groups.reduce((sum, half) => sum + half.length, 0)
  if (halves.length === 1 ? given !== 8 : given > 7) return undefined
  const all = halves.length === 1 ? groups[0]! : [...groups[0]!, ...Array(8 - given).fill('0'), ...groups[1]!]
  let value = 0n
  for (const group of all) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined
    value = (value << 16n) | BigInt(`0x${group}`)
  }
  return value
}

/** undefined: not an address. */
export const parseAddress = (text: string): Address | undefined => {
  const family = text.includes(':') ? 6 : 4
  const value = family === 6 ? parse6(text) : parse4(text)
  return value === undefined ? undefined : { family, value }
}

export const formatAddress = ({ family, value }: Address): string => {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16))
  let best = { start: -1, length: 1 }
  for (let i = 0; i < 8; i++) {
    let length = 0
    while (i + length < 8 && groups[i + length] === '0') length++
    if (length > best.length) best = { start: i, length }
  }
  if (best.start < 0) return groups.join(':')
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`
}

/** "10.1.2.3/16" is the block 10.1.0.0/16; an address alone is a block of one. undefined: not a block. */
export const parseBlock = (text: string): Block | undefined => {
  const [left = '', right, more] = text.split('/')
  const address = parseAddress(left)
  if (!address || more !== undefined) return undefined
  const bits = bitsOf(address.family)
  if (right !== undefined && !/^(0|[1-9]\d{0,2})$/.test(right)) return undefined
  const prefix = right === undefined ? bits : Number(right)
  if (prefix > bits) return undefined
  const host = BigInt(bits - prefix)
  return { family: address.family, base: (address.value >> host) << host, prefix }
}

export const formatBlock = (block: Block): string =>
  `${formatAddress({ family: block.family, value: block.base })}/${block.prefix}`

/** Number of addresses in the block. */
export const sizeOf = (block: Block): bigint => 1n << BigInt(bitsOf(block.family) - block.prefix)

export const contains = (block: Block, address: Address): boolean =>
  block.family === address.family && address.value >= block.base && address.value < block.base + sizeOf(block)

export const overlaps = (a: Block, b: Block): boolean =>
  a.family === b.family && a.base < b.base + sizeOf(b) && b.base < a.base + sizeOf(a)

/** The n-th address of the block, from 0. */
export const addressAt = (block: Block, n: bigint): Address => ({ family: block.family, value: block.base + n })

/** The name under in-addr.arpa or ip6.arpa. */
export const reverseName = ({ family, value }: Address): string => {
  if (family === 4) return `${formatAddress({ family, value }).split('.').reverse().join('.')}.in-addr.arpa`
  return `${[...value.toString(16).padStart(32, '0')].reverse().join('.')}.ip6.arpa`
}

/** The address a reverse name stands for; undefined for any other name. */
export const addressOfReverseName = (name: string): Address | undefined => {
  const lower = name.toLowerCase()
  if (lower.endsWith('.in-addr.arpa')) return parseAddress(lower.slice(0, -13).split('.').reverse().join('.'))
  if (!lower.endsWith('.ip6.arpa')) return undefined
  const digits = lower.slice(0, -9).split('.').reverse()
  if (digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined
  return { family: 6, value: BigInt(`0x${digits.join('')}`) }
}
