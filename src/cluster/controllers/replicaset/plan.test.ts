import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pod, ReplicaSet } from '../../../spec/kube/generated/types.ts'
import { slowStart } from '../objects/batch.ts'
import { planReplicas, replicaSetStatus } from './plan.ts'

const now = Date.parse('2026-01-01T12:00:00Z')
const set = (replicas: number): ReplicaSet => ({
  metadata: { name: 'rs', uid: 'rs' },
  spec: { replicas, selector: {}, template: { metadata: { labels: { app: 'a' } }, spec: { containers: [] } } },
})
interface Shape {
  node?: string
  phase?: string
  ready?: boolean
  cost?: number
  age?: number
  restarts?: number
  going?: boolean
}
const pod = (
  name: string,
  { node = 'n1', phase = 'Running', ready = true, cost, age = 3600, restarts = 0, going }: Shape = {},
): Pod => {
  const at = new Date(now - age * 1000).toISOString()
  return {
    metadata: {
      name,
      uid: name,
      labels: { app: 'a' },
      creationTimestamp: at,
      ...(cost === undefined ? {} : { annotations: { 'controller.kubernetes.io/pod-deletion-cost': String(cost) } }),
      ...(going ? { deletionTimestamp: at } : {}),
    },
    spec: { containers: [], ...(node ? { nodeName: node } : {}) },
    status: {
      phase,
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: at }],
      containerStatuses: [{ name: 'a', image: '', imageID: '', ready, restartCount: restarts }],
    },
  }
}
const removed = (replicas: number, ...pods: Pod[]): string[] =>
  planReplicas(set(replicas), pods, pods, now).remove.map(({ metadata }) => metadata.name!)

test('finished and leaving pods are no replicas', () => {
  const pods = [pod('a'), pod('b', { phase: 'Failed' }), pod('c', { going: true })]
  assert.deepEqual(planReplicas(set(3), pods, pods, now), { create: 2, remove: [] })
})

test('the least useful go first', () => {
  assert.deepEqual(removed(1, pod('a'), pod('b', { node: '' })), ['b'])
  assert.deepEqual(removed(1, pod('a', { phase: 'Pending', ready: false }), pod('b')), ['a'])
  assert.deepEqual(removed(1, pod('a'), pod('b', { ready: false })), ['b'])
  assert.deepEqual(removed(1, pod('a', { cost: 1 }), pod('b')), ['b'])
  assert.notEqual(removed(2, pod('a', { node: 'n1' }), pod('b', { node: 'n2' }), pod('c', { node: 'n2' }))[0], 'a')
  assert.deepEqual(removed(1, pod('a', { age: 60 }), pod('b', { age: 86_400 })), ['a'])
  assert.deepEqual(removed(1, pod('a'), pod('b', { restarts: 3 })), ['b'])
})

test('status counts ready and available apart', () => {
  const of = { ...set(2), spec: { ...set(2).spec!, minReadySeconds: 30 } }
  const status = replicaSetStatus(of, [pod('a'), pod('b', { age: 10 }), pod('c', { ready: false })], now)
  assert.deepEqual(
    [status.replicas, status.readyReplicas, status.availableReplicas, status.fullyLabeledReplicas],
    [3, 2, 1, 3],
  )
  const failed = replicaSetStatus(of, [], now, { reason: 'FailedCreate', message: 'quota' })
  assert.deepEqual(
    failed.conditions?.map(({ type, reason }) => [type, reason]),
    [['ReplicaFailure', 'FailedCreate']],
  )
})

test('slow start stops after the first batch that fails', async () => {
  const tried: number[] = []
  const result = await slowStart(20, async (i) => {
    tried.push(i)
    if (i >= 3) throw new Error('quota')
  })
  assert.equal(result.succeeded, 3)
  assert.equal(tried.length, 7)
  assert.equal((await slowStart(0, async () => {})).succeeded, 0)
})
