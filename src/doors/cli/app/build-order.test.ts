import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Project, Service } from '../../../spec/compose/project.ts'
import { formatPlatform, hostPlatform } from '../../../spec/oci/index.ts'
import { buildOrder } from './build-order.ts'

const order = (build: Service['build'], more: { platform?: string; forOthers?: boolean } = {}) => {
  const { forOthers = false, ...service } = more
  const project = { workingDir: '/project', secrets: {}, environment: {}, positions: {} } as unknown as Project
  const wish = { project, noCache: false, pullBases: false, buildArgs: {}, auths: {}, env: {}, forOthers }
  return buildOrder(wish, { name: 'web', build, ...service } as Service, ['web'], {})
}

test('contexts: directories, repositories, archives', () => {
  assert.deepEqual(order({ context: '/project/web' }).context, { directory: '/project/web' })
  assert.deepEqual(order({ context: 'https://x.test/r.git#main' }).context, { git: 'https://x.test/r.git#main' })
  assert.deepEqual(order({ context: 'https://x.test/c.tar' }).context, { url: 'https://x.test/c.tar' })
  assert.deepEqual(order({ dockerfile_inline: 'FROM x' }).context, { none: true })
})

test('caches: images by name, directories beside the file', () => {
  const { cacheFrom, cacheTo } = order({
    context: '/project',
    cache_from: ['x.test/app', 'type=local,src=cache'],
    cache_to: ['type=registry,ref=x.test/app:cache,mode=max'],
  })
  assert.deepEqual(cacheFrom, [
    { type: 'registry', attrs: { ref: 'x.test/app' } },
    { type: 'local', attrs: { src: 'cache' }, directory: '/project/cache' },
  ])
  assert.deepEqual(cacheTo, [{ type: 'registry', attrs: { ref: 'x.test/app:cache', mode: 'max' } }])
})

test('platforms: all of them, or the one that runs here', () => {
  const here = formatPlatform(hostPlatform())
  const other = here === 'linux/amd64' ? 'linux/arm64' : 'linux/amd64'
  const both = { context: '/project', platforms: [other, here] }
  assert.deepEqual(order(both).platforms, [here])
  assert.deepEqual(order(both, { forOthers: true }).platforms, [other, here])
  assert.deepEqual(order(both, { platform: other }).platforms, [other])
  assert.deepEqual(order({ context: '/project', platforms: [other] }).platforms, [other])
  assert.deepEqual(order({ context: '/project' }, { platform: other }).platforms, [other])
  assert.deepEqual(order({ context: '/project' }, { forOthers: true }).platforms, [])
})

test('attestations: where the image is for others; the file says yes or no, or options', () => {
  const asked = { context: '/project', provenance: 'mode=min,version=v1', sbom: true }
  assert.deepEqual(order(asked).attest, {})
  assert.deepEqual(order(asked, { forOthers: true }).attest, { provenance: 'mode=min,version=v1', sbom: '' })
  const refused = { context: '/project', provenance: false, sbom: 'false' }
  assert.deepEqual(order(refused, { forOthers: true }).attest, {})
})
