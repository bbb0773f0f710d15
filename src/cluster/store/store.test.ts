import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { systemClock } from '../../lib/clock.ts'
import { openDatabase } from '../../lib/database.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { type Change, openStore } from './store.ts'

const object = (name: string, value = '', namespace = 'default'): KubeObject => ({
  metadata: { name, namespace },
  data: { value },
})
const open = (path = ':memory:', history = { least: 2, most: 10, age: -1 }) =>
  openStore({ db: openDatabase(path), clock: systemClock, freeze: true, history })
const show = (changes: Change[]): string => changes.map((c) => `${c.type} ${c.key}`).join(', ')

test('revisions increase across kinds and are written into the object', () => {
  const store = open()
  const a = store.create('pods', object('a'))
  const b = store.create('services', object('a'))
  assert.ok(Number(b.metadata.resourceVersion) > Number(a.metadata.resourceVersion))
  assert.equal(store.revision, Number(b.metadata.resourceVersion))
  assert.throws(
    () => store.create('pods', object('a')),
    (e) => isError(e, 'already-exists'),
  )
})

test('lists are in order of namespace and name', () => {
  const store = open()
  for (const [ns, name] of [
    ['b', 'x'],
    ['a-b', 'x'],
    ['a', 'z'],
    ['a', 'b'],
  ] as const)
    store.create('pods', object(name, '', ns))
  const names = (ns: string) => store.list('pods', ns).map((o) => `${o.metadata.namespace}/${o.metadata.name}`)
  assert.deepEqual(names(''), ['a-b/x', 'a/b', 'a/z', 'b/x'])
  assert.deepEqual(names('a'), ['a/b', 'a/z'])
})

test('an earlier state can be listed until its history is compacted', () => {
  const store = open()
  store.create('pods', object('a', '1'))
  const then = Number(store.create('pods', object('b', '1')).metadata.resourceVersion)
  store.update('pods', object('a', '2'))
  store.delete('pods', 'default', 'b')
  store.create('pods', object('c'))
  const values = store.listAt('pods', '', then).map((o) => `${o.metadata.name}=${(o.data as { value: string }).value}`)
  assert.deepEqual(values, ['a=1', 'b=1'])
  for (let i = 0; i < 5; i++) store.update('pods', object('c', String(i)))
  store.compact()
  assert.throws(
    () => store.listAt('pods', '', then),
    (e) => isError(e, 'expired'),
  )
  assert.equal(store.changesSince('pods', store.revision).length, 0)
})

test('subscribers see each change once, after it is committed', () => {
  const store = open()
  const seen: Change[] = []
  const end = store.subscribe('pods', (change) => {
    seen.push(change)
    assert.equal(store.revision, change.revision)
  })
  store.create('pods', object('a'))
  store.create('services', object('a'))
  store.update('pods', object('a', '2'))
  store.delete('pods', 'default', 'a')
  end()
  store.create('pods', object('a'))
  assert.equal(show(seen), 'ADDED default/a, MODIFIED default/a, DELETED default/a')
  assert.equal((seen[1]!.previous!.data as { value: string }).value, '')
})

test('everything is there again after opening the file anew', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'store-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'db')
  const first = open(path)
  const start = first.revision
  first.create('pods', object('a'))
  first.update('pods', object('a', '2'))
  first.create('pods', object('b'))
  first.delete('pods', 'default', 'b')
  assert.equal(
    first.setting('key', () => 'one'),
    'one',
  )
  const again = open(path)
  assert.equal(again.revision, first.revision)
  assert.deepEqual(again.list('pods', ''), first.list('pods', ''))
  assert.equal(show(again.changesSince('pods', start)), show(first.changesSince('pods', start)))
  assert.equal(
    again.setting('key', () => 'two'),
    'one',
  )
})

test('objects are frozen when asked', () => {
  const stored = open().create('pods', object('a'))
  assert.throws(() => {
    ;(stored.data as { value: string }).value = 'x'
  }, TypeError)
})
