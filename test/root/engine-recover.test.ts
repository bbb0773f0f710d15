import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerSpec } from '../../src/engine/index.ts'
import { type Bench, importBusybox, onBridge, openBench, spec, textOf } from './engine-kit.ts'

let bench: Bench
before(async () => {
  bench = await openBench()
  await importBusybox(bench.engine)
})
after(() => bench.destroy())

const containers = () => bench.engine.containers
const until = async (done: () => boolean, what: string, ms = 15_000): Promise<void> => {
  for (const end = Date.now() + ms; !done(); await sleep(20)) assert.ok(Date.now() < end, `waited in vain for: ${what}`)
}

/** Another process runs the engine on the same state; it is killed when `told` has seen enough of what it says. */
const daemon = async (specs: ContainerSpec[], told: (said: string) => boolean): Promise<ChildProcess> => {
  const at = join(bench.home, 'instance.json')
  const list = join(bench.home, 'specs.json')
  writeFileSync(at, JSON.stringify(bench.instance))
  writeFileSync(list, JSON.stringify(specs))
  const script = new URL('./engine-daemon.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, at, list], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (chunk) => {
    said += String(chunk)
  })
  await until(() => told(said) || child.exitCode !== null, 'the daemon', 60_000).catch(async (error: unknown) => {
    await killed(child)
    throw error
  })
  assert.equal(child.exitCode, null, 'the daemon ended by itself')
  return child
}
const killed = async (child: ChildProcess): Promise<void> => {
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

test('running containers survive a killed daemon, and what ended meanwhile is told', async () => {
  await bench.engine.close()
  const child = await daemon(
    [
      spec('goes-on', ['sh', '-c', 'while :; do sleep 0.2; done'], { sandbox: onBridge('goes-on') }),
      spec('ends', ['sh', '-c', 'sleep 1; echo last words; exit 9']),
      spec('comes-back', ['sh', '-c', 'sleep 1; exit 1'], { restart: { policy: 'always', maxRetries: 0 } }),
      spec('orphan', ['sleep', '1000']),
    ],
    (said) => said.includes('ready'),
  )
  await killed(child)
  await sleep(1300)
  await bench.reopen()
  const on = containers().must('goes-on')
  assert.equal(on.status, 'running')
  assert.equal((await containers().execOnce(on.id, ['echo', 'alive'])).output, 'alive\n')
  assert.ok((await containers().stats(on.id)).networks.eth0)
  await until(() => containers().must('ends').status === 'exited', 'the end of a container')
  assert.equal(containers().must('ends').exitCode, 9)
  const lines: string[] = []
  for await (const some of containers().logs('ends', {})) lines.push(...some.map(({ data }) => data.toString()))
  assert.deepEqual(lines, ['last words\n'])
  await until(
    () => containers().must('comes-back').restartCount > 0 && containers().must('comes-back').status === 'running',
    'a restart',
  )
  const io = await containers().attach(on.id, { stdin: false, stdout: true, stderr: true })
  const reading = textOf(io)
  await containers().stop(on.id, { timeoutMs: 0 })
  await reading
  assert.equal(containers().must('goes-on').exitCode, 137)
  for (const name of ['goes-on', 'ends', 'comes-back', 'orphan']) await containers().remove(name, { force: true })
})

test('a monitor and a program that are killed together are noticed', async () => {
  const { id } = await containers().create(spec('lost', ['sleep', '1000']))
  await containers().start(id)
  const { pid, paths } = containers().must(id)
  const monitor = Number(readFileSync(join(paths.bundle, 'conmon.pid'), 'utf8'))
  bench.sys.processes.kill(monitor, 'SIGKILL')
  bench.sys.processes.kill(pid, 'SIGKILL')
  await until(() => containers().must(id).status === 'exited', 'the loss')
  assert.match(containers().must(id).error, /not known/)
  await containers().start(id)
  assert.equal(containers().must(id).status, 'running')
  await containers().remove(id, { force: true })
})

test('a monitor that is killed takes its program along', async () => {
  const { id } = await containers().create(spec('unwatched', ['sleep', '1000']))
  await containers().start(id)
  const { pid, paths } = containers().must(id)
  bench.sys.processes.kill(Number(readFileSync(join(paths.bundle, 'conmon.pid'), 'utf8')), 'SIGKILL')
  await until(() => containers().must(id).status === 'exited', 'the loss')
  await until(() => bench.sys.processes.startTime(pid) === undefined, 'the end of the program')
  await containers().remove(id)
})

test('a reboot: what ran is exited, and restarted where the policy says so', async () => {
  const { id } = await containers().create(
    spec('rebooted', ['sleep', '1000'], { restart: { policy: 'unless-stopped', maxRetries: 0 } }),
  )
  const other = await containers().create(spec('down', ['sleep', '1000']))
  for (const each of [id, other.id]) await containers().start(each)
  const pids = [id, other.id].map((each) => containers().must(each).pid)
  await bench.engine.close()
  // Another boot, as far as the records say; the programs of the old one are gone.
  const { DatabaseSync } = await import('node:sqlite')
  const db = new DatabaseSync(join(bench.instance.stateDir, 'state.db'))
  db.exec(`UPDATE containers SET state = json_set(state, '$.bootId', 'another')`)
  db.close()
  for (const pid of pids) bench.sys.processes.kill(pid, 'SIGKILL')
  await sleep(200)
  await bench.reopen()
  assert.deepEqual([containers().must('down').status, containers().must('down').exitCode], ['exited', 255])
  await until(() => containers().must(id).status === 'running', 'the restart')
  assert.notEqual(containers().must(id).pid, pids[0])
  for (const each of [id, other.id]) await containers().remove(each, { force: true })
})

test('a daemon killed at any moment leaves nothing behind', async () => {
  await bench.engine.close()
  const names = Array.from({ length: 40 }, (_, i) => `victim-${i}`)
  for (const delay of [0, 11, 23, 37, 52, 71]) {
    const specs = names.map((name) =>
      spec(`${name}-${delay}`, ['sleep', '1000'], {
        mounts: [{ type: 'volume', volume: '', target: '/v', readOnly: false, copyUp: true }],
      }),
    )
    const child = await daemon(specs, (said) => said.includes('started'))
    await sleep(delay)
    await killed(child)
  }
  await bench.reopen()
  for (const container of containers().list()) {
    assert.ok(['created', 'running', 'exited'].includes(container.status), container.status)
    if (container.status === 'running')
      assert.equal((await containers().execOnce(container.id, ['echo', 'x'])).exitCode, 0)
    await containers().remove(container.id, { force: true, volumes: true })
  }
  assert.deepEqual(bench.engine.volumes.list(), [])
  assert.deepEqual(bench.engine.sandboxes.list(), [])
  const { runDir, stateDir } = bench.instance
  for (const dir of [
    join(runDir, 'containers'),
    join(stateDir, 'containers'),
    join(stateDir, 'volumes'),
    join(runDir, 'exits'),
    join(runDir, 'persist'),
    join(runDir, 'oci'),
  ])
    assert.deepEqual(readdirSync(dir), [], dir)
  const left = (await bench.engine.snapshots.list()).filter(({ state }) => state === 'active')
  assert.deepEqual(left, [])
  assert.deepEqual(bench.sys.mounts.below(join(runDir, 'containers')), [])
  assert.deepEqual(bench.sys.cgroups.pids(bench.instance.cgroupParent), [])
})
