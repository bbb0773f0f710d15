import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Node, Pod, Taint, Toleration } from '../../../spec/kube/generated/types.ts'
import { budgetStatus } from './disruption.ts'
import { evictionAt, planTaints } from './nodes.ts'

const now = Date.parse('2026-01-01T00:00:00Z')

test('conditions and cordons become taints, those of others stay', () => {
  const node = (ready: string, more: Node['spec'] = {}): Node => ({
    metadata: { name: 'n' },
    spec: more,
    status: { conditions: [{ type: 'Ready', status: ready }] },
  })
  const text = (taints: Taint[]): string[] => taints.map(({ key, effect }) => `${key}:${effect}`)
  const mine: Taint = { key: 'gpu', effect: 'NoSchedule' }
  assert.deepEqual(text(planTaints(node('True', { taints: [mine] }), now)), ['gpu:NoSchedule'])
  assert.deepEqual(text(planTaints(node('Unknown', { taints: [mine] }), now)), [
    'gpu:NoSchedule',
    'node.kubernetes.io/unreachable:NoSchedule',
    'node.kubernetes.io/unreachable:NoExecute',
  ])
  assert.deepEqual(text(planTaints(node('True', { unschedulable: true }), now)), [
    'node.kubernetes.io/unschedulable:NoSchedule',
  ])
  const since: Taint = { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute', timeAdded: '2025-01-01T00:00:00Z' }
  assert.equal(planTaints(node('False', { taints: [since] }), now)[1]?.timeAdded, '2025-01-01T00:00:00Z')
})

test('a pod stays as long as it tolerates all of the taints', () => {
  const taint: Taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: '2026-01-01T00:00:00Z' }
  const pod = (...tolerations: Toleration[]): Pod => ({
    metadata: { name: 'p' },
    spec: { containers: [], tolerations },
  })
  assert.equal(evictionAt(pod(), [taint]), 0)
  assert.equal(evictionAt(pod({ operator: 'Exists' }), [taint]), Number.POSITIVE_INFINITY)
  const some = { key: taint.key, operator: 'Exists', tolerationSeconds: 300 }
  assert.equal(evictionAt(pod(some), [taint]), now + 300_000)
  assert.equal(evictionAt(pod(some), [taint, { key: 'x', effect: 'NoExecute' }]), 0)
})

test('budgets', () => {
  const pod = (name: string, ready: boolean): Pod => ({
    metadata: { name },
    status: { conditions: [{ type: 'Ready', status: String(ready).replace(/^./, (c) => c.toUpperCase()) }] },
  })
  const pods = [pod('a', true), pod('b', true), pod('c', false)]
  const allowed = (spec: object, expected = 3, disruptedPods?: Record<string, string>): number | undefined =>
    budgetStatus(
      {
        metadata: {},
        spec,
        status: { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0, disruptedPods },
      },
      pods,
      expected,
      now,
    ).disruptionsAllowed
  assert.equal(allowed({ minAvailable: 1 }), 1)
  assert.equal(allowed({ maxUnavailable: 1 }), 0)
  assert.equal(allowed({ minAvailable: '50%' }), 0)
  assert.equal(allowed({ maxUnavailable: '50%' }, 4), 0)
  assert.equal(allowed({ minAvailable: 1 }, 3, { a: '2026-01-01T00:00:00Z' }), 0)
  assert.equal(allowed({ minAvailable: 1 }, 3, { a: '2025-12-31T23:50:00Z' }), 1)
})
