/** A disk that is full: every request says so, nothing half made stays, and all goes on once there is room. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Docker, startDocker, until } from './docker-kit.ts'
import { startRegistry } from './images-kit.ts'
import { clientsIn } from './tools.ts'

const disk = mkdtempSync(join(tmpdir(), 'slipway-full-'))
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'full', disk])
const elsewhere = process.env.TMPDIR
process.env.TMPDIR = disk
let docker: Docker
try {
  docker = startDocker()
} finally {
  if (elsewhere === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = elsewhere
}
after(async () => {
  try {
    rmSync(join(disk, 'filler'), { force: true })
    await docker.clean()
    docker.stop()
  } finally {
    execFileSync('umount', ['-l', disk])
    rmSync(disk, { recursive: true })
  }
})
const { ok, run } = docker
const { home } = docker.instance

/** Writes until nothing more goes in, then gives `room` bytes back. */
const fill = (room: number): void => {
  const filler = join(disk, 'filler')
  for (let size = 1 << 20; size >= 4096; size /= 2) {
    try {
      for (;;) writeFileSync(filler, Buffer.alloc(size), { flag: 'a' })
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
    }
  }
  if (room > 0) execFileSync('truncate', ['-s', `-${room}`, filler])
}
const free = (): void => rmSync(join(disk, 'filler'), { force: true })
const pidOf = (): number => (JSON.parse(readFileSync(join(home, 'run/daemon.json'), 'utf8')) as { pid: number }).pid
const below = (dir: string): string[] => (existsSync(join(home, dir)) ? readdirSync(join(home, dir)).sort() : [])
const holdings = () => ({
  containers: below('lib/containers'),
  volumes: below('lib/volumes'),
  snapshots: below('lib/snapshots'),
  blobs: below('lib/content/blobs/sha256'),
  ingest: below('lib/content/ingest'),
  run: [below('run/containers'), below('run/sandboxes'), below('run/oci'), below('run/persist')],
})

test('full: each request fails clearly or works; afterwards everything is as before', async () => {
  await ok(
    'run',
    '-d',
    '--name',
    'runs',
    '-v',
    'used:/v',
    'busybox',
    'sh',
    '-c',
    'while :; do echo line; sleep 0.2; done',
  )
  await ok('create', '--name', 'waits', 'busybox', 'true')
  const archive = join(tmpdir(), `${disk.split('/').at(-1)}.tar`)
  await ok('save', '-o', archive, 'busybox')
  await ok('tag', 'busybox', 'other')
  const [before, daemon] = [holdings(), pidOf()]
  const images = await ok('images', '-q', '--no-trunc')

  const context = `FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=200\n`
  const requests: [string[], string?][] = [
    [['create', '--name', 'new1', 'busybox', 'true']],
    [['run', '--name', 'new2', 'busybox', 'sh', '-c', 'dd if=/dev/zero of=/x bs=1M count=200']],
    [['run', '-d', '--name', 'new3', '-v', '/anonymous', '-v', 'new-volume:/v', 'busybox', 'sleep', '100']],
    [['volume', 'create', 'new-volume2']],
    [['network', 'create', 'new-network']],
    [['exec', 'runs', 'sh', '-c', 'echo x > /v/file']],
    [['commit', 'runs', 'committed']],
    [['load', '-i', archive]],
    [['import', archive, 'imported']],
    [['build', '-t', 'built', '-'], context],
    [['cp', archive, 'waits:/tmp/archive']],
    [['tag', 'busybox', 'tagged']],
    [['rename', 'waits', 'waited']],
    [['start', 'waits']],
    [['logs', 'runs']],
    [['ps', '-a']],
    [['inspect', 'runs']],
  ]
  for (const room of [0, 1 << 20]) {
    fill(room)
    for (const [args, input] of requests) {
      const { code, stdout, stderr } = await run(args, {
        input,
        env: { ...docker.instance.env, DOCKER_BUILDKIT: '0' },
        timeoutMs: 60_000,
      })
      const said = `docker ${args.join(' ')} with ${room}: ${code} ${stdout.slice(-300)} ${stderr}`
      if (code !== 0)
        assert.match(
          stdout + stderr,
          /no space left on device|No space left|disk is full|already in use|No such container|ENOSPC/,
          said,
        )
      if (['ps', 'inspect', 'logs'].includes(args[0]!)) assert.equal(code, 0, said)
      assert.equal(pidOf(), daemon, said)
    }
    // What ends can be ended, and removed, without any room.
    await run(['rm', '-fv', 'new1', 'new2', 'new3', 'waited'])
    free()
    await run(['rmi', 'committed', 'imported', 'built', 'tagged'])
    await run(['builder', 'prune', '-af'])
    await run(['rm', '-fv', 'new1', 'new2', 'new3', 'waited', 'waits'])
    await run(['volume', 'rm', 'new-volume', 'new-volume2'])
    await run(['network', 'rm', 'new-network'])
    await ok('create', '--name', 'waits', 'busybox', 'true')
    await ok('rm', 'waits')
    assert.equal(await ok('images', '-q', '--no-trunc'), images)
    const left = holdings()
    assert.deepEqual([left.volumes, left.blobs, left.run], [before.volumes, before.blobs, before.run], `with ${room}`)
    assert.equal(left.containers.length, before.containers.length - 1)
    assert.equal(left.snapshots.length, before.snapshots.length - 1, `with ${room}`)
    await ok('create', '--name', 'waits', 'busybox', 'true')
  }
  rmSync(archive)
  const seen = (await ok('logs', 'runs')).split('\n').length
  await until('more lines', async () => (await ok('logs', 'runs')).split('\n').length > seen)
  assert.equal(await ok('run', '--rm', '-v', 'used:/v', 'busybox', 'echo', 'fine'), 'fine')
})

