import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Project, Service } from '../../../spec/compose/project.ts'
import { buildOrder } from './build-order.ts'

const order = (build: Service['build']) => {
  const project = { workingDir: '/project', secrets: {}, environment: {}, positions: {} } as unknown as Project
  const wish = { project, noCache: false, pullBases: false, buildArgs: {}, auths: {}, env: {} }
  return buildOrder(wish, { name: 'web', build } as Service, ['web'], {})
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
