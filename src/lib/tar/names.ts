import { isUtf8 } from 'node:buffer'

/**
 * File names are bytes; most are UTF-8. Here a name is a string in which each byte that is not part of valid UTF-8 stands
 * as a lone surrogate U+DC80 … U+DCFF (Python's "surrogateescape"), so that every name survives a round trip.
 */
export const decodeName = (bytes: Buffer): string => {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  let text = ''
  let at = 0
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at)
    text += length === 0 ? String.fromCharCode(0xdc00 + bytes[at]!) : bytes.toString('utf8', at, at + length)
    at += length || 1
  }
  return text
}

const escaped = /[\udc80-\udcff]/

/** What node:fs must be given for the name: the string itself, or its bytes where it is not UTF-8. */
export const encodeName = (name: string): string | Buffer => (isPlain(name) ? name : nameBytes(name))

/** True when the name is valid UTF-8, so that interfaces that take strings only can name it. */
const isPlain = (name: string): boolean => !escaped.test(name) || name.isWellFormed()

export const nameBytes = (name: string): Buffer => {
  if (isPlain(name)) return Buffer.from(name, 'utf8')
  const parts: Buffer[] = []
  for (const char of name) {
    const code = char.codePointAt(0)!
    parts.push(code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(char, 'utf8'))
  }
  return Buffer.concat(parts)
}

/** Length of the valid UTF-8 sequence at `at`; 0 if there is none. */
const sequenceLength = (bytes: Buffer, at: number): number => {
  const first = bytes[at]!
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  return length > 0 && at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 0
}