test('full in the middle: of a pull, of a base being pulled, of a context being sent, of a commit', async () => {
  // What is sent is not on the disk that is full.
  const away = mkdtempSync(join(tmpdir(), 'slipway-away-'))
  const plugins = join(docker.instance.env.DOCKER_CONFIG!, 'cli-plugins')
  mkdirSync(plugins, { recursive: true })
  symlinkSync(join(clientsIn('docker-buildx'), 'docker-buildx'), join(plugins, 'docker-buildx'))
  const registry = await startRegistry(away)
  try {
    const context = join(away, 'context')
    mkdirSync(context)
    writeFileSync(join(context, 'large'), randomBytes(8 << 20))
    writeFileSync(join(context, 'Dockerfile'), 'FROM busybox\nCOPY large /large\n')
    const name = `${registry.host}/large:1`
    await ok('build', '-q', '-t', name, context)
    await ok('run', '--name', 'grown', name, 'sh', '-c', 'cat /large > /second')
    await ok('commit', 'grown', name)
    await ok('push', name)
    await ok('rm', 'grown')
    await ok('rmi', name)
    await ok('builder', 'prune', '-af')
    // The layer of `writer` is as large as what is pulled, and there before anything is measured.
    await ok('run', '--name', 'writer', 'busybox', 'sh', '-c', 'dd if=/dev/urandom of=/big bs=1M count=8')
    const writer = await ok('inspect', '-f', '{{.Id}}', 'writer')
    await until('the end of all that it ran in', async () => !holdings().run.flat().includes(writer))
    const before = holdings()
    const images = await ok('images', '-q', '--no-trunc')
    const onIt = join(away, 'on')
    mkdirSync(onIt)
    writeFileSync(join(onIt, 'Dockerfile'), `FROM ${name}\nRUN wc -c /large /second\n`)
    const requests = [
      ['pull', name],
      ['run', '--rm', name, 'true'],
      ['buildx', 'build', onIt],
      ['buildx', 'build', '-t', 'sent', context],
      ['commit', 'writer', 'committed'],
    ]
    // Room for a part of the first thing that is written; for all of that, and a part of what it becomes.
    for (const room of [3 << 20, 11 << 20]) {
      fill(room)
      for (const args of requests) {
        const { code, stdout, stderr } = await run(args, { timeoutMs: 60_000 })
        const said = `docker ${args.join(' ')} with ${room >> 20} MB: ${code} ${stdout.slice(-300)} ${stderr.slice(-1000)}`
        const works = args[0] === 'commit' && room > 10 << 20
        if (works) assert.equal(code, 0, said)
        else {
          assert.notEqual(code, 0, said)
          assert.match(stdout + stderr, /no space left on device/i, said)
        }
        if (works) await ok('rmi', 'committed')
        // What was sent of a context stays, to be gone on with.
        await ok('builder', 'prune', '-af')
        assert.deepEqual(holdings(), before, said)
      }
      free()
      assert.equal(await ok('images', '-q', '--no-trunc'), images)
    }
    await ok('pull', name)
    await ok('commit', 'writer', 'committed')
    await ok('rmi', 'committed')
    assert.match((await run(['buildx', 'build', '--progress=plain', onIt])).stderr, /16777216 total/)
    await ok('rmi', name)
    await ok('builder', 'prune', '-af')
    await ok('buildx', 'build', '-t', 'sent', context)
    assert.match(await ok('run', '--rm', 'sent', 'wc', '-c', '/large'), /^8388608 /)
    await ok('rmi', 'sent')
    await ok('rm', 'writer')
  } finally {
    registry.stop()
    rmSync(away, { recursive: true })
  }
})
