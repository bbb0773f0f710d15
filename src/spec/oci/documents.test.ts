import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { readIndex, readManifest } from './documents.ts'

const digest = `sha256:${'a'.repeat(64)}`
const layer = { mediaType: 'm', digest, size: 1 }
const manifest = { schemaVersion: 2, config: layer, layers: [layer] }

test('manifests and indexes as they should be, with what is null or unknown', () => {
  assert.deepEqual(readManifest(JSON.stringify({ ...manifest, annotations: null, more: [5] })).layers, [layer])
  const found = readIndex(JSON.stringify({ manifests: [{ ...layer, platform: null }, null] }))
  assert.deepEqual(found.manifests, [layer])
})

test('whatever is of another kind is refused, and said', () => {
  const bad: [(text: string) => unknown, unknown, RegExp][] = [
    [readManifest, null, /^image manifest is malformed: null$/],
    [readManifest, [], /cannot unmarshal array/],
    [readManifest, { layers: [] }, /no config or layers/],
    [readManifest, { ...manifest, layers: null }, /no config or layers/],
    [readManifest, { ...manifest, layers: [{ ...layer, digest: 5 }] }, /cannot unmarshal number/],
    [readManifest, { ...manifest, layers: [{ ...layer, digest: 'sha256:../../x' }] }, /unsupported digest sha256:\.\./],
    [readManifest, { ...manifest, layers: [{ ...layer, size: '1' }] }, /cannot unmarshal string/],
    [readManifest, { ...manifest, layers: [{ ...layer, size: -1 }] }, /has no size/],
    [readManifest, { ...manifest, config: { digest } }, /has no size/],
    [readManifest, { ...manifest, annotations: { a: 1 } }, /cannot unmarshal number/],
    [readIndex, {}, /^image index is malformed: it has no manifests$/],
    [readIndex, { manifests: [{ ...layer, platform: 5 }] }, /cannot unmarshal number/],
    [readIndex, { manifests: [{ ...layer, platform: { os: 5 } }] }, /cannot unmarshal number/],
  ]
  for (const [read, document, message] of bad)
    assert.throws(
      () => read(JSON.stringify(document)),
      (error) => isError(error, 'invalid') && message.test(error.message),
      JSON.stringify(document),
    )
  assert.throws(() => readManifest('{'), /malformed/)
})
