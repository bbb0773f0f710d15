import { DatabaseSync } from 'node:sqlite'

/** Opens (or makes) an SQLite database for one process: WAL, so a kill at any instant leaves it consistent. */
export const openDatabase = (path: string): DatabaseSync => {
  const db = new DatabaseSync(path, { timeout: 5000 })
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;')
  db.exec('CREATE TABLE IF NOT EXISTS migrations (room TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT')
  return db
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
