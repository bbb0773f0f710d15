/** Caches that travel: what one machine has built, another one with nothing of its own need not build again. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { shell, startBuildx } from './buildx-kit.ts'
import { type Registry, startRegistry } from './images-kit.ts'

const one = startBuildx()
const two = startBuildx()
let registry: Registry
after(() => {
  registry?.stop()
  one.stop()
  two.stop()
})

const twoStages = `FROM scratch AS tools
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN echo made > /made; date +%N > /when
FROM tools AS unused
RUN exit 1
FROM scratch
COPY --from=tools /bin /bin
WORKDIR /work
COPY --link text .
RUN cat text > copied
CMD ["sh"]
`
let dir = ''
/** The very same files, in another directory of another client. */
let elsewhere = ''

before(async () => {
  registry = await startRegistry(one.dir)
  dir = one.project('app', { Dockerfile: twoStages, text: 'hello' })
  elsewhere = two.project('the-same', { Dockerfile: twoStages, text: 'hello' })
})

/** Names of steps, and whether they came from a cache. */
const steps = (all: string): { cached: string[]; performed: string[] } => {
  const names = new Map(
    [...all.matchAll(/^#(\d+) (\[.*)$/gm)]
      .filter(([, , name]) => !name!.startsWith('[internal]'))
      .map(([, n, name]) => [n!, name!]),
  )
  const cached = new Set([...all.matchAll(/^#(\d+) CACHED$/gm)].map(([, n]) => n!))
  const of = (want: boolean): string[] => [...names].filter(([n]) => cached.has(n) === want).map(([, name]) => name)
  return { cached: of(true), performed: of(false) }
}
const clear = async (): Promise<void> => void (await two.ok(['buildx', 'prune', '-af']))
const idOf = (file: string): string => readFileSync(file, 'utf8')

const travels = async (to: string, from: string, stages: number): Promise<string> => {
  const iid = join(one.dir, 'iid')
  await one.ok(['buildx', 'build', '-t', `${registry.host}/app`, '--iidfile', iid, '--cache-to', to, dir])
  await clear()
  const second = join(two.dir, 'iid')
  const { all } = await two.ok(['buildx', 'build', '--iidfile', second, '--cache-from', from, elsewhere])
  const { cached, performed } = steps(all)
  assert.deepEqual(performed, [], all)
  assert.ok(cached.length >= stages, all)
  assert.equal(idOf(second), idOf(iid), 'the image is the same to the last byte')
  return all
}

test('through a registry: all stages (mode=max) as an index, with zstd', async () => {
  const ref = `${registry.host}/app:cache`
  await travels(`type=registry,ref=${ref},mode=max,compression=zstd`, `type=registry,ref=${ref}`, 6)
  const manifest = await (
    await fetch(`http://${registry.host}/v2/app/manifests/cache`, {
      headers: { accept: 'application/vnd.oci.image.index.v1+json' },
    })
  ).json()
  const { mediaType, manifests } = manifest as { mediaType: string; manifests: { mediaType: string }[] }
  assert.equal(mediaType, 'application/vnd.oci.image.index.v1+json')
  assert.equal(manifests.at(-1)!.mediaType, 'application/vnd.buildkit.cacheconfig.v0')
  assert.match(manifests[0]!.mediaType, /layer\.v1\.tar\+zstd$/)
  const to = ['--cache-to', `type=registry,ref=${ref}-again,mode=max,compression=zstd`]
  await one.ok(['buildx', 'build', '-t', `${registry.host}/app`, ...to, dir])
  const again = await fetch(`http://${registry.host}/v2/app/manifests/cache-again`, { headers: { accept: mediaType } })
  assert.deepEqual(await again.json(), manifest, 'what is known to be there is the same')
  // A step that only the first stage has: mode=max has its layers too.
  await clear()
  const { all } = await two.ok([
    'buildx',
    'build',
    '--target',
    'tools',
    '--cache-from',
    `type=registry,ref=${ref}`,
    elsewhere,
  ])
  assert.deepEqual(steps(all).performed, [], all)
})

test('through a registry: what the result is made of (mode=min) as an image manifest', async () => {
  const ref = `${registry.host}/app:min`
  await travels(`type=registry,ref=${ref},image-manifest=true`, `type=registry,ref=${ref}`, 4)
  await clear()
  const { all } = await two.ok([
    'buildx',
    'build',
    '--target',
    'tools',
    '--cache-from',
    `type=registry,ref=${ref}`,
    elsewhere,
  ])
  assert.ok(steps(all).performed.length > 0, all)
})

test('on a base from a registry, for several platforms, with docker media types', async () => {
  const base = `${registry.host}/base:1`
  const platforms = ['--platform', 'linux/amd64,linux/arm64']
  await one.ok(['buildx', 'build', ...platforms, '--push', '-t', base, one.project('base', { Dockerfile: shell })])
  const files = {
    Dockerfile: `FROM ${base}\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\nFROM ${base}\nCOPY --from=0 /arch /arch\nRUN cat /arch > /again\n`,
  }
  const [here, there] = [one.project('on-base', files), two.project('on-base-too', files)]
  const ref = `${registry.host}/on-base:cache`
  const output = (at: string): string[] => ['-o', `type=oci,dest=${at}`]
  const first = join(one.dir, 'on-base.tar')
  const second = join(two.dir, 'on-base.tar')
  const to = `type=registry,ref=${ref},mode=max,oci-mediatypes=false`
  await one.ok(['buildx', 'build', ...platforms, ...output(first), '--cache-to', to, here])
  const from = `type=registry,ref=${ref}`
  const { all } = await two.ok(['buildx', 'build', ...platforms, ...output(second), '--cache-from', from, there])
  assert.deepEqual(steps(all).performed, [], all)
  assert.ok(steps(all).cached.length >= 6, all)
  // But for when each was made.
  const undated = (path: string) => readFileSync(path, 'latin1').replace(/(image\.created":")[^"]*/, '$1')
  assert.ok(undated(second) === undated(first), 'the archives differ')
})

test('through a directory of the clients', async () => {
  const path = join(one.dir, 'cache-directory')
  await travels(`type=local,dest=${path},mode=max`, `type=local,src=${path}`, 6)
  const index = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')) as { manifests: { digest: string }[] }
  assert.ok(existsSync(join(path, 'blobs/sha256', index.manifests[0]!.digest.slice(7))))
})

test('inside the image, pushed or pulled; also by the classic endpoint', async () => {
  const ref = `${registry.host}/inline:1`
  await one.ok(['buildx', 'build', '--push', '-t', ref, '--cache-to', 'type=inline', dir])
  await clear()
  const { all } = await two.ok(['buildx', 'build', '--cache-from', ref, elsewhere])
  assert.deepEqual(steps(all).performed, [], all)

  // From here on by an image that was pulled, with the registry gone from the command line.
  await clear()
  await two.ok(['pull', ref])
  const again = await two.ok(['build', '--cache-from', ref, elsewhere], { env: { DOCKER_BUILDKIT: '0' } })
  assert.match(again.all, /Step 11\/\d+ : RUN cat text > copied\n ---> Using cache/)

  const arg = `${registry.host}/inline:2`
  await one.ok(['buildx', 'build', '--push', '-t', arg, '--build-arg', 'BUILDKIT_INLINE_CACHE=1', dir])
  await clear()
  await two.ok(['rmi', '-f', ref])
  const third = await two.ok(['buildx', 'build', '--cache-from', arg, elsewhere])
  assert.deepEqual(steps(third.all).performed, [], third.all)
})

test('what is not there is shown and not missed; what cannot be is refused', async () => {
  const missing = await two.ok(['buildx', 'build', '--cache-from', `${registry.host}/none:1`, elsewhere])
  assert.match(missing.all, /importing cache manifest from .*none:1/)
  const refused = await two.run([
    'buildx',
    'build',
    '--cache-to',
    'type=azblob,name=z,account_url=http://x,secret_access_key=b',
    elsewhere,
  ])
  assert.equal(refused.code, 1)
  assert.match(refused.all, /unknown cache exporter: "azblob"/)
  const dead = 'type=registry,ref=127.0.0.1:1/x'
  const failed = await two.run(['buildx', 'build', '--cache-to', dead, elsewhere])
  assert.equal(failed.code, 1, failed.all)
  assert.match((await two.ok(['buildx', 'build', '--cache-to', `${dead},ignore-error=true`, elsewhere])).all, /ignored/)
})

test('a step that changes is performed on top of what was found', async () => {
  await clear()
  const changed = two.project('changed', { Dockerfile: `${shell}RUN echo own\n`, text: 'hello' })
  const dockerfile = twoStages.replace('cat text > copied', 'cat text > other')
  const next = two.project('next', { Dockerfile: dockerfile, text: 'hello' })
  const from = `type=registry,ref=${registry.host}/app:cache`
  const { all } = await two.ok(['buildx', 'build', '-t', 'next', '--cache-from', from, next])
  assert.deepEqual(
    steps(all).performed.map((name) => name.replace(/^\[[^\]]*\] /, '')),
    ['RUN cat text > other'],
    all,
  )
  assert.equal((await two.ok(['run', '--rm', 'next', 'cat', 'other'])).stdout, 'hello')
  await two.ok(['buildx', 'build', changed])
})

test('a cache that is read and written again loses nothing, though nothing had to be fetched from it', async () => {
  const ref = `${registry.host}/app:loop`
  const at = async (tag: string): Promise<string | null> => {
    const accept = 'application/vnd.oci.image.index.v1+json'
    return (await fetch(`http://${registry.host}/v2/app/manifests/${tag}`, { headers: { accept } })).headers.get(
      'docker-content-digest',
    )
  }
  const entry = (tag: string): string => `type=registry,ref=${registry.host}/app:${tag}`
  await one.ok(['buildx', 'build', '--cache-to', `${entry('loop')},mode=max`, dir])
  const first = await at('loop')
  await clear()
  const both = ['--cache-from', `type=registry,ref=${ref}`, '--cache-to']
  assert.deepEqual(
    steps((await two.ok(['buildx', 'build', ...both, `${entry('loop')},mode=max`, elsewhere])).all).performed,
    [],
  )
  assert.equal(await at('loop'), first)
  // Into a directory, its layers come along.
  await clear()
  const local = join(two.dir, 'copied')
  await two.ok(['buildx', 'build', ...both, `type=local,dest=${local},mode=max`, elsewhere])
  await clear()
  const tools = ['buildx', 'build', '--target', 'tools', '--cache-from', `type=local,src=${local}`, elsewhere]
  assert.deepEqual(steps((await two.ok(tools)).all).performed, [])
  // And inside an image.
  const inline = ['--cache-to', 'type=inline', '-t', `${registry.host}/app:in`, '--push', '--provenance=false']
  await one.ok(['buildx', 'build', ...inline, dir])
  const pushed = await at('in')
  await clear()
  await two.ok(['buildx', 'build', '--cache-from', `${registry.host}/app:in`, ...inline, elsewhere])
  assert.equal(await at('in'), pushed)
})
