import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EndpointSlice, Pod, Service, ServiceSpec } from '../../../spec/kube/generated/types.ts'
import { planSlices } from './slices.ts'

const service = (spec: ServiceSpec = {}): Service => ({
  metadata: { name: 'web', namespace: 'default', uid: 's' },
  spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }], ...spec },
})
const pod = (name: string, more: { ip?: string; ready?: boolean; phase?: string; hostname?: string } = {}): Pod => ({
  metadata: { name, namespace: 'default', uid: name },
  spec: { containers: [], nodeName: 'n', ...(more.hostname ? { hostname: more.hostname, subdomain: 'web' } : {}) },
  status: {
    phase: more.phase ?? 'Running',
    podIP: more.ip ?? `10.0.0.${name.slice(1)}`,
    conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }],
  },
})
const text = (of: Service, pods: Pod[], existing: EndpointSlice[] = []): string[] => {
  const { create, update, remove } = planSlices(of, pods, existing)
  const show = (slice: EndpointSlice): string =>
    `${(slice.endpoints ?? []).map((e) => `${e.targetRef?.name}${e.conditions?.ready ? '' : '!'}${e.hostname ? `=${e.hostname}` : ''}`).join(' ')} @${slice.ports?.map((p) => p.port).join() ?? ''}`
  return [
    ...create.map((s) => `create ${show(s)}`),
    ...update.map((s) => `update ${s.metadata.name} ${show(s)}`),
    ...remove.map((s) => `remove ${s.metadata.name}`),
  ]
}
const stored = (name: string, of: Service, pods: Pod[]): EndpointSlice => {
  const [slice] = planSlices(of, pods, []).create
  return { ...slice!, metadata: { ...slice!.metadata, name } }
}

test('one slice for all pods with an address; none yet: an empty one', () => {
  assert.deepEqual(text(service(), [pod('p1'), pod('p2', { ready: false }), pod('p3', { phase: 'Failed' })]), [
    'create p1 p2! @8080',
  ])
  assert.deepEqual(text(service(), []), ['create  @'])
  assert.deepEqual(text(service({ publishNotReadyAddresses: true }), [pod('p2', { ready: false })]), [
    'create p2 @8080',
  ])
})

test('nothing to do when nothing changed; changes are updates in place', () => {
  const slice = stored('s1', service(), [pod('p1'), pod('p2')])
  assert.deepEqual(text(service(), [pod('p2'), pod('p1')], [slice]), [])
  assert.deepEqual(text(service(), [pod('p1')], [slice]), ['update s1 p1 @8080'])
  assert.deepEqual(text(service(), [], [slice]), ['update s1  @'])
  assert.deepEqual(text(service({ ports: [{ port: 80, targetPort: 9090 }] }), [pod('p1')], [slice]), [
    'update s1 p1 @9090',
  ])
})

test('more than a hundred need a second slice; full ones are left alone', () => {
  const pods = Array.from({ length: 101 }, (_, i) => pod(`p${i + 1}`))
  assert.equal(text(service(), pods).length, 2)
  const slice = stored('s1', service(), pods.slice(0, 100))
  assert.deepEqual(text(service(), pods, [slice]), ['create p101 @8080'])
})

test('headless: hostnames, and no ports needed', () => {
  const headless = service({ clusterIP: 'None' })
  delete headless.spec!.ports
  assert.deepEqual(text(headless, [pod('p1', { hostname: 'db-0' })]), ['create p1=db-0 @'])
})

test('families have slices of their own', () => {
  const dual = service({ ipFamilies: ['IPv4', 'IPv6'] })
  const both = pod('p1')
  both.status!.podIPs = [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }]
  assert.deepEqual(
    planSlices(dual, [both], []).create.map((s) => [s.addressType, s.endpoints?.[0]?.addresses[0]]),
    [
      ['IPv4', '10.0.0.1'],
      ['IPv6', 'fd00::1'],
    ],
  )
})
