/** The daemon is killed again and again in the middle of everything: each time the next one goes on, and in the end nothing is left over. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { instanceOf } from '../../src/instance.ts'
import { silentLog } from '../../src/lib/log.ts'
import { createLinux } from '../../src/sys/linux/index.ts'
import { endSupervisor } from '../../src/sys/supervisor.ts'
import { startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
const { ok, api } = docker
const { home, slipway } = docker.instance
const instance = instanceOf({ SLIPWAY_HOME: home })
const sys = createLinux(instance, silentLog)

const below = (dir: string): string[] => (existsSync(join(home, dir)) ? readdirSync(join(home, dir)).sort() : [])
/** All that containers, networks and volumes are made of, on the disk and in the kernel. */
const holdings = async () => {
  const table = (await sys.firewall.list('inet', instance.nftTable)) ?? ''
  return {
    disk: [
      'lib/containers',
      'lib/volumes',
      'lib/snapshots',
      'run/containers',
      'run/sandboxes',
      'lib/sandboxes',
      'run/oci',
      'run/exits',
      'run/persist',
      'run/execs',
      'run/views',
      'run/steps',
    ].map((dir) => [dir, below(dir)]),
    links: readdirSync('/sys/class/net').filter((name) => new RegExp(`^${instance.linkPrefix}[bv]`).test(name)),
    mounts: sys.mounts
      .below(home)
      .map(({ target }) => target)
      .filter((target) => !/run$|run\/runtime/.test(target)),
    cgroups: sys.cgroups.pids(instance.cgroupParent),
    rules: table.split('\n').filter((line) => /\belements = \{/.test(line)).length,
  }
}

/** A life in requests; each may fail at any moment, with the daemon. */
const live = async (name: string, stop: AbortSignal): Promise<void> => {
  const ask = async (method: string, path: string, body?: object): Promise<void> => {
    stop.throwIfAborted()
    await api(method, path, body)
  }
  const HostConfig = {
    NetworkMode: `net-${name}`,
    PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] },
    Binds: [`vol-${name}:/v`, '/anonymous'],
  }
  for (let turn = 0; ; turn++) {
    await ask('POST', '/networks/create', { Name: `net-${name}` })
    await ask('POST', `/containers/create?name=c-${name}`, {
      Image: 'busybox',
      Cmd: ['sleep', '1000'],
      HostConfig,
      ExposedPorts: { '80/tcp': {} },
    })
    await ask('POST', `/containers/c-${name}/start`)
    await ask('POST', '/networks/bridge/connect', { Container: `c-${name}` })
    await ask('POST', `/commit?container=c-${name}&repo=image-${name}&tag=${turn}`)
    await ask('POST', `/containers/c-${name}/restart?t=0`)
    await ask('DELETE', `/containers/c-${name}?force=1&v=1`)
    await ask('DELETE', `/networks/net-${name}`)
    await ask('DELETE', `/images/image-${name}:${turn}?force=1`)
  }
}

test('killed at four moments', async () => {
  await ok(
    'run',
    '-d',
    '--name',
    'stays',
    '-p',
    '127.0.0.1::80',
    '-v',
    'kept:/v',
    'busybox',
    'sh',
    '-c',
    'echo 1 > /v/file; sleep 1000',
  )
  await ok('run', '--rm', 'busybox', 'true')
  const before = await holdings()
  const pid = await ok('inspect', '-f', '{{.State.Pid}}', 'stays')
  for (let round = 0; round < 4; round++) {
    const stop = new AbortController()
    const lives = ['a', 'b', 'c', 'd'].map((name) => live(name, stop.signal).catch(() => {}))
    await sleep(100 + round * 170)
    const { pid: daemon } = JSON.parse(readFileSync(join(home, 'run/daemon.json'), 'utf8')) as { pid: number }
    endSupervisor(instance.runDir)
    process.kill(daemon, 'SIGKILL')
    stop.abort()
    await Promise.all(lives)
    await until('its end', async () => !existsSync(`/proc/${daemon}/exe`))
    slipway('daemon', 'start')
    for (const line of (await ok('ps', '-a', '--format', '{{.ID}} {{.State}}')).split('\n')) {
      const [id = '', state = ''] = line.split(' ')
      assert.match(state, /^(created|running|exited)$/, line)
      if (state === 'running') assert.equal(await ok('exec', id, 'echo', 'x'), 'x')
    }
  }
  const names = (await ok('ps', '-a', '--format', '{{.Names}}')).split('\n').filter((name) => name !== 'stays')
  if (names.length > 0) await ok('rm', '-fv', ...names)
  const volumes = (await ok('volume', 'ls', '-q')).split('\n').filter((name) => name !== 'kept')
  if (volumes.length > 0) await ok('volume', 'rm', ...volumes)
  await ok('network', 'prune', '-f')
  const images = (await ok('images', '--format', '{{.Repository}}:{{.Tag}}'))
    .split('\n')
    .filter((name) => name.startsWith('image-'))
  if (images.length > 0) await ok('rmi', '-f', ...images)
  await ok('image', 'prune', '-f')
  await until('no link to be on its way out', async () => (await holdings()).links.length === before.links.length)
  assert.deepEqual(await holdings(), before)
  assert.equal(await ok('inspect', '-f', '{{.State.Pid}} {{.RestartCount}}', 'stays'), `${pid} 0`)
  assert.equal(await ok('exec', 'stays', 'cat', '/v/file'), '1')
  assert.doesNotMatch(readFileSync(join(home, 'log/daemon.log'), 'utf8'), / ERROR /)
  await docker.clean()
})
