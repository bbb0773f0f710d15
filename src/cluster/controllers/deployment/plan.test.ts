import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Deployment, DeploymentSpec, ReplicaSet } from '../../../spec/kube/generated/types.ts'
import { planDeployment, planText } from './plan.ts'
import { bounds, desiredKey, maxKey, newReplicaSet, revisionKey } from './revisions.ts'

const deployment = (replicas: number, spec: Partial<DeploymentSpec> = {}, image = 'web:2'): Deployment => ({
  metadata: { name: 'web', namespace: 'default', uid: 'd', generation: 1, annotations: { [revisionKey]: '2' } },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image }] } },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
    ...spec,
  },
})
/** A ReplicaSet of revision `revision` (image web:N) of `of`. */
const set = (of: Deployment, revision: number, replicas: number, available = replicas, max?: number): ReplicaSet => {
  const template = { ...of.spec!.template, spec: { containers: [{ name: 'web', image: `web:${revision}` }] } }
  const made = newReplicaSet({ ...of, spec: { ...of.spec!, template } }, replicas, revision)
  const annotations = { ...made.metadata.annotations, ...(max ? { [maxKey]: String(max) } : {}) }
  return {
    ...made,
    metadata: {
      ...made.metadata,
      annotations,
      name: `web-${revision}`,
      uid: `rs${revision}`,
      creationTimestamp: `2026-01-0${revision}T00:00:00Z`,
    },
    status: { replicas, availableReplicas: available, observedGeneration: 1 },
  }
}
const plan = (of: Deployment, ...sets: ReplicaSet[]): string[] => planText(planDeployment(of, sets, new Map()))

describe('rolling update', () => {
  test('the first ReplicaSet has all replicas at once', () => {
    assert.deepEqual(plan(deployment(3)), ['create 3 as revision 1'])
  })

  test('surge rounds up, unavailable rounds down, and never are both zero', () => {
    assert.deepEqual(bounds(deployment(3)), { surge: 1, unavailable: 0 })
    assert.deepEqual(bounds(deployment(10)), { surge: 3, unavailable: 2 })
    const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: '10%' } }
    assert.deepEqual(bounds(deployment(3, { strategy })), { surge: 0, unavailable: 1 })
  })

  test('a new revision starts with the surge, and grows as the old one shrinks', () => {
    const d = deployment(4)
    assert.deepEqual(plan(d, set(d, 1, 4)), ['create 1 as revision 2'])
    assert.deepEqual(plan(d, set(d, 1, 4), set(d, 2, 1, 0)), ['scale web-1 4 -> 3'])
    assert.deepEqual(plan(d, set(d, 1, 3), set(d, 2, 1, 0)), ['scale web-2 1 -> 2'])
    assert.deepEqual(plan(d, set(d, 1, 3), set(d, 2, 2, 0)), [])
    assert.deepEqual(plan(d, set(d, 1, 3), set(d, 2, 2, 2)), ['scale web-1 3 -> 1'])
    assert.deepEqual(plan(d, set(d, 1, 0), set(d, 2, 4, 4)), [])
  })

  test('old replicas that are not available go first', () => {
    const d = deployment(4)
    assert.deepEqual(plan(d, set(d, 1, 4, 1), set(d, 2, 1, 0)), ['scale web-1 4 -> 3'])
    assert.deepEqual(plan(deployment(10), set(deployment(10), 1, 10, 5), set(deployment(10), 2, 3, 0)), [
      'scale web-1 10 -> 8',
    ])
  })

  test('a rollover spreads the room over all that is there', () => {
    const d = deployment(4, {}, 'web:3')
    assert.deepEqual(plan(d, set(d, 1, 3), set(d, 2, 2, 0)), ['create 0 as revision 3'])
    d.metadata.annotations![revisionKey] = '3'
    assert.deepEqual(plan(d, set(d, 1, 3), set(d, 2, 2, 0), set(d, 3, 0)), ['scale web-2 2 -> 0'])
  })

  test('a revision that comes back gets the highest number and keeps its history', () => {
    const d = deployment(2, {}, 'web:1')
    const text = plan(d, set(d, 1, 0), set(d, 2, 2))
    assert.equal(
      text[0],
      `annotate web-1 {"${desiredKey}":"2","${maxKey}":"3","${revisionKey}":"3","deployment.kubernetes.io/revision-history":"1"}`,
    )
    assert.equal(text[1], 'revision 3')
  })
})

describe('scaling', () => {
  test('in the middle of a rollout it is shared in proportion', () => {
    const d = deployment(20, { strategy: { rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } })
    const small = deployment(10, { strategy: { rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } })
    const sets = [set(small, 1, 8, 8, 13), set(small, 2, 5, 0, 13)]
    assert.deepEqual(plan(d, ...sets), ['scale web-1 8 -> 14', 'scale web-2 5 -> 9'])
  })

  test('a paused Deployment scales, but does not roll', () => {
    const d = deployment(5, { paused: true }, 'web:3')
    assert.deepEqual(plan(d, set(deployment(2), 2, 2)), ['scale web-2 2 -> 5'])
    assert.deepEqual(plan(deployment(2, { paused: true }, 'web:3'), set(deployment(2), 2, 2)), [])
  })

  test('to zero', () => {
    assert.deepEqual(plan(deployment(0), set(deployment(3), 2, 3)), ['scale web-2 3 -> 0'])
  })
})

test('Recreate makes nothing new before the last old pod is gone', () => {
  const d = deployment(2, { strategy: { type: 'Recreate' } })
  assert.deepEqual(plan(d, set(d, 1, 2)), ['scale web-1 2 -> 0'])
  const pods = new Map([['rs1', [{ metadata: { name: 'p', deletionTimestamp: 'x' }, status: { phase: 'Running' } }]]])
  assert.deepEqual(planText(planDeployment(d, [set(d, 1, 0)], pods)), [])
  assert.deepEqual(plan(d, set(d, 1, 0)), ['create 2 as revision 2'])
})

test('history beyond its limit goes, oldest first, once the rollout is complete', () => {
  const d = deployment(1, { revisionHistoryLimit: 1 }, 'web:4')
  d.metadata.annotations![revisionKey] = '4'
  d.status = { observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1 }
  const sets = [set(d, 1, 0), set(d, 2, 0), set(d, 3, 0), set(d, 4, 1)]
  assert.deepEqual(plan(d, ...sets), ['delete web-1', 'delete web-2'])
})
