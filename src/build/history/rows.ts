/** Builds that have ended, in the database: a row each, with what was told packed beside it. */
import type { DatabaseSync } from 'node:sqlite'
import { putAside, transaction } from '../../lib/database.ts'
import type { BuildRecord } from '../types.ts'

export interface HistoryRow extends BuildRecord {
  /** What attachments consist of. */
  blobs: { digest: string; data: Uint8Array }[]
}

export class HistoryRows {
  readonly #db: DatabaseSync

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  /** In one step; a build of the same name is replaced. */
  add(row: HistoryRow, events: Uint8Array): void {
    const { blobs, ...record } = row
    transaction(this.#db, () => {
      this.remove(row.ref)
      this.#db
        .prepare('INSERT INTO build_history (ref, completed_at, pinned, record, events) VALUES (?, ?, ?, ?, ?)')
        .run(row.ref, row.completedAt ?? 0, row.pinned ? 1 : 0, JSON.stringify(record), events)
      const blob = this.#db.prepare('INSERT OR IGNORE INTO build_history_blobs (ref, digest, data) VALUES (?, ?, ?)')
      for (const { digest, data } of blobs) blob.run(row.ref, digest, data)
    })
  }

  all(): HistoryRow[] {
    const rows = this.#db.prepare('SELECT ref, pinned, record FROM build_history ORDER BY completed_at').all()
    return (rows as unknown as Stored[]).flatMap((row) => this.#read(row) ?? [])
  }

  get(ref: string): HistoryRow | undefined {
    const row = this.#db.prepare('SELECT ref, pinned, record FROM build_history WHERE ref = ?').get(ref)
    return row && this.#read(row as unknown as Stored)
  }

  events(ref: string): Uint8Array | undefined {
    const row = this.#db.prepare('SELECT events FROM build_history WHERE ref = ?').get(ref)
    return (row as { events: Uint8Array } | undefined)?.events
  }

  blob(digest: string): Uint8Array | undefined {
    const row = this.#db.prepare('SELECT data FROM build_history_blobs WHERE digest = ? LIMIT 1').get(digest)
    return (row as { data: Uint8Array } | undefined)?.data
  }

  remove(ref: string): void {
    this.#db.prepare('DELETE FROM build_history_blobs WHERE ref = ?').run(ref)
    this.#db.prepare('DELETE FROM build_history WHERE ref = ?').run(ref)
  }

  /** False: there is no such build. */
  setPinned(ref: string, pinned: boolean): boolean {
    const { changes } = this.#db.prepare('UPDATE build_history SET pinned = ? WHERE ref = ?').run(pinned ? 1 : 0, ref)
    return changes > 0
  }

  /** Those beyond the newest `most` that ended before `before`. */
  overdue(most: number, before: number): string[] {
    const { newer } = this.#db
      .prepare('SELECT count(*) AS newer FROM build_history WHERE pinned = 0 AND completed_at >= ?')
      .get(before) as { newer: number }
    const rows = this.#db
      .prepare(
        `SELECT ref FROM build_history WHERE pinned = 0 AND completed_at < ?
         ORDER BY completed_at DESC LIMIT -1 OFFSET ?`,
      )
      .all(before, Math.max(0, most - newer)) as { ref: string }[]
    return rows.map(({ ref }) => ref)
  }

  #read({ ref, pinned, record }: Stored): HistoryRow | undefined {
    try {
      return { ...(JSON.parse(record) as BuildRecord), pinned: pinned === 1, blobs: [] }
    } catch (error) {
      transaction(this.#db, () => {
        putAside(this.#db, 'build_history', { ref, record }, error)
        this.remove(ref)
      })
      return undefined
    }
  }
}

interface Stored {
  ref: string
  pinned: number
  record: string
}
