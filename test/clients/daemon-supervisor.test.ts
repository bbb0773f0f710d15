/** A daemon that dies comes back by itself, behind the same socket; what watches it may die as well. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { socketsOf } from '../../src/instance.ts'
import { endSupervisor, supervisorOf } from '../../src/sys/supervisor.ts'
import { collect, startDocker } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
const { home, slipway, env } = docker.instance
const launcher = join(import.meta.dirname, '../../slipway')
/** A command of slipway that is not waited for. */
const command = (...args: string[]) => collect(launcher, args, { env })
const runDir = join(home, 'run')
const sockets = socketsOf({ runDir, stateDir: join(home, 'lib') })

const daemonPid = (): number => (JSON.parse(readFileSync(sockets.daemon, 'utf8')) as { pid: number }).pid
const lives = (pid: number): boolean => existsSync(`/proc/${pid}/exe`)
/** A process that is being killed may still accept a connection; afterwards none gets lost. */
const kill = async (...pids: number[]): Promise<void> => {
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await until(() => !pids.some(lives), 'the end')
}
const until = async (done: () => boolean, what: string): Promise<void> => {
  for (const end = Date.now() + 20_000; !done(); await sleep(20))
    assert.ok(Date.now() < end, `waited in vain for: ${what}`)
}
/** Another daemon than `old` serves, with a supervisor of its own. */
const replaced = (old: number): Promise<void> =>
  until(() => daemonPid() !== old && lives(daemonPid()) && supervisorOf(runDir) !== undefined, 'another daemon')

/** One request on docker's socket, as found at `path`. */
const ask = (path: string, socketPath = sockets.docker): Promise<string> =>
  new Promise((resolve, reject) => {
    const req = request({ socketPath, path, agent: false }, (res) => {
      let text = ''
      res.on('data', (chunk) => {
        text += String(chunk)
      })
      res.on('end', () => resolve(text))
    })
    req.on('error', reject)
    req.end()
  })
const programs = (): string[] =>
  readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name) || !existsSync(`/proc/${name}/cmdline`)) return false
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(`slipway-supervisor\0${runDir}\0`)
    } catch {
      return false
    }
  })

let container: number
before(async () => {
  await docker.ok('run', '-d', '--name', 'box', '-v', `${sockets.docker}:/docker.sock`, 'busybox', 'sleep', '1000')
  container = Number(await docker.ok('inspect', '-f', '{{.State.Pid}}', 'box'))
})

test('killed: a client waits instead of being refused, also one in a container that has the socket mounted', async () => {
  const [old, { ino }] = [daemonPid(), statSync(sockets.docker)]
  await kill(old)
  assert.equal(await ask('/_ping'), 'OK')
  await replaced(old)
  assert.equal(statSync(sockets.docker).ino, ino)
  assert.equal(await ask('/_ping', `/proc/${container}/root/docker.sock`), 'OK')
  await until(() => programs().length === 1, 'one supervisor')
  // The one before last has died young, so this one starts a moment later.
  const second = daemonPid()
  await kill(second)
  assert.match(await ask('/containers/json', `/proc/${container}/root/docker.sock`), /"\/box"/)
  await replaced(second)
  assert.ok(lives(container))
})

test('the supervisor killed: the daemon begins another one', async () => {
  const [old, watcher] = [daemonPid(), supervisorOf(runDir)!]
  await kill(watcher)
  await until(() => ![undefined, watcher].includes(supervisorOf(runDir)), 'another supervisor')
  assert.equal(daemonPid(), old)
  await kill(old)
  assert.equal(await ask('/_ping'), 'OK')
  await replaced(old)
})

test('both killed together: nothing is lost, and several commands at once make one daemon', async () => {
  await kill(supervisorOf(runDir)!, daemonPid())
  assert.equal(supervisorOf(runDir), undefined)
  const started = await Promise.all([1, 2, 3].map(() => command('daemon', 'start')))
  assert.deepEqual(
    started.map(({ code }) => code),
    [0, 0, 0],
    started.map(({ stderr }) => stderr).join(''),
  )
  assert.equal(await docker.ok('ps', '--format', '{{.Names}}'), 'box')
  await until(() => programs().length === 1, 'one supervisor')
})

test('daemon restart: another process, the same socket', async () => {
  const [old, { ino }] = [daemonPid(), statSync(sockets.docker)]
  const restarting = command('daemon', 'restart')
  await until(() => !lives(old), 'the end of the old one')
  assert.equal(await ask('/_ping'), 'OK')
  assert.equal((await restarting).code, 0)
  await replaced(old)
  assert.equal(statSync(sockets.docker).ino, ino)
  await until(() => programs().length === 1, 'one supervisor')
})

