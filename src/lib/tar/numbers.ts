import { SlipwayError } from '../../errors.ts'

export const invalidTar = (message: string): SlipwayError => new SlipwayError('invalid', `archive/tar: ${message}`)

/** A numeric header field: octal text, or GNU's base-256 when the first bit is set. */
export const readNumber = (block: Buffer, offset: number, length: number): number => {
  const first = block[offset]!
  if (first & 0x80) {
    const negative = (first & 0x40) !== 0
    let value = BigInt(first & 0x3f) - (negative ? 0x40n : 0n)
    for (let i = 1; i < length; i++) value = value * 256n + BigInt(block[offset + i]!)
    return safe(value)
  }
  let at = offset
  const end = offset + length
  while (at < end && (block[at] === 0x20 || block[at] === 0)) at++
  let value = 0
  for (; at < end; at++) {
    const byte = block[at]!
    if (byte === 0 || byte === 0x20) break
    if (byte < 0x30 || byte > 0x37) throw invalidTar('invalid tar header')
    value = value * 8 + (byte - 0x30)
  }
  return safe(BigInt(value))
}

/** A decimal number of a PAX record or a sparse map. */
export const readDecimal = (text: string): number => {
  if (!/^\d{1,19}$/.test(text)) throw invalidTar('invalid number in extended header')
  return safe(BigInt(text))
}

/** "1700000000.123456789" or "-1.5" as nanoseconds. */
export const readTime = (text: string): bigint => {
  const match = /^(-?)(\d{1,13})(?:\.(\d*))?$/.exec(text)
  if (!match) throw invalidTar('invalid time in extended header')
  const nanoseconds = BigInt(match[2]!) * 1_000_000_000n + BigInt((match[3] ?? '').slice(0, 9).padEnd(9, '0') || '0')
  return match[1] ? -nanoseconds : nanoseconds
}

const safe = (value: bigint): number => {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER))
    throw invalidTar('number out of range')
  return Number(value)
}
