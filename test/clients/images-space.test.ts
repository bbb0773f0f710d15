/** What is removed and what stays: images that containers, builds and pods use; and that df says what is on the disk. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { startDocker, until } from './docker-kit.ts'
import { type Registry, startRegistry } from './images-kit.ts'

const docker = startDocker()
const { ok, fails, dir } = docker
const state = join(docker.instance.home, 'lib')
let registry: Registry
before(async () => {
  registry = await startRegistry(dir)
})
after(() => {
  registry?.stop()
  docker.stop()
})
afterEach(() => docker.clean())

const make = async (name: string, size: number, ...changes: string[]): Promise<string> => {
  const root = join(dir, `root-${name.replace(/\W/g, '-')}`)
  mkdirSync(join(root, 'data'), { recursive: true })
  writeFileSync(join(root, 'data/f'), Buffer.alloc(size, name))
  execFileSync('tar', ['-C', root, '-cf', `${root}.tar`, '.'])
  return ok('import', ...changes.flatMap((change) => ['-c', change]), `${root}.tar`, name)
}
const df = async (): Promise<{
  LayersSize: number
  Images: { Id: string; Size: number; SharedSize: number; Containers: number }[]
}> => JSON.parse((await docker.api('GET', '/system/df')).body)
/** Bytes of all regular files below. */
const bytesBelow = (path: string): number =>
  Number(
    execFileSync('sh', ['-c', `find '${path}' -type f -printf '%i %s\\n' | sort -u | awk '{s+=$2} END {print s+0}'`], {
      encoding: 'utf8',
    }),
  )
const onDisk = (): number =>
  readdirSync(join(state, 'snapshots')).reduce(
    (sum, name) => sum + bytesBelow(join(state, 'snapshots', name, 'fs')),
    0,
  ) + bytesBelow(join(state, 'content/blobs'))

test('df is what is on the disk, shared layers once, archives of pulled layers too; prune gives it back to the byte', async () => {
  assert.equal((await df()).LayersSize, onDisk())
  const empty = onDisk()
  const base = `${registry.host}/space/base:1`
  await make(base, 1_000_000)
  const context = join(dir, 'context-space')
  mkdirSync(context)
  writeFileSync(join(context, 'x'), Buffer.alloc(300_000, 'x'))
  writeFileSync(join(context, 'Dockerfile'), `FROM ${base}\nCOPY x /x\n`)
  execFileSync('docker', ['build', '-q', '-t', 'space-top', context], {
    env: { ...docker.instance.env, DOCKER_BUILDKIT: '0' },
  })
  let usage = await df()
  assert.equal(usage.LayersSize, onDisk())
  const of = async (name: string) => {
    const id = await ok('image', 'inspect', '-f', '{{.Id}}', name)
    return usage.Images.find((image) => image.Id === id)!
  }
  assert.deepEqual([(await of(base)).Size, (await of(base)).SharedSize], [1_000_000, 1_000_000])
  assert.deepEqual([(await of('space-top')).Size, (await of('space-top')).SharedSize], [1_300_000, 1_000_000])
  await ok('push', base)
  await ok('rmi', 'space-top', base)
  await ok('builder', 'prune', '-af')
  assert.equal(onDisk(), empty)
  await ok('pull', base)
  usage = await df()
  assert.equal(usage.LayersSize, onDisk())
  assert.ok((await of(base)).Size > 1_000_000, 'the archive it came as counts')
  await ok('run', '-d', '--name', 'holds-busybox', 'busybox', 'sleep', '100')
  const pruned = JSON.parse(
    (await docker.api('POST', `/images/prune?filters=${encodeURIComponent('{"dangling":["false"]}')}`)).body,
  )
  assert.equal(pruned.SpaceReclaimed, usage.LayersSize - empty)
  assert.equal(onDisk() - bytesBelow(containerLayer()), empty)
})
const containerLayer = (): string =>
  join(state, 'snapshots', String(Math.max(...readdirSync(join(state, 'snapshots')).map(Number))), 'fs')

test('df tells of layers that others stand on which no image lists', async () => {
  const archive = join(dir, 'twins.tar')
  const built = await docker.run(['build', '-t', 'twin-base', '-'], {
    input: 'FROM busybox\nRUN head -c 200000 /dev/zero > /zeros\n',
    env: { ...docker.instance.env, DOCKER_BUILDKIT: '0' },
  })
  assert.equal(built.code, 0, built.stderr)
  await ok('create', '--name', 'twin', 'twin-base', 'true')
  await ok('commit', 'twin', 'twin')
  await ok('save', '-o', archive, 'twin')
  // The layers below come a second time, under other names than the build has given them.
  await ok('load', '-i', archive)
  await ok('rm', 'twin')
  await ok('rmi', 'twin-base')
  const cached = async (): Promise<number> => {
    const { BuildCache } = JSON.parse((await docker.api('GET', '/system/df')).body) as {
      BuildCache: { Type: string; Size: number; Shared: boolean }[] | null
    }
    const own = (BuildCache ?? []).filter(({ Type, Shared }) => Type === 'regular' && !Shared)
    return own.reduce((sum, { Size }) => sum + Size, 0)
  }
  assert.equal((await df()).LayersSize + (await cached()), onDisk())
  await ok('builder', 'prune', '-af')
  assert.equal((await df()).LayersSize, onDisk())
  assert.ok(onDisk() > 400_000)
  await ok('rmi', 'twin')
  assert.equal((await df()).LayersSize, onDisk())
})

