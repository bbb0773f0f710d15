/** node:fs for names that need not be UTF-8 (lib/tar/names.ts). Everything is synchronous: workers only. */
import { type BigIntStats, lstatSync, readdirSync, type Stats } from 'node:fs'
import { decodeName, encodeName } from '../../../lib/tar/index.ts'

export const lstatOrNone = (path: string): Stats | undefined => {
  try {
    return lstatSync(encodeName(path), { throwIfNoEntry: false })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined
    throw error
  }
}

export const lstatExact = (path: string): BigIntStats => lstatSync(encodeName(path), { bigint: true })

/** Names in a directory, sorted bytewise. */
export const namesIn = (path: string): string[] => {
  const names = readdirSync(encodeName(path), 'utf8')
  if (names.some((name) => name.includes('\ufffd')))
    return readdirSync(encodeName(path), 'buffer').sort(Buffer.compare).map(decodeName)
  // UTF-16 order is byte order unless a name leaves the basic plane's lower part.
  return names.some((name) => /[\ud800-\uffff]/.test(name))
    ? names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    : names.sort()
}

/** Overlayfs marks a deleted file by a character device 0:0. */
export const isWhiteout = (stat: { isCharacterDevice(): boolean; rdev: number | bigint }): boolean =>
  stat.isCharacterDevice() && Number(stat.rdev) === 0

/** Major and minor of a Linux dev_t as stat gives it. */
export const deviceNumbers = (rdev: bigint): { major: number; minor: number } => ({
  major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
  minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
})
