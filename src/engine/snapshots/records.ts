import type { DatabaseSync } from 'node:sqlite'
import { migrate, preparing, transaction } from '../../lib/database.ts'
import type { Digest } from '../../spec/oci/index.ts'

export interface SnapshotRecord {
  /** Name of its directory. Never used twice. */
  n: number
  key: string
  /** n of the parent. */
  parent: number | null
  committed: 0 | 1
  /** Does whoever made it still want it? 0: it only stays for others' sake. */
  kept: 0 | 1
  createdAt: number
  /** undefined until measured. */
  size: number | null
  diffId: Digest | null
  /** Bytes of the tar that diffId is the digest of. */
  tarSize: number | null
  labels: string
}

/**
 * What the names of snapshots begin with that are made of their parent alone, and can be made again: nobody keeps one, it
 * goes with its parent.
 */
export const derivedPrefix = 'derived-'
const isDerived = `substr(key, 1, ${derivedPrefix.length}) = '${derivedPrefix}'`

const steps = [
  `CREATE TABLE snapshots (
     n INTEGER PRIMARY KEY AUTOINCREMENT,
     key TEXT NOT NULL UNIQUE,
     parent INTEGER REFERENCES snapshots(n),
     committed INTEGER NOT NULL,
     kept INTEGER NOT NULL,
     createdAt INTEGER NOT NULL,
     size INTEGER,
     diffId TEXT,
     tarSize INTEGER,
     labels TEXT NOT NULL
   ) STRICT;
   CREATE INDEX snapshots_parent ON snapshots(parent);
   CREATE TABLE snapshot_holders (
     n INTEGER NOT NULL REFERENCES snapshots(n),
     holder TEXT NOT NULL,
     PRIMARY KEY (n, holder)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX snapshot_holders_holder ON snapshot_holders(holder);`,
]

/** The table of snapshots. Synchronous, so that each method is one step nobody sees half of. */
export class SnapshotRecords {
  readonly #db: DatabaseSync
  readonly #prepare: ReturnType<typeof preparing>

  constructor(db: DatabaseSync) {
    migrate(db, 'snapshots', steps)
    this.#db = db
    this.#prepare = preparing(db)
  }

  get(key: string): SnapshotRecord | undefined {
    return this.#prepare('SELECT * FROM snapshots WHERE key = ?').get(key) as SnapshotRecord | undefined
  }

  keyOf(n: number): string | undefined {
    return this.#prepare('SELECT key FROM snapshots WHERE n = ?').get(n)?.key as string | undefined
  }

  all(): SnapshotRecord[] {
    return this.#prepare('SELECT * FROM snapshots ORDER BY n').all() as unknown as SnapshotRecord[]
  }

  /** Itself first, then its parent, and so on. */
  chain(n: number): SnapshotRecord[] {
    return this.#prepare(
      `WITH RECURSIVE chain(n, depth) AS (
           SELECT ?, 0 UNION ALL SELECT s.parent, depth + 1 FROM snapshots s JOIN chain c ON s.n = c.n WHERE s.parent IS NOT NULL
         ) SELECT s.* FROM chain c JOIN snapshots s ON s.n = c.n ORDER BY depth`,
    ).all(n) as unknown as SnapshotRecord[]
  }

  add(record: { key: string; parent: number | null; createdAt: number; labels: Record<string, string> }): number {
    const { lastInsertRowid } = this.#prepare(
      'INSERT INTO snapshots (key, parent, committed, kept, createdAt, labels) VALUES (?, ?, 0, 1, ?, ?)',
    ).run(record.key, record.parent, record.createdAt, JSON.stringify(record.labels))
    return Number(lastInsertRowid)
  }

  commit(n: number, name: string, createdAt: number): void {
    this.#prepare('UPDATE snapshots SET key = ?, committed = 1, createdAt = ? WHERE n = ?').run(name, createdAt, n)
  }

  set(n: number, values: { size?: number; diffId?: Digest; tarSize?: number; kept?: 0 | 1 }): void {
    this.#prepare(
      `UPDATE snapshots SET size = coalesce(?, size), diffId = coalesce(?, diffId), tarSize = coalesce(?, tarSize),
           kept = coalesce(?, kept) WHERE n = ?`,
    ).run(values.size ?? null, values.diffId ?? null, values.tarSize ?? null, values.kept ?? null, n)
  }

  /** Not counted are derived ones that nothing is on. */
  childCount(n: number): number {
    const idle = `${isDerived} AND NOT EXISTS (SELECT 1 FROM snapshots above WHERE above.parent = child.n)`
    const { count } = this.#prepare(
      `SELECT count(*) AS count FROM snapshots child WHERE parent = ? AND NOT (${idle})`,
    ).get(n) as { count: number }
    return count
  }

  derivedFrom(n: number): SnapshotRecord[] {
    const found = this.#prepare(`SELECT * FROM snapshots WHERE parent = ? AND ${isDerived}`)
    return found.all(n) as unknown as SnapshotRecord[]
  }

  isHeld(n: number): boolean {
    return this.#prepare('SELECT 1 FROM snapshot_holders WHERE n = ? LIMIT 1').get(n) !== undefined
  }

  /** Nothing is held where one of them is not there: undefined, or its key. */
  hold(keys: string[], holder: string): string | undefined {
    const rows = this.#prepare('SELECT key, n FROM snapshots WHERE key IN (SELECT value FROM json_each(?))')
    const found = new Map(
      (rows.all(JSON.stringify(keys)) as { key: string; n: number }[]).map(({ key, n }) => [key, n]),
    )
    const missing = keys.find((key) => !found.has(key))
    if (missing !== undefined) return missing
    this.#prepare('INSERT OR IGNORE INTO snapshot_holders (n, holder) SELECT value, ? FROM json_each(?)').run(
      holder,
      JSON.stringify([...found.values()]),
    )
    return undefined
  }

  holders(prefix: string): string[] {
    const rows = this.#prepare('SELECT DISTINCT holder FROM snapshot_holders').all() as { holder: string }[]
    return rows.map((row) => row.holder).filter((holder) => holder.startsWith(prefix))
  }

  /** Drops the holder; returns what it held, highest first. */
  release(holder: string): SnapshotRecord[] {
    const held = this.#prepare(
      'SELECT s.* FROM snapshots s JOIN snapshot_holders h ON h.n = s.n WHERE holder = ? ORDER BY s.n DESC',
    ).all(holder) as unknown as SnapshotRecord[]
    this.#prepare('DELETE FROM snapshot_holders WHERE holder = ?').run(holder)
    return held
  }

  delete(n: number): void {
    this.#prepare('DELETE FROM snapshot_holders WHERE n = ?').run(n)
    this.#prepare('DELETE FROM snapshots WHERE n = ?').run(n)
  }

  transaction<T>(body: () => T): T {
    return transaction(this.#db, body)
  }
}
