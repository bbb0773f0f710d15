import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { ContentStore, RemoteDirectory } from '../../../build/types.ts'
import { cacheImportsOf, requestOf } from './frontend.ts'

const directory = (name: string): RemoteDirectory => ({ key: name, open: () => assert.fail('not opened') })
const parse = (attrs: Record<string, string>) => requestOf(attrs, directory, () => Readable.from([]), store)
const store = (id: string): ContentStore => ({ read: () => assert.fail(id), write: () => assert.fail(id) })
const keyOf = (value: unknown): string => (value as { remote: RemoteDirectory }).remote.key

test('attributes of buildx', () => {
  const request = parse({
    filename: 'sub/Dockerfile',
    target: 'out',
    'build-arg:A': '1',
    'label:l': 'v',
    'no-cache': 'one,two',
    'image-resolve-mode': 'pull',
    'add-hosts': 'a=1.2.3.4,b=::1',
    'force-network-mode': 'none',
    'shm-size': '1048576',
    ulimit: 'nofile=10:20,core=0',
    'context:base': 'docker-image://x',
    'context:src::linux/amd64': 'local:src',
    contextkey: 'ctx',
  })
  assert.equal(keyOf(request.context), 'ctx')
  assert.equal(keyOf(request.dockerfile), 'dockerfile')
  assert.equal(keyOf(request.contexts!['src::linux/amd64']), 'src')
  assert.equal(request.contexts!.base, 'docker-image://x')
  const { target, args, labels, noCache, noCacheFilter, pull, extraHosts, network, shmSize, ulimits } = request
  assert.deepEqual(
    { target, args, labels, noCache, noCacheFilter, pull, extraHosts, network, shmSize, ulimits },
    {
      target: 'out',
      args: { A: '1' },
      labels: { l: 'v' },
      noCache: false,
      noCacheFilter: ['one', 'two'],
      pull: true,
      extraHosts: [
        { name: 'a', address: '1.2.3.4' },
        { name: 'b', address: '::1' },
      ],
      network: 'none',
      shmSize: 1_048_576,
      ulimits: [
        { name: 'nofile', soft: 10, hard: 20 },
        { name: 'core', soft: 0, hard: 0 },
      ],
    },
  )
  assert.equal(parse({ 'no-cache': '' }).noCache, true)
  const mounts = { 'automount:10': 'type=tmpfs,target=/c', 'automount:0': 'target=/a', 'automount:9': 'target=/b' }
  assert.deepEqual(parse(mounts).automounts, ['target=/a', 'target=/b', 'type=tmpfs,target=/c'])
})

test('platforms, remote contexts and caches', () => {
  assert.deepEqual(parse({ platform: 'linux/amd64,linux/arm64' }).platforms, ['linux/amd64', 'linux/arm64'])
  assert.deepEqual(parse({ context: 'https://example.com/x.tar' }).context, { url: 'https://example.com/x.tar' })
  assert.deepEqual(parse({ context: 'https://example.com/x.git#main' }).context, {
    git: 'https://example.com/x.git#main',
  })
  assert.throws(() => parse({ context: 'ftp://example.com/x.tar' }), { code: 'unsupported' })
  const imports = JSON.stringify([{ Type: 'local', Attrs: { src: 'd', digest: 'sha256:0' } }])
  assert.deepEqual(cacheImportsOf({ 'cache-from': 'a,b', 'cache-imports': imports }), [
    { type: 'registry', attrs: { ref: 'a' } },
    { type: 'registry', attrs: { ref: 'b' } },
    { type: 'local', attrs: { src: 'd', digest: 'sha256:0' } },
  ])
  assert.ok('tar' in parse({ context: 'http://buildkit-session/1' }).context)
})
