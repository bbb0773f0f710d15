import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mediaTypes, sha256 } from '../../spec/oci/index.ts'
import type { ArchiveFiles } from './archive-files.ts'
import { blobPath, wholeIndexes } from './load-index.ts'

const layout = () => {
  const texts = new Map<string, string>()
  const add = (document: object) => {
    const text = JSON.stringify(document)
    texts.set(blobPath(sha256(text)), text)
    return { digest: sha256(text), size: text.length }
  }
  const manifest = (architecture: string) => ({
    mediaType: mediaTypes.ociManifest,
    platform: { os: 'linux', architecture },
    ...add({ config: { mediaType: mediaTypes.ociConfig, ...add({ architecture }) }, layers: [] }),
  })
  let read = 0
  const files = {
    find: (path: string) => (texts.has(path) ? { digest: 'sha256:', size: texts.get(path)!.length } : undefined),
    async text(path: string) {
      assert.ok(++read < 20)
      return texts.get(path)
    },
  } as unknown as ArchiveFiles
  const named = (manifests: object[]) => {
    const root = { mediaType: mediaTypes.ociIndex, ...add({ schemaVersion: 2, manifests }) }
    texts.set('index.json', JSON.stringify({ schemaVersion: 2, manifests: [root] }))
  }
  return { add, manifest, files, named }
}

test('indexes of indexes that name the same again and again are read once', async () => {
  const { add, manifest, files, named } = layout()
  let below: object[] = [manifest('amd64'), manifest('arm64')]
  for (let depth = 0; depth < 4; depth++) {
    const one = { mediaType: mediaTypes.ociIndex, ...add({ schemaVersion: 2, manifests: below }) }
    below = Array.from({ length: 30 }, () => one)
  }
  named(below)
  const [whole, ...more] = await wholeIndexes(files, () => 'a:1')
  assert.deepEqual([whole?.images.length, whole?.names, more], [2, ['a:1'], []])
})

test('what is named as said of an image, and as one, is both', async () => {
  const { manifest, files, named } = layout()
  const arm = manifest('arm64')
  const annotations = { 'vnd.docker.reference.type': 'attestation-manifest' }
  named([{ ...arm, platform: { os: 'unknown', architecture: 'unknown' }, annotations }, arm, manifest('amd64')])
  const [whole] = await wholeIndexes(files, () => 'a:1')
  assert.deepEqual(
    whole?.images.map(({ descriptor }) => descriptor.platform?.architecture),
    ['arm64', 'amd64'],
  )
})
