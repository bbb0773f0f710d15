import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { migrate } from '../../lib/database.ts'
import { schema } from '../cache/schema.ts'
import { type HistoryRow, HistoryRows } from './rows.ts'

test('overdue are those that ended long ago and are not among the newest; what is pinned stays', () => {
  const db = new DatabaseSync(':memory:')
  db.exec('CREATE TABLE migrations (room TEXT PRIMARY KEY, version INTEGER NOT NULL)')
  migrate(db, 'build', schema)
  const rows = new HistoryRows(db)
  for (const completedAt of [1, 2, 3, 4, 5, 6])
    rows.add(
      { ref: `r${completedAt}`, completedAt, pinned: completedAt === 2, blobs: [] } as unknown as HistoryRow,
      Buffer.alloc(0),
    )
  assert.deepEqual(rows.overdue(0, 4).sort(), ['r1', 'r3'])
  assert.deepEqual(rows.overdue(3, 4).sort(), ['r1', 'r3'], 'three newer ones fill the places')
  assert.deepEqual(rows.overdue(4, 4).sort(), ['r1'])
  assert.deepEqual(rows.overdue(2, 6).sort(), ['r1', 'r3', 'r4'])
  assert.deepEqual(rows.overdue(9, 6), [])
})
