/** Content digests of files: remembered by (device, inode, size, mtime, ctime), so that an unchanged context costs only lstat. */
import type { Hash } from 'node:crypto'
import { createHash, hash } from 'node:crypto'
import { closeSync, constants, createReadStream, openSync, readSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { settlesAt } from '../../lib/file-times.ts'
import { transaction } from '../../lib/database.ts'
import { encodeName } from '../../lib/tar/index.ts'
import { type Facts, readFacts } from './facts.ts'
import type { Entry } from './tree.ts'

export interface FileDigests {
  /** Those of the entries' digests (hex sha256 of the data) that are remembered. */
  known(entries: readonly Entry[]): Map<Entry, string>
  /** Reads a file. `stable`: its inode number means the same file tomorrow, so the digest is remembered. */
  read(entry: Entry, stable: boolean): Promise<string>
  /** What was made of entries about which the file system said the same then, or of a revision of a tree. */
  total(facts: string): Total | undefined
  setTotal(facts: string, total: Total): void
  /** Writes down what was learnt. */
  flush(): void
  /** Drops what was not used since `before` (ms). */
  forget(before: number): void
}
interface Total {
  digest: string
  bytes: number
}

/** Above this a file is read in pieces off the main thread. */
const atOnce = 256 * 1024
/** A file that was changed a moment ago may change again without its times telling. */
const isSettled = (facts: Facts): boolean => {
  const { ctimeNs } = readFacts(facts)
  const now = Date.now()
  return settlesAt(Number(ctimeNs / second), Number(ctimeNs % second), now) < now
}
const second = 1_000_000_000n

/** Numbers as texts, as they are in Facts: very many are compared. */
interface Row {
  ino: string
  state: string
  digest: string
}

export const createFileDigests = (db: DatabaseSync, now: () => number): FileDigests => {
  const find = db.prepare(
    `SELECT CAST(ino AS TEXT) AS ino, size || ' ' || mtime_ns || ' ' || ctime_ns AS state, digest FROM build_files
     WHERE dev = ? AND ino IN (SELECT value FROM json_each(?))`,
  )
  const put = db.prepare(
    `INSERT INTO build_files (dev, ino, size, mtime_ns, ctime_ns, digest, used_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (dev, ino) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
       ctime_ns = excluded.ctime_ns, digest = excluded.digest, used_at = excluded.used_at`,
  )
  const findTotal = db.prepare('SELECT digest, bytes FROM build_facts WHERE facts = ?')
  const putTotal = db.prepare('INSERT OR REPLACE INTO build_facts (facts, digest, bytes, used_at) VALUES (?, ?, ?, ?)')
  const drop = ['build_files', 'build_facts'].map((table) => db.prepare(`DELETE FROM ${table} WHERE used_at < ?`))
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
    known(entries) {
      const found = new Map<Entry, string>()
      const byDevice = new Map<string, Map<string, { entry: Entry; state: string }[]>>()
      for (const entry of entries) {
        const [dev, ino, size, , , mtimeNs, ctimeNs] = entry.facts!.split(' ') as [string, string, ...string[]]
        const inodes = byDevice.get(dev) ?? new Map<string, { entry: Entry; state: string }[]>()
        byDevice.set(dev, inodes)
        const names = inodes.get(ino)
        const one = { entry, state: `${size} ${mtimeNs} ${ctimeNs}` }
        if (names) names.push(one)
        else inodes.set(ino, [one])
      }
      for (const [dev, inodes] of byDevice) {
        const rows = find.all(BigInt.asIntN(64, BigInt(dev)), `[${[...inodes.keys()].join(',')}]`) as unknown as Row[]
        for (const row of rows)
          for (const { entry, state } of inodes.get(row.ino) ?? [])
            if (state === row.state) found.set(entry, row.digest)
      }
      return found
    },
    async read(entry, stable) {
      if (entry.data) return createHash('sha256').update(entry.data).digest('hex')
      // Before it is read: a change that comes while it is read must show in its times.
      const keep = stable && isSettled(entry.facts!)
      const digest = await sha256File(entry.absolute, entry.size)
      if (keep) learnt.push({ key: keyOf(entry.facts!), digest })
      if (learnt.length >= 2000) flush()
      return digest
    },
    total: (facts) => findTotal.get(facts) as Total | undefined,
    setTotal: (facts, { digest, bytes }) => void putTotal.run(facts, digest, bytes, now()),
    flush,
    forget(before) {
      for (const each of drop) each.run(before)
    },
  }
}

const keyOf = (facts: Facts): [bigint, bigint, bigint, bigint, bigint] => {
  const { dev, ino, size, mtimeNs, ctimeNs } = readFacts(facts)
  return [BigInt.asIntN(64, dev), BigInt.asIntN(64, ino), size, mtimeNs, ctimeNs]
}

export const sha256File = async (path: string, size: number): Promise<string> => {
  if (size <= atOnce) {
    const data = contentOf(path)
    if (data) return hash('sha256', data, 'hex')
  }
  const all = createHash('sha256')
  for await (const chunk of createReadStream(encodeName(path), { highWaterMark: atOnce })) all.update(chunk as Buffer)
  return all.digest('hex')
}

/** Of a small file, until the next one is read: very many of them cost as little as can be. undefined: it is not small. */
const contentOf = (path: string): Buffer | undefined => {
  // What was a file a moment ago may be a pipe now, which nobody writes to.
  const fd = openSync(encodeName(path), constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const got = readSync(fd, room)
    return got < room.length ? room.subarray(0, got) : undefined
  } finally {
    closeSync(fd)
  }
}
const room = Buffer.allocUnsafeSlow(atOnce + 1)

/** Adds everything that makes two copies of an entry differ; times do not. */
export const hashEntry = (hash: Hash, entry: Entry, data: string): void => {
  const facts = [entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.link, entry.rdev.toString(), data]
  const xattrs = entry.xattrs.map(([name, value]) => [name, value.toString('hex')])
  hash.update(`${JSON.stringify([facts, xattrs])}\n`)
}
