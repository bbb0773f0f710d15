import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../lib/clock.ts'
import { cluster, failureOf, pod } from './fixture.ts'

const at = Date.parse('2026-01-01T00:00:00Z')
const clock = { ...systemClock, now: () => at }

test('a running pod is given its grace; less can be asked for, more cannot', async () => {
  const { ask } = cluster({ clock })
  await ask('create', 'pods', { object: pod('p', { nodeName: 'n1' }) })
  const first = await ask('delete', 'pods', { name: 'p' })
  assert.deepEqual(
    [first.metadata.deletionTimestamp, first.metadata.deletionGracePeriodSeconds],
    ['2026-01-01T00:00:30Z', 30],
  )
  const longer = await ask('delete', 'pods', { name: 'p', deleteOptions: { gracePeriodSeconds: 90 } })
  assert.equal(longer.metadata.resourceVersion, first.metadata.resourceVersion)
  const shorter = await ask('delete', 'pods', { name: 'p', deleteOptions: { gracePeriodSeconds: 5 } })
  assert.deepEqual(
    [shorter.metadata.deletionTimestamp, shorter.metadata.deletionGracePeriodSeconds],
    ['2026-01-01T00:00:05Z', 5],
  )
  await ask('delete', 'pods', { name: 'p', deleteOptions: { gracePeriodSeconds: 0 } })
  assert.equal((await failureOf(ask('get', 'pods', { name: 'p' }))).code, 404)
})
test('a finished pod, and one without a node, go at once', async () => {
  const { ask } = cluster()
  await ask('create', 'pods', { object: pod('a') })
  await ask('delete', 'pods', { name: 'a' })
  const done = await ask('create', 'pods', { object: pod('b', { nodeName: 'n1' }) })
  await ask('update', 'pods/status', { name: 'b', object: { ...done, status: { phase: 'Succeeded' } } })
  await ask('delete', 'pods', { name: 'b' })
  assert.deepEqual((await ask('list', 'pods')).items, [])
})
test('propagation is kept as a finalizer for the garbage collector', async () => {
  const { ask } = cluster()
  const make = (name: string) => ask('create', 'configmaps', { object: { metadata: { name } } as never })
  await make('f')
  await make('o')
  await make('b')
  const foreground = await ask('delete', 'configmaps', {
    name: 'f',
    deleteOptions: { propagationPolicy: 'Foreground' },
  })
  assert.deepEqual(foreground.metadata.finalizers, ['foregroundDeletion'])
  const orphan = await ask('delete', 'configmaps', { name: 'o', deleteOptions: { orphanDependents: true } })
  assert.deepEqual(orphan.metadata.finalizers, ['orphan'])
  const background = await ask('delete', 'configmaps', {
    name: 'b',
    deleteOptions: { propagationPolicy: 'Background' },
  })
  assert.deepEqual([background.kind, background.status, background.details.kind], ['Status', 'Success', 'configmaps'])
})
test('preconditions', async () => {
  const { ask } = cluster()
  const made = await ask('create', 'configmaps', { object: { metadata: { name: 'a' } } as never })
  const status = await failureOf(
    ask('delete', 'configmaps', { name: 'a', deleteOptions: { preconditions: { uid: 'x' } } }),
  )
  assert.equal(
    status.message,
    `Operation cannot be fulfilled on configmaps "a": Precondition failed: UID in precondition: x, UID in object meta: ${made.metadata.uid}`,
  )
  assert.equal(
    (
      await failureOf(
        ask('delete', 'configmaps', { name: 'a', deleteOptions: { preconditions: { resourceVersion: '1' } } }),
      )
    ).code,
    409,
  )
})
test('dryRun deletes nothing', async () => {
  const { ask } = cluster()
  await ask('create', 'configmaps', { object: { metadata: { name: 'a' } } as never })
  await ask('delete', 'configmaps', { name: 'a', dryRun: true })
  assert.ok(await ask('get', 'configmaps', { name: 'a' }))
})
test('a namespace terminates: nothing new comes in, and finalizing it ends it', async () => {
  const { ask } = cluster({ ca: 'PEM' })
  const cluster0 = { namespace: undefined }
  const made = await ask('create', 'namespaces', { object: { metadata: { name: 'n' } } as never, ...cluster0 })
  assert.deepEqual(
    [made.spec.finalizers, made.status.phase, made.metadata.labels],
    [['kubernetes'], 'Active', { 'kubernetes.io/metadata.name': 'n' }],
  )
  assert.ok(await ask('get', 'serviceaccounts', { name: 'default', namespace: 'n' }))
  assert.equal((await ask('get', 'configmaps', { name: 'kube-root-ca.crt', namespace: 'n' })).data['ca.crt'], 'PEM')
  const deleted = await ask('delete', 'namespaces', { name: 'n', ...cluster0 })
  assert.equal(deleted.status.phase, 'Terminating')
  const refused = await failureOf(
    ask('create', 'configmaps', { object: { metadata: { name: 'x' } } as never, namespace: 'n' }),
  )
  assert.deepEqual(
    [refused.code, refused.message],
    [403, 'configmaps "x" is forbidden: unable to create new content in namespace n because it is being terminated'],
  )
  assert.equal(refused.details?.causes?.[0]?.reason, 'NamespaceTerminating')
  await ask('update', 'namespaces/finalize', { name: 'n', object: { ...deleted, spec: {} }, ...cluster0 })
  assert.equal((await failureOf(ask('get', 'namespaces', { name: 'n', ...cluster0 }))).code, 404)
  assert.equal(
    (await failureOf(ask('delete', 'namespaces', { name: 'default', ...cluster0 }))).message,
    'namespaces "default" is forbidden: this namespace may not be deleted',
  )
})
