import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { Pod } from '../../../spec/kube/generated/types.ts'
import type { KubeObject } from '../../../spec/kube/kinds.ts'
import { kindOf, leftovers, unreferenced } from './apply.ts'
import { isStuck } from './diagnose.ts'
import { pinnedName } from './images.ts'
import { hashedLabel } from './labels.ts'
import { judge } from './rollout.ts'
import { isStopped, stoppedCount } from './stop.ts'
import { dependentsFirst, pickServices } from './workloads.ts'

const apiVersions: Record<string, string> = {
  Deployment: 'apps/v1',
  Service: 'v1',
  ConfigMap: 'v1',
  PersistentVolumeClaim: 'v1',
}
const object = (kind: string, name: string, more: Partial<KubeObject['metadata']> = {}): KubeObject => ({
  apiVersion: apiVersions[kind] ?? 'v1',
  kind,
  metadata: { name, namespace: 'shop', ...more },
})
const there = (o: KubeObject) => ({ kind: kindOf(o), object: o })

test('left over is what was applied before and is wanted no more, but never data nor what others own', () => {
  const old = [
    object('Deployment', 'web'),
    object('Deployment', 'gone'),
    object('PersistentVolumeClaim', 'data'),
    object('Service', 'owned', { ownerReferences: [{ apiVersion: 'v1', kind: 'X', name: 'x', uid: 'u' }] }),
  ]
  const left = leftovers(old.map(there), [object('Deployment', 'web')])
  assert.deepEqual(
    left.map((l) => l.object.metadata.name),
    ['gone'],
  )
})

test('hashed configuration stays as long as a revision names it', () => {
  const hashed = ['env-1', 'env-10', 'env-2'].map((name) =>
    there(object('ConfigMap', name, { labels: { [hashedLabel]: 'x' } })),
  )
  const plain = there(object('ConfigMap', 'plain'))
  const templates = [{ envFrom: [{ configMapRef: { name: 'env-10' } }] }]
  assert.deepEqual(
    unreferenced([...hashed, plain], templates).map((u) => u.object.metadata.name),
    ['env-1', 'env-2'],
  )
})

test('pinned names carry the content', () => {
  const id = `sha256:${'ab'.repeat(32)}`
  assert.equal(pinnedName('shop-web', id), 'shop-web:abababababab')
  assert.equal(pinnedName('localhost:5000/a/b:v1', id), 'localhost:5000/a/b:abababababab')
  assert.equal(pinnedName('a/b@sha256:00', id), 'a/b:abababababab')
})

test('services by name: the nearest, those there are, one of the file that does not run', () => {
  const all = [{ service: 'web' }, { service: 'db' }]
  assert.deepEqual(pickServices(all, ['db']), [{ service: 'db' }])
  assert.throws(() => pickServices(all, ['wbe']), { message: 'no such service: wbe', hint: 'Did you mean web?' })
  assert.throws(() => pickServices(all, ['xyzzy']), { hint: 'There are: db, web.' })
  assert.throws(() => pickServices(all, ['job'], ['job', 'web']), {
    code: 'conflict',
    message: 'service "job" is not running',
  })
  assert.throws(() => pickServices([], ['x']), { hint: 'The project is not running: slipway up' })
})

test('dependents go first', async () => {
  const order: string[] = []
  const all = ['db', 'web', 'proxy', 'alone'].map((service) => ({ service }))
  await dependentsFirst(all, { web: ['db'], proxy: ['web'] }, async ({ service }) => {
    await new Promise((go) => setTimeout(go, 5))
    order.push(service)
  })
  assert.equal(order.length, 4)
  assert.ok(order.indexOf('proxy') < order.indexOf('web') && order.indexOf('web') < order.indexOf('db'))
})

const pod = (reason: string, restartCount = 0): Pod =>
  ({
    metadata: { name: 'p' },
    status: { containerStatuses: [{ name: 'c', restartCount, state: { waiting: { reason } } }] },
  }) as unknown as Pod

test('a pod is stuck when waiting longer will not help', () => {
  assert.equal(isStuck(pod('ContainerCreating')), false)
  assert.equal(isStuck(pod('ImagePullBackOff')), true)
  assert.equal(isStuck(pod('CrashLoopBackOff', 1)), false)
  assert.equal(isStuck(pod('CrashLoopBackOff', 2)), true)
})

test('a Deployment is rolled out when all its pods are new and available', () => {
  const deployment = (status: object, generation = 2) =>
    ({
      metadata: { name: 'd', generation },
      spec: { replicas: 2 },
      status: { observedGeneration: 2, ...status },
    }) as never
  assert.equal(judge('Deployment', deployment({}, 3), 'ready').text, 'Waiting')
  const old = { replicas: 3, updatedReplicas: 2, availableReplicas: 3 }
  assert.equal(judge('Deployment', deployment(old), 'ready').done, false)
  assert.deepEqual(
    judge('Deployment', deployment({ replicas: 2, updatedReplicas: 2, availableReplicas: 2 }), 'ready'),
    {
      done: true,
      text: '2/2 ready',
    },
  )
  const late = {
    conditions: [{ type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', message: 'late' }],
  }
  assert.equal(judge('Deployment', deployment(late), 'ready').failed, 'late')
})

test('a Job: started, completed, failed', () => {
  const job = (status: object) => ({ metadata: { name: 'j' }, status }) as never
  assert.equal(judge('Job', job({ active: 1 }), 'started').done, true)
  assert.equal(judge('Job', job({ active: 1 }), 'completed').done, false)
  assert.equal(judge('Job', job({ conditions: [{ type: 'Complete', status: 'True' }] }), 'completed').done, true)
  assert.equal(
    judge('Job', job({ conditions: [{ type: 'Failed', status: 'True', message: 'why' }] }), 'started').failed,
    'why',
  )
})

test('stopped, and how many come back', () => {
  const deployment = (replicas: number, annotations = {}) =>
    ({ kind: 'Deployment', object: { metadata: { annotations }, spec: { replicas } } }) as never
  assert.equal(isStopped(deployment(2)), false)
  assert.equal(stoppedCount(deployment(0, { 'slipway.dev/stopped-replicas': '3' })), 3)
  assert.equal(isStopped({ kind: 'Job', object: { spec: { suspend: true } } } as never), true)
})

test('log lines stay whole, have their prefix and end with the source', async () => {
  const { Printer } = await import('./log-printer.ts')
  const out = new PassThrough()
  const printer = new Printer(out, { prefix: true, color: false, timestamps: false, until: undefined })
  const web = printer.source('web-1')
  const db = printer.source('database-1')
  web.write(Buffer.from('one\ntw'))
  db.write(Buffer.from('up\n'))
  web.write(Buffer.concat([Buffer.from('o '), Buffer.from('é').subarray(0, 1)]))
  web.write(Buffer.from('é').subarray(1))
  web.end()
  assert.equal(String(out.read()), 'web-1       | one\ndatabase-1  | up\nweb-1       | two é\n')
})
