import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { ConfigMap, Namespace, Pod } from '../../spec/kube/kinds.ts'
import { admin, cluster } from './fixture.ts'

test('an object goes in, can be read, changed and removed', async () => {
  const { client } = cluster()
  const made = await client.create(ConfigMap, { metadata: { name: 'a', namespace: 'default' }, data: { x: '1' } })
  assert.ok(made.metadata.uid)
  assert.deepEqual(await client.get(ConfigMap, { namespace: 'default', name: 'a' }), made)
  const changed = await client.update(ConfigMap, { ...made, data: { x: '2' } })
  assert.ok(Number(changed.metadata.resourceVersion) > Number(made.metadata.resourceVersion))
  await assert.rejects(client.update(ConfigMap, { ...made, data: { x: '3' } }), (e) => isError(e, 'conflict'))
  const same = await client.update(ConfigMap, changed)
  assert.equal(same.metadata.resourceVersion, changed.metadata.resourceVersion)
  await client.delete(ConfigMap, { namespace: 'default', name: 'a' })
  assert.equal(await client.get(ConfigMap, { namespace: 'default', name: 'a' }), undefined)
  assert.equal(await client.delete(ConfigMap, { namespace: 'default', name: 'a' }), undefined)
})

test('a watch begins with what is there and follows', async () => {
  const { client } = cluster()
  const stop = new AbortController()
  const seen: string[] = []
  await client.create(ConfigMap, { metadata: { name: 'a' } })
  const watching = (async () => {
    for await (const event of client.watch(ConfigMap, { signal: stop.signal }))
      if (event.type !== 'BOOKMARK') {
        seen.push(`${event.type} ${event.object.metadata.name}`)
        if (event.type === 'DELETED') stop.abort()
      }
  })()
  await client.create(ConfigMap, { metadata: { name: 'b' } })
  await client.delete(ConfigMap, { name: 'b' })
  await watching
  assert.deepEqual(seen, ['ADDED a', 'ADDED b', 'DELETED b'])
})

test('a missing namespace is not found', async () => {
  const { client, api } = cluster()
  await assert.rejects(client.create(ConfigMap, { metadata: { name: 'a', namespace: 'nope' } }), {
    message: 'namespaces "nope" not found',
  })
  assert.ok(await client.get(Namespace, { name: 'kube-system' }))
  const response = await api.handle({ user: admin, verb: 'list', group: '', version: 'v1', resource: 'namespaces' })
  assert.equal(response.kind, 'object')
  void Pod
})
