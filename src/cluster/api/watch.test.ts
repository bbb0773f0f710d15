import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cluster, failureOf } from './fixture.ts'
import type { Draft } from './resource.ts'

type Event = { type: string; object: Draft }
/** The first `count` events as "TYPE name". */
const take = async (events: AsyncIterable<Event>, count: number): Promise<Event[]> => {
  const seen: Event[] = []
  for await (const event of events) {
    seen.push(event)
    if (seen.length === count) break
  }
  return seen
}
const show = (events: Event[]): string[] =>
  events.map((e) => `${e.type} ${e.object.metadata?.name ?? e.object.reason ?? ''}`.trim())
const map = (name: string, labels: Record<string, string> = {}): never => ({ metadata: { name, labels } }) as never
const maps = 'configmaps'
/** Without what bootstrap makes. */
const scope = { labels: 'app' }

test('a watch resumes after any revision it knows', async () => {
  const { ask, watch } = cluster()
  const first = await ask('create', maps, { object: map('a', { app: 'x' }) })
  await ask('create', maps, { object: map('b', { app: 'x' }) })
  await ask('delete', maps, { name: 'a' })
  const events = await watch(maps, { ...scope, resourceVersion: first.metadata.resourceVersion })
  const seen = await take(events, 2)
  assert.deepEqual(show(seen), ['ADDED b', 'DELETED a'])
  assert.ok(Number(seen[1]!.object.metadata.resourceVersion) > Number(seen[0]!.object.metadata.resourceVersion))
})

test('entering a selection is ADDED, leaving it DELETED, outside nothing', async () => {
  const { ask, watch } = cluster()
  const events = await watch(maps, {
    labels: 'app=x',
    resourceVersion: (await ask('list', maps)).metadata.resourceVersion,
  })
  const label = (app: string) =>
    ask('patch', maps, { name: 'a', patch: { type: 'merge', body: { metadata: { labels: { app } } } } })
  await ask('create', maps, { object: map('a', { app: 'y' }) })
  await label('x')
  await ask('patch', maps, { name: 'a', patch: { type: 'merge', body: { data: { k: 'v' } } } })
  await label('z')
  await label('w')
  await label('x')
  const seen = await take(events, 4)
  assert.deepEqual(show(seen), ['ADDED a', 'MODIFIED a', 'DELETED a', 'ADDED a'])
  assert.equal(seen[2]!.object.metadata.labels.app, 'x')
})

test('sendInitialEvents ends with the annotated bookmark', async () => {
  const { ask, watch } = cluster()
  await ask('create', maps, { object: map('a', { app: 'x' }) })
  const events = await watch(maps, {
    ...scope,
    sendInitialEvents: true,
    resourceVersionMatch: 'NotOlderThan',
    allowWatchBookmarks: true,
  })
  const seen = await take(events, 2)
  assert.deepEqual(show(seen), ['ADDED a', 'BOOKMARK'])
  assert.equal(seen[1]!.object.metadata.annotations['k8s.io/initial-events-end'], 'true')
})

test('a watch ends at its timeout and on abort', async () => {
  const { watch } = cluster()
  const stop = new AbortController()
  const aborted = await watch(maps, { ...scope, signal: stop.signal })
  setImmediate(() => stop.abort())
  assert.deepEqual(await take(aborted, 9), [])
})

test('closing the server ends all watches and refuses what comes later', async () => {
  const { api, ask, watch } = cluster()
  const events = await watch(maps, scope)
  setImmediate(() => void api.close())
  assert.deepEqual(await take(events, 9), [])
  assert.equal((await failureOf(ask('list', maps))).code, 503)
})

test('what is forgotten is told as 410, by an event', async () => {
  const { ask, watch } = cluster()
  const events = await watch(maps, { resourceVersion: '999999' })
  const [error] = await take(events, 2)
  assert.deepEqual([error!.type, error!.object.code, error!.object.reason], ['ERROR', 410, 'Expired'])
  const list = await failureOf(ask('list', maps, { resourceVersion: '999999', resourceVersionMatch: 'NotOlderThan' }))
  assert.deepEqual([list.code, list.details?.causes?.[0]?.reason], [504, 'ResourceVersionTooLarge'])
})

test('a watcher that does not read is let go, not waited for', async () => {
  const { ask, watch } = cluster()
  const events = await watch('configmaps', { resourceVersion: (await ask('list', maps)).metadata.resourceVersion })
  const made = await ask('create', maps, { object: map('a') })
  for (let i = 0; i < 4200; i++)
    await ask('patch', maps, { name: 'a', patch: { type: 'merge', body: { data: { i: String(i) } } } })
  const seen: Event[] = []
  for await (const event of events) seen.push(event)
  assert.equal(seen.at(-1)!.type, 'ERROR')
  assert.ok(seen.length < 4200)
  void made
})

test('events may come as Tables or metadata only', async () => {
  const { ask, watch } = cluster()
  await ask('create', maps, { object: map('a', { app: 'x' }) })
  const [table] = await take(await watch(maps, { ...scope, table: { includeObject: 'Metadata' } }), 1)
  assert.deepEqual(
    [table!.object.kind, table!.object.rows[0].cells[0], table!.object.rows[0].object.kind],
    ['Table', 'a', 'PartialObjectMetadata'],
  )
  const [partial] = await take(await watch(maps, { ...scope, metadataOnly: true }), 1)
  assert.deepEqual([partial!.object.kind, partial!.object.data], ['PartialObjectMetadata', undefined])
})
