/** Content digests of files: remembered by (device, inode, size, mtime, ctime), so that an unchanged context costs only lstat. */
import type { Hash } from 'node:crypto'
import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { createReadStream, readFileSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { transaction } from '../../lib/database.ts'
import type { Entry } from './tree.ts'

export interface FileDigests {
  /** Hex sha256 of a file's data. `stable`: its inode number means the same file tomorrow. */
  of(entry: Entry, stable: boolean): Promise<string>
  /** Writes down what was learnt. */
  flush(): void
  /** Drops what was not used since `before` (ms). */
  forget(before: number): void
}

/** Above this a file is read in pieces off the main thread. */
const atOnce = 256 * 1024
/** A file changed this recently may change again without its times telling (ms). */
const settled = 50

export const createFileDigests = (db: DatabaseSync, now: () => number): FileDigests => {
  const find = db.prepare(
    'SELECT digest FROM build_files WHERE dev = ? AND ino = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?',
  )
  const put = db.prepare(
    `INSERT INTO build_files (dev, ino, size, mtime_ns, ctime_ns, digest, used_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (dev, ino) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
       ctime_ns = excluded.ctime_ns, digest = excluded.digest, used_at = excluded.used_at`,
  )
  const drop = db.prepare('DELETE FROM build_files WHERE used_at < ?')
  let learnt: { key: bigint[]; digest: string }[] = []
  const flush = (): void => {
    if (learnt.length === 0) return
    const list = learnt
    learnt = []
    transaction(db, () => {
      for (const { key, digest } of list) put.run(...(key as [bigint, bigint, bigint, bigint, bigint]), digest, now())
    })
  }
  return {
    async of(entry, stable) {
      if (entry.data) return createHash('sha256').update(entry.data).digest('hex')
      const stat = entry.stat!
      const key = keyOf(stat)
      const row = stable ? (find.get(...key) as { digest: string } | undefined) : undefined
      if (row) return row.digest
      const digest = await sha256File(entry.absolute, entry.size)
      if (stable && Number(stat.ctimeMs) + settled < Date.now()) learnt.push({ key, digest })
      if (learnt.length >= 2000) flush()
      return digest
    },
    flush,
    forget: (before) => void drop.run(before),
  }
}

const keyOf = (stat: BigIntStats): [bigint, bigint, bigint, bigint, bigint] => [
  BigInt.asIntN(64, stat.dev),
  BigInt.asIntN(64, stat.ino),
  stat.size,
  stat.mtimeNs,
  stat.ctimeNs,
]

const sha256File = async (path: string, size: number): Promise<string> => {
  const hash = createHash('sha256')
  if (size <= atOnce) return hash.update(readFileSync(path)).digest('hex')
  for await (const chunk of createReadStream(path, { highWaterMark: atOnce })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** Adds everything that makes two copies of an entry differ; times do not. */
export const hashEntry = (hash: Hash, entry: Entry, data: string): void => {
  const facts = [entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.link, entry.rdev.toString(), data]
  const xattrs = entry.xattrs.map(([name, value]) => [name, value.toString('hex')])
  hash.update(`${JSON.stringify([facts, xattrs])}\n`)
}
