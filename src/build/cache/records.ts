import type { DatabaseSync } from 'node:sqlite'
import { bootId } from '../../lib/boot-id.ts'
import { preparing, transaction } from '../../lib/database.ts'

/** What a solved node is. */
export interface StepResult {
  /** All committed snapshots, base first; empty: nothing (scratch). */
  snapshots: string[]
  /** Operations since the base image, oldest first: did each make a layer, and when. */
  steps: { layer: boolean; createdAt: number }[]
  /** What steps on top of it are keyed by. */
  contentKey: string
  /** The record it is kept in, where it may be found again. */
  record?: string | undefined
}
export interface CacheRecord {
  id: string
  type: string
  description: string
  snapshot: string | undefined
  /** Did the step make that snapshot? Otherwise it changed nothing. */
  owned: boolean
  result: StepResult
  createdAt: number
  lastUsedAt: number
  usageCount: number
}

interface Row {
  id: string
  type: string
  description: string
  snapshot: string | null
  owned: number
  result: string
  created_at: number
  last_used_at: number
  usage_count: number
}

/** Cache records: keys lead to records, records to committed snapshots. */
export class CacheRecords {
  readonly #db: DatabaseSync
  readonly #prepare: ReturnType<typeof preparing>
  #now: () => number
  readonly #boot = bootId()

  constructor(db: DatabaseSync, now: () => number) {
    this.#db = db
    this.#prepare = preparing(db)
    this.#now = now
  }

  find(key: string): CacheRecord | undefined {
    const row = this.#prepare(
      'SELECT r.* FROM build_keys k JOIN build_records r ON r.id = k.record WHERE k.key = ?',
    ).get(key)
    return row && recordOf(row as unknown as Row)
  }

  /** Stores a record under all its keys; a key that led elsewhere leads here now. */
  add(record: Omit<CacheRecord, 'lastUsedAt' | 'usageCount'>, keys: readonly string[]): void {
    transaction(this.#db, () => {
      this.#prepare(
        `INSERT INTO build_records (id, type, description, content_key, snapshot, owned, result, created_at,
             last_used_at, usage_count, unsynced) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)`,
      ).run(
        record.id,
        record.type,
        record.description,
        record.result.contentKey,
        record.snapshot ?? null,
        record.owned ? 1 : 0,
        JSON.stringify(record.result),
        record.createdAt,
        this.#now(),
        record.owned ? this.#boot : null,
      )
      for (const key of keys) this.#alias(key, record.id)
    })
  }

  /** Records of steps that may not be on disk yet. */
  unsynced(): string[] {
    const rows = this.#prepare('SELECT id FROM build_records WHERE unsynced IS NOT NULL').all()
    return (rows as { id: string }[]).map(({ id }) => id)
  }

  /** They are on disk now. */
  synced(ids: readonly string[]): void {
    const update = this.#prepare('UPDATE build_records SET unsynced = NULL WHERE id = ?')
    transaction(this.#db, () => {
      for (const id of ids) update.run(id)
    })
  }

  /** Drops what was not on disk when the machine went down; its snapshots. */
  dropUnsynced(): string[] {
    const rows = this.#prepare('DELETE FROM build_records WHERE unsynced <> ? RETURNING snapshot').all(this.#boot)
    return (rows as { snapshot: string }[]).map(({ snapshot }) => snapshot)
  }

  /** All keys that lead to a record. */
  keysOf(id: string): string[] {
    const rows = this.#prepare('SELECT key FROM build_keys WHERE record = ? ORDER BY key').all(id)
    return (rows as { key: string }[]).map(({ key }) => key)
  }

  /** Does a record answer for this snapshot? */
  owns(snapshot: string): boolean {
    return this.#prepare('SELECT 1 FROM build_records WHERE snapshot = ? AND owned = 1').get(snapshot) !== undefined
  }

  /** Another key for a record; the record may be gone by now. */
  alias(key: string, id: string): void {
    this.#alias(key, id)
  }

  #alias(key: string, id: string): void {
    this.#prepare(
      `INSERT INTO build_keys (key, record) SELECT ?, id FROM build_records WHERE id = ?
         ON CONFLICT (key) DO UPDATE SET record = excluded.record`,
    ).run(key, id)
  }

  used(id: string): void {
    this.#prepare('UPDATE build_records SET last_used_at = ?, usage_count = usage_count + 1 WHERE id = ?').run(
      this.#now(),
      id,
    )
  }

  drop(id: string): void {
    this.#prepare('DELETE FROM build_records WHERE id = ?').run(id)
  }

  list(): CacheRecord[] {
    return this.#prepare('SELECT * FROM build_records')
      .all()
      .map((row) => recordOf(row as unknown as Row))
  }

  treeDigest(snapshot: string, selection: string): string | undefined {
    const row = this.#prepare('SELECT digest FROM build_trees WHERE snapshot = ? AND selection = ?').get(
      snapshot,
      selection,
    )
    return row?.digest as string | undefined
  }

  setTreeDigest(snapshot: string, selection: string, digest: string): void {
    this.#prepare('INSERT OR REPLACE INTO build_trees (snapshot, selection, digest) VALUES (?, ?, ?)').run(
      snapshot,
      selection,
      digest,
    )
  }

  forgetTrees(known: ReadonlySet<string>): void {
    const rows = this.#prepare('SELECT DISTINCT snapshot FROM build_trees').all() as { snapshot: string }[]
    for (const { snapshot } of rows)
      if (!known.has(snapshot)) this.#prepare('DELETE FROM build_trees WHERE snapshot = ?').run(snapshot)
  }

  /** The image made from exactly this configuration before, and its time. */
  image(key: string): { created: string; image: string } | undefined {
    const row = this.#prepare('SELECT created, image FROM build_images WHERE key = ?').get(key)
    return row as { created: string; image: string } | undefined
  }

  /** Drops what is known of images that are gone. */
  forgetImages(known: ReadonlySet<string>): void {
    const rows = this.#prepare('SELECT DISTINCT image FROM build_images').all() as { image: string }[]
    for (const { image } of rows)
      if (!known.has(image)) this.#prepare('DELETE FROM build_images WHERE image = ?').run(image)
  }

  setImage(key: string, created: string, image: string): void {
    this.#prepare('INSERT OR REPLACE INTO build_images (key, created, image) VALUES (?, ?, ?)').run(key, created, image)
  }
}

const recordOf = (row: Row): CacheRecord => ({
  id: row.id,
  type: row.type,
  description: row.description,
  snapshot: row.snapshot ?? undefined,
  owned: row.owned === 1,
  result: JSON.parse(row.result) as StepResult,
  createdAt: row.created_at,
  lastUsedAt: row.last_used_at,
  usageCount: row.usage_count,
})
