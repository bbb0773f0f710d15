import type { DatabaseSync } from 'node:sqlite'
import { SlipwayError } from '../../errors.ts'
import { migrate, readTable } from '../../lib/database.ts'
import type { PublishedPort, SandboxSpec } from '../types.ts'

export interface StoredSandbox {
  spec: SandboxSpec
  /** Names others resolve it by. */
  names: string[]
  state: 'stopped' | 'ready'
  /** As bound. */
  ports: PublishedPort[]
}

const steps = ['CREATE TABLE sandboxes (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;']

/** Sandboxes on disk and in memory. */
export const createSandboxRecords = (db: DatabaseSync) => {
  migrate(db, 'sandboxes', steps)
  const put = db.prepare(
    'INSERT INTO sandboxes (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body',
  )
  const drop = db.prepare('DELETE FROM sandboxes WHERE id = ?')
  const all = new Map<string, StoredSandbox>()
  for (const record of readTable(db, 'sandboxes', ['id'], ({ id, body }) => {
    const record = JSON.parse(body as string) as StoredSandbox
    if (record.spec.id !== id) throw new SlipwayError('internal', 'is not the record of this sandbox')
    return record
  }))
    all.set(record.spec.id, record)
  return {
    all: all as ReadonlyMap<string, StoredSandbox>,
    save(record: StoredSandbox): void {
      put.run(record.spec.id, JSON.stringify(record))
      all.set(record.spec.id, record)
    },
    delete(id: string): void {
      drop.run(id)
      all.delete(id)
    },
  }
}
export type SandboxRecords = ReturnType<typeof createSandboxRecords>
