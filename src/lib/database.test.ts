import assert from 'node:assert/strict'
import { copyFileSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isError } from '../errors.ts'
import { openDatabase, readTable, tellDamaged } from './database.ts'

test('rows that cannot be read are put aside, once, and the others are of use', () => {
  const db = openDatabase(':memory:')
  db.exec(`CREATE TABLE pairs (a TEXT, b TEXT, body TEXT, PRIMARY KEY (a, b)) STRICT;
    INSERT INTO pairs VALUES ('x', '1', '{"n":1}'), ('x', '2', '{"n":'), ('y', '1', '{"n":3}')`)
  const read = (): number[] =>
    readTable(db, 'pairs', ['a', 'b'], ({ body }) => (JSON.parse(body as string) as { n: number }).n)
  assert.deepEqual(read(), [1, 3])
  assert.deepEqual(read(), [1, 3])
  const [told, ...more] = tellDamaged(db)
  assert.deepEqual([told!.source, JSON.parse(told!.row), more], ['pairs', { a: 'x', b: '2', body: '{"n":' }, []])
  assert.deepEqual(tellDamaged(db), [])
  assert.equal(db.prepare('SELECT count(*) AS n FROM pairs').get()!.n, 2)
  db.close()
})

test('a file that is no database is said to be damaged, with its path', () => {
  const dir = mkdtempSync(join(tmpdir(), 'database-'))
  const path = join(dir, 'x.db')
  writeFileSync(path, 'not a database '.repeat(1000))
  assert.throws(
    () => openDatabase(path),
    (error) => isError(error, 'internal') && error.message.includes(`${path} is damaged`) && error.hint !== undefined,
  )
  rmSync(dir, { recursive: true })
})

test('the log has its room from the start, and what was in it is not touched by that', () => {
  const dir = mkdtempSync(join(tmpdir(), 'database-'))
  const path = join(dir, 'x.db')
  const first = openDatabase(path)
  first.exec('CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)')
  const log = `${path}-wal`
  const { size } = statSync(log)
  assert.ok(size > 4e6)
  // As a kill leaves it: a second process reads what the log has.
  truncateSync(log, size - 4096)
  copyFileSync(path, join(dir, 'y.db'))
  copyFileSync(log, join(dir, 'y.db-wal'))
  const second = openDatabase(join(dir, 'y.db'))
  assert.equal(second.prepare('SELECT n FROM t').get()!.n, 1)
  assert.equal(statSync(join(dir, 'y.db-wal')).size, size)
  for (let i = 0; i < 100; i++) second.exec(`INSERT INTO t VALUES (${i})`)
  assert.equal(statSync(join(dir, 'y.db-wal')).size, size)
  second.close()
  first.close()
  rmSync(dir, { recursive: true })
})
