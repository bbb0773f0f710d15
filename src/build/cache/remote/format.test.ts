import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chainIn, partsOf, remoteRecords, type WireConfig, wireLayer, wireRecord } from './format.ts'

const digest = (c: string): string => `sha256:${c.repeat(64)}`
const key = (c: string): string => c.repeat(64)
const layer = (c: string) => ({
  descriptor: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: digest(c), size: 1 },
  diffId: digest('d'),
})
const result = { snapshots: [], steps: [{ layer: true, createdAt: 5 }], contentKey: key('c') }

test('what is written is read again; what others wrote is passed over', () => {
  const config: WireConfig = {
    layers: [wireLayer(layer('a'), -1), wireLayer(layer('b'), 0)],
    records: [
      wireRecord([key('1'), key('2')], 1, result, { description: 'RUN x', createdAt: 7 }),
      { digest: digest('9'), layers: [{ layer: 0, createdAt: '' }] },
    ],
  }
  const descriptors = new Map([layer('a'), layer('b')].map(({ descriptor }) => [descriptor.digest, descriptor]))
  const [record, ...others] = remoteRecords(config, chainIn(config, descriptors))
  assert.equal(others.length, 0)
  assert.deepEqual(record!.keys, [key('1'), key('2')])
  assert.deepEqual(
    record!.layers.map(({ descriptor }) => descriptor.digest),
    [digest('a'), digest('b')],
  )
  assert.deepEqual(record!.notes.steps, result.steps)
})

test('a parent that Go leaves out is the first layer; loops and unknown layers are refused', () => {
  const config = {
    layers: [{ blob: digest('a'), parent: -1 }, { blob: digest('b') }, { blob: digest('f'), parent: 2 }],
  }
  const descriptors = new Map(
    ['a', 'b', 'f'].map((c) => [
      digest(c),
      { ...layer(c).descriptor, annotations: { 'containerd.io/uncompressed': digest('d') } },
    ]),
  )
  const chain = chainIn(config, descriptors)
  assert.deepEqual(
    chain(1).map(({ descriptor }) => descriptor.digest),
    [digest('a'), digest('b')],
  )
  assert.throws(() => chain(2), { code: 'invalid' })
  assert.throws(() => chain(3), { code: 'invalid' })
  const tall = Array.from({ length: 5000 }, (_, i) => ({ blob: digest('a'), parent: i - 1 }))
  const tower = chainIn({ layers: tall }, descriptors)
  assert.equal(tower(999).length, 1000)
  assert.throws(() => tower(4999), /more than 1000 layers/)
})

test('notes that make no sense are no notes', () => {
  const good = wireRecord([key('1')], 0, result, { description: 'x', createdAt: 1 })
  for (const change of [
    { contentKey: 'x' },
    { steps: [{ layer: true, createdAt: Number.NaN }] },
    { createdAt: 1e300 },
  ]) {
    const slipway = { ...good.slipway!, ...change } as NonNullable<typeof good.slipway>
    assert.deepEqual(
      remoteRecords({ records: [{ ...good, slipway }] }, () => []),
      [],
    )
  }
  assert.equal(remoteRecords({ records: [good] }, () => []).length, 1)
})

test('a cache is an index or an image manifest', () => {
  const config = { mediaType: 'application/vnd.buildkit.cacheconfig.v0', digest: digest('0'), size: 1 }
  const layers = [layer('a').descriptor]
  assert.deepEqual(partsOf({ schemaVersion: 2, manifests: [...layers, config] }), { config, layers })
  assert.deepEqual(partsOf({ schemaVersion: 2, config, layers }), { config, layers })
  const image = { ...config, mediaType: 'application/vnd.oci.image.config.v1+json' }
  assert.equal(partsOf({ schemaVersion: 2, config: image, layers }).config, undefined)
})
