import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pod, StatefulSet, StatefulSetSpec } from '../../../spec/kube/generated/types.ts'
import { claimOwners, memberPod } from './identity.ts'
import { planMembers, setStatus, stepText } from './plan.ts'

const set = (replicas: number, more: Partial<StatefulSetSpec> = {}): StatefulSet => ({
  metadata: { name: 'db', namespace: 'default', uid: 'set', generation: 1 },
  spec: {
    replicas,
    serviceName: 'db',
    selector: { matchLabels: { app: 'db' } },
    template: { metadata: { labels: { app: 'db' } }, spec: { containers: [] } },
    ...more,
  },
})
const member = (ordinal: number, state = 'ready', revision = 'r1'): Pod => {
  const pod = memberPod(set(1), { metadata: { labels: { app: 'db' } }, spec: { containers: [] } }, revision, ordinal)
  const phase = state === 'failed' ? 'Failed' : state === 'pending' ? 'Pending' : 'Running'
  if (state === 'going') pod.metadata.deletionTimestamp = 'now'
  return { ...pod, status: { phase, conditions: [{ type: 'Ready', status: state === 'ready' ? 'True' : 'False' }] } }
}
const plan = (of: StatefulSet, pods: Pod[], update = 'r1'): string[] =>
  planMembers(of, pods, { current: 'r1', update }, 0).map(stepText)

test('in order: the next member only after the one before is ready', () => {
  assert.deepEqual(plan(set(3), []), ['create 0 as r1'])
  assert.deepEqual(plan(set(3), [member(0, 'pending')]), [])
  assert.deepEqual(plan(set(3), [member(0)]), ['create 1 as r1'])
  assert.deepEqual(plan(set(3), [member(0), member(2)]), ['create 1 as r1'])
  assert.deepEqual(plan(set(3), [member(0, 'failed'), member(1)]), ['delete db-0 (finished)'])
})

test('in parallel: all at once, in both directions', () => {
  const podManagementPolicy = 'Parallel'
  assert.deepEqual(plan(set(3, { podManagementPolicy }), [member(1, 'pending')]), ['create 0 as r1', 'create 2 as r1'])
  assert.deepEqual(plan(set(0, { podManagementPolicy }), [member(0), member(1)]), [
    'delete db-1 (scale)',
    'delete db-0 (scale)',
  ])
})

test('down from the highest, one at a time', () => {
  assert.deepEqual(plan(set(1), [member(0), member(1), member(2)]), ['delete db-2 (scale)'])
  assert.deepEqual(plan(set(1), [member(0), member(1), member(2, 'going')]), [])
})

test('an update starts at the top, waits for health, and stops at the partition', () => {
  const old = [member(0), member(1), member(2)]
  assert.deepEqual(plan(set(3), old, 'r2'), ['delete db-2 (update)'])
  assert.deepEqual(plan(set(3), [member(0), member(1)], 'r2'), ['create 2 as r2'])
  assert.deepEqual(plan(set(3), [member(0), member(1), member(2, 'pending', 'r2')], 'r2'), [])
  assert.deepEqual(plan(set(3), [member(0), member(1), member(2, 'ready', 'r2')], 'r2'), ['delete db-1 (update)'])
  const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 2 } }
  assert.deepEqual(plan(set(3, { updateStrategy }), [member(0), member(1), member(2, 'ready', 'r2')], 'r2'), [])
  assert.deepEqual(plan(set(3, { updateStrategy }), [member(0), member(2, 'ready', 'r2')], 'r2'), ['create 1 as r1'])
  assert.deepEqual(plan(set(3, { updateStrategy: { type: 'OnDelete' } }), old, 'r2'), [])
})

test('ordinals may start elsewhere', () => {
  assert.deepEqual(plan(set(2, { ordinals: { start: 5 } }), [member(5)]), ['create 6 as r1'])
  assert.deepEqual(plan(set(1, { ordinals: { start: 5 } }), [member(5), member(4)]), ['delete db-4 (scale)'])
})

test('the current revision becomes the new one when all are updated', () => {
  const pods = [member(0, 'ready', 'r2'), member(1, 'ready', 'r2')]
  const revisions = { current: 'r1', update: 'r2' }
  assert.equal(setStatus(set(2), pods, revisions, 0).currentRevision, 'r2')
  assert.equal(setStatus(set(3), pods, revisions, 0).currentRevision, 'r1')
})

test('the retention policy decides who owns a claim', () => {
  const owners = (whenDeleted: string, whenScaled: string, leaving: boolean): string[] =>
    claimOwners(
      set(1, { persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled } }),
      { metadata: { name: 'db-0', uid: 'p' } },
      leaving,
    ).map(({ kind }) => kind)
  assert.deepEqual(owners('Retain', 'Retain', true), [])
  assert.deepEqual(owners('Delete', 'Retain', true), ['StatefulSet'])
  assert.deepEqual(owners('Retain', 'Delete', false), [])
  assert.deepEqual(owners('Retain', 'Delete', true), ['Pod'])
  assert.deepEqual(owners('Delete', 'Delete', true), ['Pod'])
})
