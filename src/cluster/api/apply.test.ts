import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pathsOf } from '../../spec/kube/field-set.ts'
import { causesOf, cluster, deployment, failureOf } from './fixture.ts'
import type { Draft } from './resource.ts'

const apps = 'apps/v1 deployments'
const open = () => {
  const it = cluster()
  const apply = (fieldManager: string, body: Draft, more: Draft = {}) =>
    it.ask('patch', apps, {
      name: 'd',
      fieldManager,
      patch: { type: 'apply', body: { apiVersion: 'apps/v1', kind: 'Deployment', ...body } },
      ...more,
    })
  return { ...it, apply }
}
const base = (): Draft => deployment('d')
const owned = (object: Draft, manager: string, operation = 'Apply', subresource?: string): string[] =>
  pathsOf(
    (object.metadata.managedFields ?? []).find(
      (e: Draft) => e.manager === manager && e.operation === operation && e.subresource === subresource,
    )?.fieldsV1,
  )

test('applying creates, and owns what was said and no more', async () => {
  const { apply } = open()
  const made = await apply('one', base())
  assert.equal(made.spec.replicas, 1)
  assert.deepEqual(owned(made, 'one'), [
    '.spec.selector',
    '.spec.template.metadata.labels.app',
    '.spec.template.spec.containers[name="main"]',
    '.spec.template.spec.containers[name="main"].image',
    '.spec.template.spec.containers[name="main"].name',
  ])
})
test('applying the same again writes nothing', async () => {
  const { apply } = open()
  const first = await apply('one', base())
  assert.equal((await apply('one', base())).metadata.resourceVersion, first.metadata.resourceVersion)
})
test('what an applier leaves out goes, unless someone else owns it', async () => {
  const { apply } = open()
  const env = (...names: string[]): Draft =>
    deployment(
      'd',
      {},
      { containers: [{ name: 'main', image: 'example/app:1', env: names.map((name) => ({ name, value: '1' })) }] },
    )
  await apply('one', env('A', 'B', 'C'))
  await apply('two', {
    metadata: { name: 'd' },
    spec: { template: { spec: { containers: [{ name: 'main', env: [{ name: 'B', value: '1' }] }] } } },
  })
  const left = await apply('one', env('A'))
  assert.deepEqual(
    left.spec.template.spec.containers[0].env.map((e: Draft) => e.name),
    ['A', 'B'],
  )
  const none = await apply('one', base())
  assert.deepEqual(
    none.spec.template.spec.containers[0].env.map((e: Draft) => e.name),
    ['B'],
  )
})
test('conflicts name the manager and the field; force takes over', async () => {
  const { apply, ask } = open()
  await apply('one', { ...base(), spec: { ...base().spec, replicas: 2 } })
  const wanted = { metadata: { name: 'd' }, spec: { replicas: 5 } }
  const status = await failureOf(apply('two', wanted))
  assert.equal(status.code, 409)
  assert.equal(status.message, 'Apply failed with 1 conflict: conflict with "one": .spec.replicas')
  assert.deepEqual(await causesOf(apply('two', wanted)), ['.spec.replicas: conflict with "one"'])
  const same = await apply('two', { metadata: { name: 'd' }, spec: { replicas: 2 } })
  assert.deepEqual(
    [owned(same, 'one').includes('.spec.replicas'), owned(same, 'two').includes('.spec.replicas')],
    [true, true],
  )
  const forced = await apply('two', wanted, { force: true })
  assert.deepEqual([forced.spec.replicas, owned(forced, 'one').includes('.spec.replicas')], [5, false])
  const updated = await ask('update', apps, {
    name: 'd',
    fieldManager: 'three',
    object: { ...forced, spec: { ...forced.spec, replicas: 7, paused: true } },
  })
  assert.deepEqual([owned(updated, 'two'), owned(updated, 'three', 'Update')], [[], ['.spec.paused', '.spec.replicas']])
  const several = await failureOf(apply('two', { metadata: { name: 'd' }, spec: { replicas: 1, paused: false } }))
  assert.match(
    several.message,
    /^Apply failed with 2 conflicts: conflicts with "three" using apps\/v1 at .*:\n- .spec.paused\n- .spec.replicas$/,
  )
})
test('updates and patches are tracked by manager, status apart', async () => {
  const { ask } = open()
  const made = await ask('create', apps, { object: base(), fieldManager: 'kubectl-create' })
  assert.ok(owned(made, 'kubectl-create', 'Update').includes('.spec.replicas'))
  const status = await ask('update', `${apps}/status`, {
    name: 'd',
    object: { ...made, status: { replicas: 1 } },
    fieldManager: 'controller',
  })
  assert.deepEqual(owned(status, 'controller', 'Update', 'status'), ['.status.replicas'])
  const scaled = await ask('patch', `${apps}/scale`, {
    name: 'd',
    patch: { type: 'merge', body: { spec: { replicas: 3 } } },
    fieldManager: 'hpa',
  })
  assert.equal(scaled.spec.replicas, 3)
  const now = await ask('get', apps, { name: 'd' })
  assert.deepEqual(
    [owned(now, 'hpa', 'Update', 'scale'), owned(now, 'kubectl-create', 'Update').includes('.spec.replicas')],
    [['.spec.replicas'], false],
  )
})
test('a client may rewrite the list of managers, as upgrades from client-side apply do', async () => {
  const { ask, apply } = open()
  const made = await ask('create', apps, { object: base(), fieldManager: 'kubectl-client-side-apply' })
  const managedFields = [{ ...made.metadata.managedFields[0], manager: 'kubectl', operation: 'Apply' }]
  await ask('patch', apps, {
    name: 'd',
    patch: { type: 'json', body: [{ op: 'replace', path: '/metadata/managedFields', value: managedFields }] },
  })
  const after = await apply('kubectl', { ...base(), spec: { ...base().spec, replicas: 4 } })
  assert.deepEqual([after.spec.replicas, after.metadata.managedFields.length], [4, 1])
  const cleared = await ask('patch', apps, {
    name: 'd',
    patch: { type: 'merge', body: { metadata: { managedFields: [{}] } } },
  })
  assert.equal(cleared.metadata.managedFields, undefined)
})
test("what admission and allocation set is nobody's", async () => {
  const { ask } = open()
  const claim = {
    metadata: { name: 'c' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  }
  const made = await ask('create', 'persistentvolumeclaims', { object: claim as never, fieldManager: 'm' })
  assert.equal(made.spec.storageClassName, 'local')
  assert.deepEqual(owned(made, 'm', 'Update'), [
    '.spec.accessModes',
    '.spec.resources.requests',
    '.spec.resources.requests.storage',
    '.spec.volumeMode',
  ])
  const service = await ask('create', 'services', {
    object: { metadata: { name: 's' }, spec: { ports: [{ port: 80 }] } } as never,
    fieldManager: 'm',
  })
  assert.ok(service.spec.clusterIP && !owned(service, 'm', 'Update').includes('.spec.clusterIP'))
})
test('refusals', async () => {
  const { apply, ask } = open()
  assert.deepEqual(await causesOf(ask('patch', apps, { name: 'd', patch: { type: 'apply', body: base() } })), [
    'fieldManager: Required value: is required for apply patch',
  ])
  assert.equal(
    (await failureOf(apply('one', { ...base(), metadata: { name: 'd', managedFields: [{ manager: 'x' }] } }))).message,
    'metadata.managedFields must be nil',
  )
  assert.match(
    (await failureOf(apply('one', { ...base(), spec: { ...base().spec, nonsense: 1 } }, { fieldValidation: 'Strict' })))
      .message,
    /unknown field "spec.nonsense"/,
  )
})
