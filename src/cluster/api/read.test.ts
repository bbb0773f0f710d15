import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cluster, failureOf, pod } from './fixture.ts'
import type { Draft } from './resource.ts'

const names = (list: Draft): string[] => list.items.map((i: Draft) => i.metadata.name)
const filled = async () => {
  const it = cluster()
  for (const name of ['a', 'b', 'c', 'd', 'e'])
    await it.ask('create', 'configmaps', { object: { metadata: { name, labels: { app: 'x' } } } as never })
  return it
}

test('pages are consistent: what changes meanwhile shows in none of them', async () => {
  const { ask } = await filled()
  const page = { labels: 'app', limit: 2 }
  const first = await ask('list', 'configmaps', page)
  assert.deepEqual(names(first), ['a', 'b'])
  await ask('delete', 'configmaps', { name: 'd' })
  await ask('create', 'configmaps', { object: { metadata: { name: 'cc', labels: { app: 'x' } } } as never })
  const second = await ask('list', 'configmaps', { ...page, continue: first.metadata.continue })
  const third = await ask('list', 'configmaps', { ...page, continue: second.metadata.continue })
  assert.deepEqual([...names(second), ...names(third)], ['c', 'd', 'e'])
  assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion)
  assert.equal(third.metadata.continue, undefined)
  assert.deepEqual(names(await ask('list', 'configmaps', { labels: 'app' })), ['a', 'b', 'c', 'cc', 'e'])
})
test('remaining items are counted when nothing is selected', async () => {
  const { ask } = await filled()
  const first = await ask('list', 'configmaps', { limit: 2 })
  assert.equal(first.metadata.remainingItemCount, 3)
})
test('broken and impossible requests', async () => {
  const { ask } = cluster()
  assert.equal((await failureOf(ask('list', 'configmaps', { continue: 'nonsense' }))).code, 400)
  assert.equal(
    (await failureOf(ask('list', 'configmaps', { fields: 'data.x=y' }))).message,
    'field label not supported: data.x',
  )
  assert.equal((await failureOf(ask('list', 'configmaps', { labels: 'a b' }))).code, 400)
  assert.equal((await failureOf(ask('list', 'nonsense'))).message, 'the server could not find the requested resource')
  assert.equal((await failureOf(ask('get', 'pods', { name: 'x' }))).message, 'pods "x" not found')
  assert.equal(
    (await failureOf(ask('get', 'apps/v1 deployments', { name: 'x' }))).message,
    'deployments.apps "x" not found',
  )
  assert.equal((await failureOf(ask('list', 'configmaps', { resourceVersion: 'x' }))).code, 400)
})
test('fields of pods and events can be selected', async () => {
  const { ask } = cluster()
  await ask('create', 'pods', { object: pod('a', { nodeName: 'n1' }) })
  await ask('create', 'pods', { object: pod('b') })
  assert.deepEqual(names(await ask('list', 'pods', { fields: 'spec.nodeName=n1' })), ['a'])
  assert.deepEqual(names(await ask('list', 'pods', { fields: 'status.phase!=Pending' })), [])
  assert.deepEqual(names(await ask('list', 'pods', { fields: 'metadata.name=b,metadata.namespace=default' })), ['b'])
  const event = {
    metadata: { name: 'e' },
    involvedObject: { kind: 'Pod', name: 'a', namespace: 'default' },
    reason: 'Started',
    type: 'Normal',
  }
  await ask('create', 'events', { object: event as never })
  assert.deepEqual(names(await ask('list', 'events', { fields: 'involvedObject.kind=Pod,involvedObject.name=a' })), [
    'e',
  ])
  const viewed = await ask('list', 'events.k8s.io/v1 events', { fields: 'regarding.name=a' })
  assert.deepEqual(
    [viewed.apiVersion, viewed.items[0].regarding.name, viewed.items[0].involvedObject],
    ['events.k8s.io/v1', 'a', undefined],
  )
})
test('metadata only', async () => {
  const { ask } = await filled()
  const list = await ask('list', 'configmaps', { metadataOnly: true, labels: 'app' })
  assert.deepEqual(
    [list.kind, list.items[0].kind, list.items[0].metadata.name],
    ['PartialObjectMetadataList', 'PartialObjectMetadata', 'a'],
  )
})
