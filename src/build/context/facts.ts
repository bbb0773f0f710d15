import type { BigIntStats } from 'node:fs'

/**
 * What lstat says of a file, as one text: all by which a change shows. A large context has many thousands, and the numbers as
 * objects would be most of the work of looking at an unchanged one. Device, inode, size, rdev, links, mtime and ctime (ns).
 */
export type Facts = string

/** Joined and not interpolated: that would keep all its parts. */
export const factsOf = ({ dev, ino, size, rdev, nlink, mtimeNs, ctimeNs }: BigIntStats): Facts =>
  [dev, ino, size, rdev, nlink, mtimeNs, ctimeNs].join(' ')

export const readFacts = (facts: Facts) => {
  const [dev, ino, size, , nlink, mtimeNs, ctimeNs] = facts.split(' ').map(BigInt) as [
    ...[bigint, bigint, bigint, bigint],
    ...[bigint, bigint, bigint],
  ]
  return { dev, ino, size, nlink, mtimeNs, ctimeNs }
}

/** Is it known under another name, too? */
export const hasSeveralNames = (facts: Facts): boolean => facts.split(' ', 5)[4] !== '1'

/** The same file, with the same content? */
export const isUnchanged = (facts: Facts, now: BigIntStats): boolean => {
  const { ino, size, mtimeNs } = readFacts(facts)
  return now.mtimeNs === mtimeNs && now.size === size && now.ino === ino
}
