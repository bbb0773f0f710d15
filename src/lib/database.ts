import { appendFileSync, statSync } from 'node:fs'
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import { messageOf, SlipwayError } from '../errors.ts'

/** Opens (or makes) an SQLite database for one process: WAL, so a kill at any instant leaves it consistent. */
export const openDatabase = (path: string): DatabaseSync => {
  const db = new DatabaseSync(path, { timeout: 5000 })
  try {
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;')
    db.exec(`CREATE TABLE IF NOT EXISTS migrations (room TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;
      CREATE TABLE IF NOT EXISTS damaged_rows (source TEXT NOT NULL, row TEXT NOT NULL, error TEXT NOT NULL, told INTEGER NOT NULL) STRICT`)
    reserveLog(`${path}-wal`)
    return db
  } catch (error) {
    db.close()
    // SQLITE_CORRUPT, SQLITE_NOTADB
    if (![11, 26].includes((error as { errcode?: number }).errcode ?? 0)) throw error
    throw new SlipwayError('internal', `the database ${path} is damaged: ${messageOf(error)}`, {
      hint: 'Put a backup in its place, or give up the state with: slipway system reset',
      cause: error,
    })
  }
}

/** What SQLite lets its log grow to before it begins anew at the front: 1000 pages, and some more of one transaction. */
const logBytes = 1064 * (4096 + 24)

/**
 * On a disk that is full, things still have to be ended and removed: the room for writing that down is taken now. Zeros
 * behind the log's last frame mean nothing to SQLite.
 */
const reserveLog = (log: string): void => {
  const size = statSync(log, { throwIfNoEntry: false })?.size
  if (size === undefined || size >= logBytes) return
  try {
    appendFileSync(log, Buffer.alloc(logBytes - size))
  } catch (error) {
    if (!['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** db.prepare, once for each text: it takes longer than most statements themselves. Not for what is iterated over step by step. */
export const preparing = (db: DatabaseSync): ((sql: string) => StatementSync) => {
  const known = new Map<string, StatementSync>()
  return (sql) => {
    let found = known.get(sql)
    if (!found) known.set(sql, (found = db.prepare(sql)))
    return found
  }
}

type Row = Record<string, SQLOutputValue>

/**
 * All rows of a table, each as `read` makes it. One that it cannot make sense of (edited, or damaged on disk) is put
 * aside into `damaged_rows`, so that all others are of use. `keys` are the columns that name a row.
 */
export const readTable = <T>(db: DatabaseSync, table: string, keys: readonly string[], read: (row: Row) => T): T[] => {
  const found: T[] = []
  const damaged: [Row, unknown][] = []
  for (const row of db
    .prepare(`SELECT * FROM ${table} ORDER BY ${keys.length > 1 ? keys.join(', ') : 'rowid'}`)
    .iterate()) {
    try {
      found.push(read(row as Row))
    } catch (error) {
      damaged.push([row as Row, error])
    }
  }
  const where = keys.map((key) => `${key} = ?`).join(' AND ')
  for (const [row, error] of damaged)
    transaction(db, () => {
      putAside(db, table, row, error)
      db.prepare(`DELETE FROM ${table} WHERE ${where}`).run(...keys.map((key) => row[key]!))
    })
  return found
}

/** Keeps what a damaged row held, for whoever wants to save something of it. The row itself is the caller's to remove. */
export const putAside = (db: DatabaseSync, table: string, row: object, error: unknown): void => {
  db.prepare('INSERT INTO damaged_rows VALUES (?, ?, ?, 0)').run(table, JSON.stringify(row), messageOf(error))
}

/** Rows that were put aside and that nobody has been told of; afterwards they count as told. */
export const tellDamaged = (db: DatabaseSync): { source: string; row: string; error: string }[] => {
  const rows = db.prepare('SELECT source, row, error FROM damaged_rows WHERE told = 0').all()
  if (rows.length > 0) db.exec('UPDATE damaged_rows SET told = 1')
  return rows as { source: string; row: string; error: string }[]
}

/** Brings the tables of one room up to date: runs the steps that have not run yet, each in a transaction. Steps are only ever appended. */
export const migrate = (db: DatabaseSync, room: string, steps: readonly string[]): void => {
  const row = db.prepare('SELECT version FROM migrations WHERE room = ?').get(room) as { version: number } | undefined
  for (let version = row?.version ?? 0; version < steps.length; version++) {
    transaction(db, () => {
      db.exec(steps[version]!)
      db.prepare(
        'INSERT INTO migrations (room, version) VALUES (?, ?) ON CONFLICT (room) DO UPDATE SET version = excluded.version',
      ).run(room, version + 1)
    })
  }
}

/** Runs `body` in one transaction; rolls back when it throws. Synchronous, so it never interleaves. */
export const transaction = <T>(db: DatabaseSync, body: () => T): T => {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = body()
    db.exec('COMMIT')
    return result
  } catch (error) {
    db.exec('ROLLBACK')
    throw error
  }
}
