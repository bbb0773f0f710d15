import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Descriptor, mediaTypes, sha256 } from '../../spec/oci/index.ts'
import type { StoredIndex } from './index-records.ts'
import { indexWithout, manifestsWith } from './index-without.ts'

const described = (mediaType: string, content: object, more: object = {}) => {
  const data = Buffer.from(JSON.stringify(content))
  const descriptor: Descriptor = { mediaType, digest: sha256(data), size: data.length, ...more }
  return { descriptor, data: data.toString('base64') }
}
const base = described('layer', ['base']).descriptor
const image = (architecture: string) => {
  const config = described(mediaTypes.ociConfig, { architecture })
  const own = described('layer', [architecture]).descriptor
  const manifest = described(
    mediaTypes.ociManifest,
    { config: config.descriptor, layers: [base, own] },
    { platform: { os: 'linux', architecture } },
  )
  return { config, own, manifest, id: config.descriptor.digest }
}
const said = (about: string) => {
  const config = described(mediaTypes.ociConfig, { about })
  const statement = described('application/vnd.in-toto+json', { of: about })
  const annotations = { 'vnd.docker.reference.digest': about, 'vnd.docker.reference.type': 'attestation-manifest' }
  const content = { config: config.descriptor, layers: [statement.descriptor] }
  return { config, statement, manifest: described(mediaTypes.ociManifest, content, { annotations }) }
}
const indexOf = (documents: { descriptor: Descriptor }[]) =>
  described(mediaTypes.ociIndex, { schemaVersion: 2, manifests: documents.map(({ descriptor }) => descriptor) })

const [one, two, three] = [image('amd64'), image('arm64'), image('s390x')]
const [ofOne, ofTwo] = [said(one.manifest.descriptor.digest), said(two.manifest.descriptor.digest)]
const layer = (descriptor: Descriptor) => ({ descriptor, snapshot: descriptor.digest, form: {} })
const nested = indexOf([two.manifest, three.manifest])
const whole: StoredIndex = {
  layers: [base, one.own, two.own, three.own].map(layer),
  documents: [
    ...[one, two, three].flatMap(({ config, manifest }) => [config, manifest]),
    ...[ofOne, ofTwo].flatMap(({ config, statement, manifest }) => [config, statement, manifest]),
    nested,
  ],
  root: indexOf([one.manifest, nested, ofOne.manifest, ofTwo.manifest]),
}
const digests = (documents: { descriptor: Descriptor }[]): string[] =>
  documents.map(({ descriptor }) => descriptor.digest).sort()

test('an image goes with what is said of it; the rest is whole, also in an index within', () => {
  assert.deepEqual(manifestsWith(whole, two.id), [two.manifest.descriptor.digest])
  const left = indexWithout(whole, two.id)!
  const inner = indexOf([three.manifest])
  assert.deepEqual(left.root, indexOf([one.manifest, inner, ofOne.manifest]))
  assert.deepEqual(digests(left.layers), digests([base, one.own, three.own].map(layer)))
  const stay = [one.config, one.manifest, three.config, three.manifest, ofOne.config, ofOne.statement, ofOne.manifest]
  assert.deepEqual(digests(left.documents), digests([...stay, inner]))
})

test('one after the other, until nothing is left', () => {
  const last = indexWithout(indexWithout(whole, two.id)!, three.id)!
  assert.deepEqual(last.root, indexOf([one.manifest, ofOne.manifest]))
  assert.equal(indexWithout(last, one.id), undefined)
})
