import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Container, PodSpec } from './generated/types.ts'
import { podLimits, podRequests } from './pod-requests.ts'

const container = (cpu: string, memory = '0', more: Partial<Container> = {}): Container => ({
  name: 'c',
  resources: { requests: { cpu, memory } },
  ...more,
})
const spec = (containers: Container[], initContainers: Container[] = [], more: Partial<PodSpec> = {}): PodSpec => ({
  containers,
  initContainers,
  ...more,
})

test('containers add up; an init container counts when it needs more than all of them', () => {
  assert.deepEqual(podRequests(spec([container('100m', '1Mi'), container('0.2')])), { cpu: 300, memory: 2 ** 20 })
  assert.equal(podRequests(spec([container('100m')], [container('500m'), container('50m')])).cpu, 500)
})

test('sidecars run beside the containers and beside the init containers after them', () => {
  const sidecar = container('100m', '0', { restartPolicy: 'Always' })
  assert.equal(podRequests(spec([container('100m')], [sidecar, container('150m')])).cpu, 250)
  assert.equal(podRequests(spec([container('100m')], [container('150m'), sidecar])).cpu, 200)
})

test('overhead is added, to limits only where there is one; pod-level numbers win', () => {
  const overhead = { cpu: '10m', memory: '1Ki' }
  assert.deepEqual(podRequests(spec([container('100m', '1Ki')], [], { overhead })), { cpu: 110, memory: 2048 })
  const limited: Container = { name: 'c', resources: { limits: { cpu: '1' } } }
  assert.deepEqual(podLimits(spec([limited], [], { overhead })), { cpu: 1010 })
  assert.equal(podRequests(spec([container('100m')], [], { resources: { requests: { cpu: '2' } } })).cpu, 2000)
})
