/** node:fs for names that need not be UTF-8 (lib/tar/names.ts). Everything is synchronous. */
import { type BigIntStats, lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs'
import { decodeName, encodeName, nameBytes } from './tar/index.ts'

/** undefined where nothing is, or where what is above it is no directory. */
export const lstatOrNone = (path: string): Stats | undefined => {
  try {
    return lstatSync(encodeName(path), { throwIfNoEntry: false })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined
    throw error
  }
}

export const lstatExact = (path: string): BigIntStats => lstatSync(encodeName(path), { bigint: true })

/** Target of a symlink. */
export const linkAt = (path: string): string => decodeName(readlinkSync(encodeName(path), 'buffer'))

/** Names in a directory, sorted bytewise. */
export const namesIn = (path: string): string[] => {
  const names = readdirSync(encodeName(path), 'utf8')
  if (names.some((name) => name.includes('\ufffd')))
    return readdirSync(encodeName(path), 'buffer').sort(Buffer.compare).map(decodeName)
  return bytewise(names)
}

/** Sorts as bytes are sorted. UTF-16 order is that order unless a name leaves the basic plane's lower part. */
export const bytewise = (names: string[]): string[] =>
  names.some((name) => /[\ud800-\uffff]/.test(name))
    ? names.sort((a, b) => Buffer.compare(nameBytes(a), nameBytes(b)))
    : names.sort()
