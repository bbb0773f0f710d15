/** State that was edited, cut off or removed behind the daemon's back: the rest works on, and what was hit can be made anew. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { endSupervisor } from '../../src/sys/supervisor.ts'
import { collect, startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
const { ok, run, fails } = docker
const { home, slipway, env } = docker.instance
const database = join(home, 'lib/slipway.db')

const killDaemon = async (): Promise<void> => {
  const { pid } = JSON.parse(readFileSync(join(home, 'run/daemon.json'), 'utf8')) as { pid: number }
  endSupervisor(join(home, 'run'))
  process.kill(pid, 'SIGKILL')
  await until('its end', async () => !existsSync(`/proc/${pid}/exe`))
}
const idOf = (name: string): Promise<string> => ok('inspect', '-f', '{{.Id}}', name)
const pidOf = async (name: string): Promise<number> => Number(await ok('inspect', '-f', '{{.State.Pid}}', name))
const names = async (): Promise<string[]> => (await ok('ps', '-a', '--format', '{{.Names}}')).split('\n').sort()

test('rows, files and directories: what is left of each container, network, volume and image', async () => {
  await ok('network', 'create', 'lostnet')
  await ok('volume', 'create', '--label', 'l=1', 'data')
  await ok('run', '--rm', '-v', 'data:/v', 'busybox', 'sh', '-c', 'echo kept > /v/file')
  await ok('tag', 'busybox', 'archived')
  const archive = join(docker.dir, 'archived.tar')
  await ok('save', '-o', archive, 'archived')
  await ok('rmi', 'archived')
  for (const name of ['whole', 'row', 'sandbox', 'nolog', 'nofiles', 'nodir'])
    await ok(
      'run',
      '-d',
      '--name',
      name,
      '-p',
      '127.0.0.1::80',
      'busybox',
      'sh',
      '-c',
      'echo said; echo 1 >/own; sleep 1000',
    )
  await ok('run', '-d', '--name', 'netless', '--network', 'lostnet', 'busybox', 'sleep', '1000')
  await ok('stop', '-t', '0', 'nodir', 'netless')
  const ids = Object.fromEntries(
    await Promise.all((await names()).map(async (name) => [name, await idOf(name)] as const)),
  )
  const [whole, orphan] = [await pidOf('whole'), await pidOf('row')]

  slipway('daemon', 'stop')
  const db = new DatabaseSync(database)
  db.prepare(`UPDATE containers SET state = substr(state, 1, 20) WHERE name = 'row'`).run()
  db.prepare(`UPDATE sandboxes SET body = 'null' WHERE id = ?`).run(ids.sandbox!)
  db.prepare(`UPDATE networks SET body = '{}' WHERE name = 'lostnet'`).run()
  db.prepare(`UPDATE volumes SET record = x'00ff' || 'torn' WHERE name = 'data'`).run()
  db.prepare(`UPDATE images SET config = '{"rootfs":'`).run()
  db.close()
  rmSync(join(home, 'lib/containers', ids.nodir!), { recursive: true })
  rmSync(join(home, 'lib/containers', ids.nolog!, 'container.log'))
  for (const file of ['hosts', 'resolv.conf', 'hostname']) rmSync(join(home, 'lib/sandboxes', ids.nofiles!, file))
  slipway('daemon', 'start')

  assert.deepEqual(await names(), ['netless', 'nodir', 'nofiles', 'nolog', 'sandbox', 'whole'])
  const told = readFileSync(join(home, 'log/daemon.log'), 'utf8')
    .match(/a damaged record was put aside source=\w+/g)!
    .map((line) => line.split('=')[1])
    .sort()
  assert.deepEqual(told, ['containers', 'images', 'networks', 'sandboxes', 'volumes'])
  assert.equal(await pidOf('whole'), whole)
  // Nobody could stop it any more, so it does not run either.
  await until('the end of what has no record', async () => !existsSync(`/proc/${orphan}/exe`))
  // What it had written is nobody's any more, but not gone.
  const aside = join(home, 'lib/damaged', ids.row!)
  assert.equal(readFileSync(join(aside, 'files/own'), 'utf8'), '1\n')
  assert.match(readFileSync(join(aside, 'container.log'), 'utf8'), /said/)
  assert.match(readFileSync(join(home, 'log/daemon.log'), 'utf8'), new RegExp(`a container is lost.*${aside}`))
  assert.equal(await ok('volume', 'inspect', '-f', '{{.Name}}', 'data'), 'data')

  assert.deepEqual([await ok('images', '-q'), await ok('ps', '-q', '--filter', 'name=whole')].map(Boolean), [
    false,
    true,
  ])
  await ok('load', '-i', archive)
  assert.equal(await ok('run', '--rm', '-v', 'data:/v', 'archived', 'cat', '/v/file'), 'kept')
  await ok('tag', 'archived', 'busybox')
  await ok('run', '-d', '--name', 'row', 'busybox', 'sleep', '1000')

  for (const name of ['sandbox', 'nolog', 'nofiles', 'nodir']) {
    await ok('restart', '-t', '0', name)
    assert.equal(await ok('exec', name, 'cat', '/etc/hostname'), ids[name]!.slice(0, 12))
    assert.match(await ok('exec', name, 'cat', '/etc/hosts'), new RegExp(ids[name]!.slice(0, 12)))
    assert.match(await until('its words', async () => (await run(['logs', name])).stdout), /^said$/m)
    assert.match(await ok('port', name), /127\.0\.0\.1:\d+/)
  }
  assert.match(await fails(1, 'start', 'netless'), /network lostnet not found/)
  await ok('rm', '-f', ...(await names()))
  await ok('network', 'create', 'lostnet')
  await ok('network', 'rm', 'lostnet')
})

test('a running container whose files are gone can still be asked, connected and stopped', async () => {
  await ok('network', 'create', 'other')
  await ok('run', '-d', '--name', 'bare', 'busybox', 'sh', '-c', 'echo said; sleep 1000')
  const id = await idOf('bare')
  for (const file of ['hosts', 'resolv.conf', 'hostname']) rmSync(join(home, 'lib/sandboxes', id, file))
  rmSync(join(home, 'lib/containers', id), { recursive: true })
  assert.equal((await run(['logs', 'bare'])).code, 0)
  await ok('network', 'connect', 'other', 'bare')
  await ok('network', 'disconnect', 'other', 'bare')
  assert.equal(await ok('exec', 'bare', 'echo', 'here'), 'here')
  await ok('stop', '-t', '0', 'bare')
  await ok('start', 'bare')
  await ok('rm', '-f', 'bare')
  await ok('network', 'rm', 'other')
})

test('the write-ahead log cut off: a state of some moment before, and everything works', async () => {
  for (const name of ['w1', 'w2']) await ok('run', '-d', '--name', name, 'busybox', 'sleep', '1000')
  await ok('rm', '-f', 'w2')
  await killDaemon()
  const wal = `${database}-wal`
  if (existsSync(wal)) truncateSync(wal, Math.floor(statSync(wal).size / 2) + 13)
  slipway('daemon', 'start')
  // A container may be there again that had been removed, or not yet be there.
  for (const name of (await names()).filter(Boolean)) {
    const { State } = JSON.parse(await ok('inspect', name))[0] as { State: { Status: string; Pid: number } }
    if (State.Status === 'running') assert.ok(existsSync(`/proc/${State.Pid}/exe`), name)
    await ok('rm', '-f', name)
  }
  await ok('run', '--rm', '--name', 'w1', 'busybox', 'true')
})

test('a database that is none: said clearly, and as before once it is back', async () => {
  slipway('daemon', 'stop')
  const kept = join(docker.dir, 'kept.db')
  copyFileSync(database, kept)
  for (const suffix of ['-wal', '-shm']) rmSync(`${database}${suffix}`, { force: true })
  writeFileSync(database, Buffer.alloc(64 << 10, 'garbage '))
  const failed = await collect(join(import.meta.dirname, '../../slipway'), ['daemon', 'start'], { env })
  assert.equal(failed.code, 1)
  assert.match(failed.stderr, /the database .*slipway\.db is damaged: file is not a database/)
  copyFileSync(kept, database)
  slipway('daemon', 'start')
  assert.match(await ok('images'), /busybox/)
})

test('layers of an image that are gone: a start says so, a load brings them back', async () => {
  const archive = join(docker.dir, 'layers.tar')
  await ok('save', '-o', archive, 'busybox')
  const snapshots = join(home, 'lib/snapshots')
  for (const n of readdirSync(snapshots)) execFileSync('rm', ['-rf', join(snapshots, n, 'fs')])
  assert.match(
    await fails(125, 'run', '--rm', 'busybox', 'true'),
    /the layer sha256:[0-9a-f]+ of the image is gone from the disk\nPull or load/,
  )
  await ok('load', '-i', archive)
  await ok('run', '--rm', 'busybox', 'true')
})
