import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../lib/clock.ts'
import { openDatabase } from '../../lib/database.ts'
import { silentLog } from '../../lib/log.ts'
import { cluster } from './fixture.ts'
import type { Draft } from './resource.ts'
import { Server } from './server.ts'

test('every document is complete: each reference has its schema, and PATCH takes fieldValidation', () => {
  const openapi = cluster().api.openapi()
  const paths = openapi.paths()
  assert.ok(paths.some((p) => p.path === 'api/v1') && paths.some((p) => p.path === 'apis/apps/v1'))
  for (const { path, hash } of paths) {
    assert.match(hash, /^[0-9A-F]{128}$/)
    const document = openapi.document(path) as Draft
    const text = JSON.stringify(document)
    assert.ok(!text.includes('#/definitions/'))
    for (const [, name] of text.matchAll(/#\/components\/schemas\/([^"]+)"/g))
      if (!path.includes('metrics.k8s.io')) assert.ok(document.components.schemas[name!], `${path}: ${name}`)
  }
  const apps = openapi.document('apis/apps/v1') as Draft
  const { patch } = apps.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}']
  assert.deepEqual(patch['x-kubernetes-group-version-kind'], { group: 'apps', version: 'v1', kind: 'Deployment' })
  assert.ok(patch.parameters.some((p: Draft) => p.name === 'fieldValidation' && p.in === 'query'))
  assert.equal(openapi.document('apis/none/v1'), undefined)
})

test('a cluster begins with what every cluster has, and opening it again changes nothing', async () => {
  const db = openDatabase(':memory:')
  const options = {
    serviceCidr: '10.96.0.0/16',
    clusterDnsAddress: '10.96.0.10',
    nodeName: 'n',
    ca: 'PEM',
    apiAddress: '192.0.2.1',
    apiPort: 6443,
  }
  const open = () => new Server({ db, clock: systemClock, log: silentLog, options })
  const first = open()
  const { store } = first.context
  assert.deepEqual(
    store.list('namespaces', '').map((n) => n.metadata.name),
    ['default', 'kube-node-lease', 'kube-public', 'kube-system'],
  )
  assert.equal((store.get('services', 'default', 'kubernetes') as Draft).spec.clusterIP, '10.96.0.1')
  const slice = store.get('endpointslices.discovery.k8s.io', 'default', 'kubernetes') as Draft
  assert.deepEqual([slice.endpoints[0].addresses, slice.ports[0].port], [['192.0.2.1'], 6443])
  assert.equal(
    (store.get('storageclasses.storage.k8s.io', '', 'local') as Draft).volumeBindingMode,
    'WaitForFirstConsumer',
  )
  assert.ok(store.get('priorityclasses.scheduling.k8s.io', '', 'system-node-critical'))
  assert.ok(store.get('clusterroles.rbac.authorization.k8s.io', '', 'cluster-admin'))
  assert.ok(store.get('configmaps', 'kube-system', 'kube-root-ca.crt'))
  const { revision } = store
  assert.equal(open().context.store.revision, revision)
  await first.close()
})
