import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Digest, sha256 } from '../../spec/oci/index.ts'
import type { ArchiveFiles } from './archive-files.ts'
import { legacyImages } from './load-legacy.ts'

const filesOf = (files: Record<string, string | { digest: Digest }>): ArchiveFiles => {
  const bytes = async (path: string): Promise<Buffer | undefined> => {
    const file = files[path]
    return typeof file === 'string' ? Buffer.from(file) : undefined
  }
  return {
    bytes,
    text: async (path) => (await bytes(path))?.toString(),
    find: (path) => {
      const file = files[path]
      return typeof file === 'object' ? { digest: file.digest, size: 1 } : undefined
    },
  }
}
const [base, top] = ['a'.repeat(64), 'b'.repeat(64)]
const config = (step: number, more: object = {}): string =>
  JSON.stringify({
    created: `2015-01-0${step + 1}T00:00:00.123456789Z`,
    docker_version: '1.9.1',
    author: 'me <me@x>',
    os: 'linux',
    architecture: 'amd64',
    container_config: { Cmd: ['/bin/sh', '-c', `step${step} && x`] },
    config: { Env: ['A=b'], Cmd: ['x'], Labels: {} },
    Size: 4,
    ...more,
  })
const files = {
  [`${base}/json`]: config(0, { id: base }),
  [`${base}/layer.tar`]: { digest: 'sha256:4765a41ce0d98c3fc21f6b0ed513d84d32b4749709f0c86603819ce983cb77bc' as const },
  [`${top}/json`]: config(1, { id: top, parent: base }),
  [`${top}/layer.tar`]: { digest: 'sha256:e1f9cfdaa9f674e19498725916176ac0a368795ac4a6d336af99ff6c8aab5f5a' as const },
  repositories: JSON.stringify({ 'old/tool': { 1: top, base, latest: top } }),
}

test('the images that docker makes of them', async () => {
  const images = (await legacyImages(filesOf(files)))!
  // Ids as dockerd 28.5 has them.
  assert.deepEqual(
    images.map(({ raw, names, layers }) => [sha256(raw), names, layers]),
    [
      [
        'sha256:04a9eba9e89166ed207b7edc779ace9e6ed72d8979847a81fe900e5ae5e29407',
        ['old/tool:1', 'old/tool:latest'],
        [`${base}/layer.tar`, `${top}/layer.tar`],
      ],
      [
        'sha256:a161bf7aafba58f6515e60a60bb443b430d1dc5382b2c9cc16a1145e3f4ff3aa',
        ['old/tool:base'],
        [`${base}/layer.tar`],
      ],
    ],
  )
})

test('what is none, or not whole', async () => {
  assert.equal(await legacyImages(filesOf({})), undefined)
  const refused = (more: Record<string, string>, message: RegExp) =>
    assert.rejects(legacyImages(filesOf({ ...files, ...more })), message)
  await refused({ repositories: '[' }, /repositories is not JSON/)
  await refused({ repositories: 'null' }, /repositories is malformed/)
  await refused({ repositories: '{"x":{"1":"../etc"}}' }, /"..\/etc" is not the id of a layer/)
  await refused({ repositories: `{"x":{"1":"${'c'.repeat(64)}"}}` }, /layer c+ is missing/)
  await refused({ [`${base}/json`]: config(0, { parent: top }) }, /is not the id of a layer/)
})