test('daemon stop, and SIGTERM, end both; neither leaves a socket', async () => {
  for (const stop of [() => slipway('daemon', 'stop'), () => process.kill(daemonPid(), 'SIGTERM')]) {
    const old = daemonPid()
    stop()
    await until(() => !lives(old) && programs().length === 0, 'the end of both')
    assert.ok(!existsSync(sockets.docker))
    assert.ok(lives(container))
    slipway('daemon', 'start')
  }
})

test('a daemon that cannot start is tried again, later each time; daemon stop ends that', async () => {
  const log = (): string => readFileSync(join(home, 'log/daemon.log'), 'utf8')
  const tries = (): number => log().split('starting another one').length
  const obstruct = (): void => {
    rmSync(sockets.control)
    mkdirSync(sockets.control)
  }
  const [old, before] = [daemonPid(), tries()]
  obstruct()
  await kill(old)
  await until(() => tries() >= before + 2, 'a second try')
  rmSync(sockets.control, { recursive: true })
  assert.equal(await ask('/_ping'), 'OK')
  await replaced(old)

  obstruct()
  await kill(daemonPid())
  slipway('daemon', 'stop')
  await until(() => programs().length === 0, 'the end of the supervisor')
  rmSync(sockets.control, { recursive: true })
  slipway('daemon', 'start')
})

test('the systemd service is one that systemd understands', async () => {
  const unit = join(docker.dir, 'slipway-test.service')
  writeFileSync(unit, slipway('daemon', 'unit'))
  // Not every machine has systemd; the text is the same on all.
  if (existsSync('/usr/bin/systemd-analyze')) {
    const { code, stderr } = await collect('systemd-analyze', ['verify', '--man=no', unit], { env })
    assert.deepEqual([code, stderr], [0, ''])
  }
  const [, program] = /^ExecStart="(.*)" daemon run$/m.exec(readFileSync(unit, 'utf8')) ?? []
  assert.ok(existsSync(program!))
  assert.match(readFileSync(unit, 'utf8'), new RegExp(`^Environment="SLIPWAY_HOME=${home}"$`, 'm'))
})

test('as a service of systemd: it says when it serves, and that it lives until it hangs', async () => {
  slipway('daemon', 'stop')
  const name = `slipway-test-${process.pid}`
  // Node has no datagram sockets of this kind.
  const listener = `import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0${name}")
print("listening", flush=True)
while True: print(s.recv(256).decode(), flush=True)`
  const systemd = spawn('python3', ['-c', listener], { stdio: ['ignore', 'pipe', 'inherit'] })
  let heard: string[] = []
  createInterface(systemd.stdout).on('line', (word) => heard.push(word))
  const hear = (word: string): Promise<void> => until(() => heard.includes(word), word)
  await hear('listening')
  heard = []
  const service = spawn(launcher, ['daemon', 'run'], {
    env: { ...env, NOTIFY_SOCKET: `@${name}`, WATCHDOG_USEC: '200000' },
    stdio: 'ignore',
  })
  const ended = once(service, 'exit')
  try {
    await hear('READY=1')
    assert.equal(heard[0], 'READY=1')
    assert.equal(await ask('/_ping'), 'OK')
    await hear('WATCHDOG=1')
    // A runtime that had these would tell systemd about its container.
    await docker.ok('run', '--rm', 'busybox', 'true')
    const children = readFileSync(`/proc/${service.pid}/task/${service.pid}/children`, 'utf8')
      .split(' ')
      .filter(Boolean)
    for (const pid of children) assert.doesNotMatch(readFileSync(`/proc/${pid}/environ`, 'utf8'), /NOTIFY_SOCKET/)
    process.kill(service.pid!, 'SIGSTOP')
    await until(() => / T /.test(readFileSync(`/proc/${service.pid}/stat`, 'utf8')), 'its standing still')
    await sleep(100)
    heard = []
    await sleep(600)
    assert.deepEqual(heard, [])
    process.kill(service.pid!, 'SIGCONT')
    await hear('WATCHDOG=1')
    service.kill('SIGTERM')
    await hear('STOPPING=1')
  } finally {
    service.kill('SIGCONT')
    service.kill('SIGTERM')
    await ended
    systemd.kill('SIGKILL')
  }
  slipway('daemon', 'start')
})

test('a daemon has nothing open of the shell whose command started it', async () => {
  slipway('daemon', 'stop')
  const file = join(docker.dir, 'held')
  const { code, stderr } = await collect('bash', ['-c', `exec 9>${file} 200<${file}; ${launcher} daemon start`], {
    env,
  })
  assert.equal(code, 0, stderr)
  const { stdout: open } = await collect('ls', ['-l', `/proc/${daemonPid()}/fd`], { env })
  assert.ok(!open.includes(file))
})

test('reset ends a supervisor whose daemon has just died', async () => {
  const [old, watcher] = [daemonPid(), supervisorOf(runDir)!]
  await kill(old)
  endSupervisor(runDir)
  await until(() => !lives(watcher) && programs().length === 0, 'its end')
  assert.equal((await command('daemon', 'status')).code, 3)
  assert.ok(lives(container))
})