test('what a container was made from stays, stopped or running', async () => {
  await make('used:1', 1000)
  await make('free:1', 1000)
  await make('mounted:1', 1000)
  await ok('create', '--name', 'stopped', 'used:1', 'x')
  await ok(
    'run',
    '-d',
    '--name',
    'mounts',
    '--mount',
    'type=image,source=mounted:1,target=/m',
    'busybox',
    'sleep',
    '100',
  )
  await ok('run', '-d', '--name', 'running', 'busybox', 'sleep', '100')
  await ok('image', 'prune', '-af')
  const names = await ok('images', '--format', '{{.Repository}}:{{.Tag}}')
  assert.deepEqual(names.split('\n').sort(), ['busybox:latest', 'mounted:1', 'used:1'])
  assert.equal((await ok('exec', 'mounts', 'cat', '/m/data/f')).length, 1000)
  assert.match(await fails(1, 'rmi', 'used:1'), /conflict/)
  assert.match(
    await fails(1, 'rmi', '-f', await ok('image', 'inspect', '-f', '{{.Id}}', 'busybox')),
    /cannot be forced/,
  )
  await ok('rm', '-f', 'stopped', 'mounts')
  await ok('image', 'prune', '-af')
  assert.equal(await ok('images', '--format', '{{.Repository}}:{{.Tag}}'), 'busybox:latest')
})

test('the base of a build that is under way stays', async () => {
  const context = join(dir, 'context-slow')
  mkdirSync(context)
  await ok('tag', 'busybox', 'slow-base')
  // Its own layer, so that nothing else keeps it.
  await make('other-base', 2_000_000)
  writeFileSync(
    join(context, 'Dockerfile'),
    `FROM slow-base AS first\nRUN sleep ${nap}\nFROM other-base AS second\nCOPY --from=first /bin/busybox /bin/busybox\nFROM second\nCOPY --from=second /data/f /copied\n`,
  )
  const env = { ...docker.instance.env, DOCKER_BUILDKIT: '0' }
  const building = docker.run(['build', '--no-cache', '-t', 'slow', context], { env })
  await until(
    'the step',
    async () => (await docker.api('GET', '/containers/json')).status === 200 && (await sleeping()),
  )
  await docker.run(['rmi', '-f', 'other-base'])
  await ok('image', 'prune', '-af')
  const { code, stdout, stderr } = await building
  assert.equal(code, 0, stdout + stderr)
  assert.equal((await ok('save', 'slow', '-o', join(dir, 'slow.tar'))).length, 0)
})
/** Nobody else on this machine sleeps just so long. */
const nap = `3.0${process.pid}`
const sleeping = async (): Promise<boolean> =>
  execFileSync('sh', ['-c', `grep -lszx "${nap.replace('.', '[.]')}" /proc/[0-9]*/cmdline | wc -l`], {
    encoding: 'utf8',
  }).trim() !== '0'

test('the image of a pod stays', async () => {
  await make('pod-image:1', 1000)
  const env = { ...docker.instance.env }
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'keeps' },
    spec: {
      restartPolicy: 'Never',
      containers: [{ name: 'c', image: 'busybox:latest', imagePullPolicy: 'Never', command: ['sleep', '1000'] }],
      terminationGracePeriodSeconds: 0,
    },
  }
  const kubectl = (args: string[], input = ''): string =>
    execFileSync('kubectl', args, { env, input, encoding: 'utf8', timeout: 60_000 })
  await docker.run(['import', join(dir, 'busybox.tar'), 'busybox:latest'])
  kubectl(['apply', '-f', '-'], JSON.stringify(pod))
  kubectl(['wait', '--for=condition=Ready', 'pod/keeps', '--timeout=30s'])
  await ok('image', 'prune', '-af')
  assert.equal(await ok('images', '--format', '{{.Repository}}:{{.Tag}}'), 'busybox:latest')
  assert.match(kubectl(['exec', 'keeps', '--', 'echo', 'still']), /still/)
  kubectl(['delete', 'pod', 'keeps'])
})
