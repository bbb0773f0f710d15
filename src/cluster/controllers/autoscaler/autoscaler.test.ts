import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { PodUsage } from '../../../spec/kube/client.ts'
import type { HorizontalPodAutoscaler, Pod } from '../../../spec/kube/generated/types.ts'
import { follow, noPast, remember } from './behavior.ts'
import { proposeReplicas, type UsageInput } from './usage.ts'

const now = Date.parse('2026-01-01T12:00:00Z')
const pod = (
  name: string,
  more: { ready?: boolean; phase?: string; startedAgo?: number; readyAgo?: number } = {},
): Pod => {
  const { ready = true, phase = 'Running', startedAgo = 3600, readyAgo = startedAgo } = more
  const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString()
  return {
    metadata: { name, namespace: 'default' },
    spec: { containers: [{ name: 'app', resources: { requests: { cpu: '100m', memory: '100Mi' } } }] },
    status: {
      phase,
      startTime: ago(startedAgo),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: ago(readyAgo) }],
    },
  }
}
const usage = (name: string, milli: number): PodUsage => ({
  namespace: 'default',
  name,
  labels: {},
  time: now,
  window: 15_000,
  containers: [{ name: 'app', cpuNanocores: milli * 1e6, memoryBytes: 0 }],
})
const propose = (pods: Pod[], milli: Record<string, number>, more: Partial<UsageInput> = {}): number =>
  proposeReplicas({
    current: pods.length,
    pods,
    usage: Object.entries(milli).map(([name, value]) => usage(name, value)),
    resource: 'cpu',
    target: { utilization: 50 },
    tolerance: { up: 0.1, down: 0.1 },
    now,
    ...more,
  }).replicas

describe('usage', () => {
  const three = [pod('a'), pod('b'), pod('c')]
  test('replicas follow the ratio of usage to target, within the tolerance', () => {
    assert.equal(propose(three, { a: 100, b: 100, c: 100 }), 6)
    assert.equal(propose(three, { a: 54, b: 54, c: 54 }), 3)
    assert.equal(propose(three, { a: 10, b: 10, c: 10 }), 1)
    assert.equal(propose(three, { a: 300, b: 0, c: 0 }, { target: { averageMilli: 50 } }), 6)
  })

  test('pods without metrics count as idle when growing and as at their requests when shrinking', () => {
    assert.equal(propose(three, { a: 100, b: 100 }), 4)
    assert.equal(propose(three, { a: 10, b: 10 }), 3)
    assert.equal(propose([...three, pod('d')], { a: 1, b: 1, c: 1 }), 2)
  })

  test('a pod that has just started does not count with its CPU', () => {
    const young = pod('c', { startedAgo: 20, readyAgo: 5 })
    assert.equal(propose([pod('a'), pod('b'), young], { a: 100, b: 100, c: 1000 }), 4)
    const pending = pod('c', { phase: 'Pending' })
    assert.equal(propose([pod('a'), pod('b'), pending], { a: 40, b: 40 }), 2)
  })

  test('says what is missing', () => {
    assert.throws(() => propose(three, {}), /did not receive metrics for targeted pods \(pods might be unready\)/)
    const bare: Pod = { ...pod('a'), spec: { containers: [{ name: 'app' }] } }
    assert.throws(() => propose([bare], { a: 1 }), /missing request for cpu in container app of Pod a/)
    assert.throws(() => propose([], {}), /no pods returned by selector/)
  })
})

describe('behaviour', () => {
  const hpa = (behavior?: NonNullable<HorizontalPodAutoscaler['spec']>['behavior']): HorizontalPodAutoscaler => ({
    metadata: { name: 'h' },
    spec: { minReplicas: 1, maxReplicas: 100, scaleTargetRef: { kind: 'Deployment', name: 'd' }, behavior },
  })

  test('grows by the larger of 4 and 100 % in 15 s, up to the maximum', () => {
    const outcome = follow(hpa(), 2, 50, noPast(), now)
    assert.deepEqual([outcome.replicas, outcome.limited.reason], [6, 'ScaleUpLimit'])
    assert.deepEqual(follow(hpa(), 60, 110, noPast(), now).limited.reason, 'TooManyReplicas')
    const past = noPast()
    remember(past, 10, 20, now - 5000)
    assert.equal(follow(hpa(), 20, 50, past, now).replicas, 20)
  })

  test('shrinks only to the highest wish of the last 300 s', () => {
    const past = noPast()
    follow(hpa(), 10, 8, past, now - 200_000)
    assert.deepEqual(
      [follow(hpa(), 10, 2, past, now).replicas, follow(hpa(), 10, 2, past, now).able.reason],
      [8, 'ScaleDownStabilized'],
    )
    assert.equal(follow(hpa(), 10, 2, past, now + 101_000).replicas, 2)
  })

  test('policies and Disabled', () => {
    const scaleDown = { stabilizationWindowSeconds: 0, policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] }
    assert.deepEqual([follow(hpa({ scaleDown }), 10, 2, noPast(), now).replicas], [9])
    assert.equal(
      follow(hpa({ scaleDown: { ...scaleDown, selectPolicy: 'Disabled' } }), 10, 2, noPast(), now).replicas,
      10,
    )
    assert.equal(follow(hpa({ scaleDown: { stabilizationWindowSeconds: 0 } }), 10, 0, noPast(), now).replicas, 1)
  })
})
