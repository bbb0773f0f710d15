import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { decodeProtobuf } from './protobuf.ts'

const varint = (value: number): Buffer => {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0))
    rest >>= 7n
  } while (rest > 0n)
  return Buffer.from(bytes)
}
const int = (field: number, value: number): Buffer => Buffer.concat([varint(field << 3), varint(value)])
const bytes = (field: number, ...parts: (Buffer | string)[]): Buffer => {
  const content = Buffer.concat(parts.map((p) => Buffer.from(p)))
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content])
}
const envelope = (apiVersion: string, kind: string, ...raw: Buffer[]): Buffer =>
  Buffer.concat([
    Buffer.from('k8s\0'),
    bytes(1, bytes(1, apiVersion), bytes(2, kind)),
    bytes(2, ...raw),
    bytes(3, ''),
    bytes(4, ''),
  ])
const decode = (apiVersion: string, kind: string, ...raw: Buffer[]): Record<string, unknown> =>
  decodeProtobuf(envelope(apiVersion, kind, ...raw))

test('a ConfigMap: maps of text and bytes; what is empty is not there', () => {
  const empty = [3, 4, 5, 6].map((n) => bytes(n, ''))
  const meta = bytes(
    1,
    bytes(1, 'cm'),
    bytes(2, ''),
    ...empty,
    int(7, 0),
    bytes(8),
    bytes(11, bytes(1, 'app'), bytes(2, 'web')),
  )
  const data = bytes(2, bytes(1, 'a'), bytes(2, 'b'))
  const binary = bytes(3, bytes(1, 'raw'), bytes(2, Buffer.from([0, 255])))
  assert.deepEqual(decode('v1', 'ConfigMap', meta, data, binary, bytes(2, bytes(1, 'none'), bytes(2, ''))), {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'cm', labels: { app: 'web' } },
    data: { a: 'b', none: '' },
    binaryData: { raw: 'AP8=' },
  })
})

test('pointers keep their zero, others do not; embedded structs lie flat', () => {
  const port = bytes(6, bytes(1, ''), int(2, 0), int(3, 80), bytes(4, 'TCP'))
  const probe = bytes(
    10,
    bytes(1, bytes(2, bytes(1, '/'), bytes(2, int(1, 1), int(2, 0), bytes(3, 'http')))),
    int(2, 0),
    int(7, 5),
  )
  const env = bytes(7, bytes(1, 'E'), bytes(2, ''), bytes(3, bytes(3, bytes(1, bytes(1, 'cm')), bytes(2, 'key'))))
  const limits = bytes(8, bytes(1, bytes(1, 'memory'), bytes(2, bytes(1, '1Gi'))))
  const container = bytes(2, bytes(1, 'c'), bytes(2, 'img'), port, probe, env, limits, int(16, 0))
  const volume = bytes(1, bytes(1, 'v'), bytes(2, bytes(2, bytes(1, ''))))
  const template = bytes(3, bytes(1, bytes(8)), bytes(2, volume, container))
  const spec = bytes(2, int(1, 0), template, bytes(4, bytes(1, '')), int(5, 0), int(7, 0))
  assert.deepEqual(decode('apps/v1', 'Deployment', bytes(1, bytes(1, 'd')), spec, bytes(3, int(1, 0))), {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    spec: {
      replicas: 0,
      template: {
        spec: {
          volumes: [{ name: 'v', emptyDir: {} }],
          containers: [
            {
              name: 'c',
              image: 'img',
              ports: [{ containerPort: 80, protocol: 'TCP' }],
              livenessProbe: { httpGet: { path: '/', port: 'http' }, terminationGracePeriodSeconds: 5 },
              env: [{ name: 'E', valueFrom: { configMapKeyRef: { name: 'cm', key: 'key' } } }],
              resources: { limits: { memory: '1Gi' } },
            },
          ],
        },
      },
    },
  })
})

test('times, negative and large numbers, int-or-string', () => {
  const time = bytes(8, int(1, 1_700_000_000), int(2, 0))
  const owner = bytes(13, bytes(5, 'v1'), bytes(1, 'Pod'), bytes(3, 'p'), bytes(4, 'u'), int(6, 0))
  const lease = bytes(2, bytes(4, int(1, 1_700_000_000), int(2, 123_456_789)), int(2, 15))
  const decoded = decode('coordination.k8s.io/v1', 'Lease', bytes(1, bytes(1, 'l'), time, owner, int(10, -3)), lease)
  assert.deepEqual(decoded.metadata, {
    name: 'l',
    creationTimestamp: '2023-11-14T22:13:20Z',
    ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: false }],
    deletionGracePeriodSeconds: -3,
  })
  assert.deepEqual(decoded.spec, { leaseDurationSeconds: 15, renewTime: '2023-11-14T22:13:20.123456Z' })
  const big = decode('v1', 'Namespace', bytes(1, int(7, 2 ** 45 + 1)))
  assert.equal((big.metadata as { generation: number }).generation, 2 ** 45 + 1)
})

test('maps of lists, raw JSON, and options posted with any group', () => {
  const extra = bytes(5, bytes(1, 'scopes'), bytes(2, bytes(1, 'a'), bytes(1, 'b')))
  const review = decode('authorization.k8s.io/v1', 'SubjectAccessReview', bytes(2, bytes(3, 'u'), extra))
  assert.deepEqual(review.spec, { user: 'u', extra: { scopes: ['a', 'b'] } })
  const revision = decode('apps/v1', 'ControllerRevision', bytes(2, bytes(1, '{"x":[1]}')), int(3, 4))
  assert.deepEqual(revision, { apiVersion: 'apps/v1', kind: 'ControllerRevision', data: { x: [1] }, revision: 4 })
  const options = decode('apps/v1', 'DeleteOptions', int(1, 0), bytes(4, 'Foreground'), bytes(5, 'All'))
  assert.deepEqual(options, {
    apiVersion: 'apps/v1',
    kind: 'DeleteOptions',
    gracePeriodSeconds: 0,
    propagationPolicy: 'Foreground',
    dryRun: ['All'],
  })
})

test('unknown fields are skipped; what cannot be read is a bad request', () => {
  const unknown = Buffer.concat([
    varint((900 << 3) | 1),
    Buffer.alloc(8),
    varint((901 << 3) | 5),
    Buffer.alloc(4),
    int(902, 7),
  ])
  assert.deepEqual(decode('v1', 'Namespace', unknown), { apiVersion: 'v1', kind: 'Namespace' })
  const cases = [
    Buffer.from('{}'),
    envelope('v1', 'NoSuchKind'),
    envelope('v1', 'Namespace').subarray(0, 12),
    envelope('v1', 'Namespace', Buffer.from([0x0a, 0x7f])),
    envelope('v1', 'Namespace', Buffer.alloc(12, 0xff)),
  ]
  for (const body of cases)
    assert.throws(
      () => decodeProtobuf(body),
      (e) => isError(e, 'bad-request'),
    )
  const evil = decode('v1', 'ConfigMap', bytes(2, bytes(1, '__proto__'), bytes(2, 'x')))
  assert.deepEqual(Object.keys(evil.data as object), ['__proto__'])
})
