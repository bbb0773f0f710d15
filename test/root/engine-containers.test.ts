import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EngineEvent, LogLine } from '../../src/engine/index.ts'
import { isError } from '../../src/errors.ts'
import { type Bench, importBusybox, onBridge, openBench, runToEnd, spec, textOf } from './engine-kit.ts'

let bench: Bench
before(async () => {
  bench = await openBench()
  await importBusybox(bench.engine)
})
after(() => bench.destroy())

const containers = () => bench.engine.containers
const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
const until = async (done: () => boolean, what: string, ms = 10_000): Promise<void> => {
  for (const end = Date.now() + ms; !done(); await sleep(20)) assert.ok(Date.now() < end, `waited in vain for: ${what}`)
}
const exec = async (id: string, args: string[], more = {}) => {
  const { id: execId } = await containers().createExec(id, {
    args,
    tty: false,
    stdin: false,
    stdout: true,
    stderr: true,
    ...more,
  })
  const io = await containers().startExec(execId)
  const output = await textOf(io)
  return { ...output, exitCode: await containers().waitExec(execId) }
}

test('output, exit code, streams, environment, host name', async () => {
  const script = 'echo out; echo err >&2; echo $HOSTNAME $FOO $HOME; hostname; pwd; exit 3'
  const run = await runToEnd(
    bench.engine,
    spec('first', ['sh', '-c', script], { env: ['FOO=bar'], workingDir: '/new/dir' }),
  )
  assert.deepEqual([run.exitCode, run.stderr], [3, 'err\n'])
  assert.equal(run.stdout, 'out\nfirst bar /root\nfirst\n/new/dir\n')
  const container = containers().must('first')
  assert.equal(container.status, 'exited')
  assert.equal(containers().must(run.id.slice(0, 12)).id, run.id)
  assert.equal(containers().must('/first').id, run.id)
  await assert.rejects(
    containers().create(spec('first', ['true'])),
    (error) => isError(error, 'conflict') && /already in use/.test(error.message),
  )
  await containers().remove(run.id)
  assert.equal(existsSync(container.paths.bundle), false)
  assert.throws(
    () => containers().must('first'),
    (error) => isError(error, 'not-found') && /No such container: first/.test(error.message),
  )
  await assert.rejects(containers().create(spec('none', ['true'], { image: 'nope' })), (error) =>
    isError(error, 'not-found'),
  )
})

test('a command that is not there is 127, one that cannot be run 126', async () => {
  for (const [cmd, code] of [
    ['nosuch', 127],
    ['/bin/nosuch', 127],
    ['/etc/plain', 126],
  ] as const) {
    const { id } = await containers().create(spec(`code-${code}`, [cmd]))
    await assert.rejects(containers().start(id), (error) => isError(error, 'bad-request'))
    assert.equal(containers().must(id).exitCode, code, cmd)
    assert.equal(containers().must(id).status, 'created')
    await containers().remove(id)
  }
})

test('events in order, with attributes', async () => {
  const seen: EngineEvent[] = []
  const off = bench.engine.events.on((event) => event.type === 'container' && seen.push(event))
  const { id } = await runToEnd(bench.engine, spec('eventful', ['sh', '-c', 'exit 4'], { labels: { a: 'b' } }))
  await containers().remove(id)
  off()
  assert.deepEqual(
    seen.map(({ action }) => action),
    ['create', 'attach', 'start', 'die', 'destroy'],
  )
  const { image, name, a, exitCode } = seen[3]!.attributes
  assert.deepEqual({ image, name, a, exitCode }, { image: 'busybox:latest', name: 'eventful', a: 'b', exitCode: '4' })
})

test('stdin: bytes, half close, and more than a packet', async () => {
  const { id } = await containers().create(spec('stdin', ['wc', '-c'], { stdin: true, stdinOnce: true }))
  const io = await containers().attach(id, { stdin: true, stdout: true, stderr: true })
  const output = textOf(io)
  const done = containers().wait(id, 'next-exit')
  await containers().start(id)
  io.stdin!.write(Buffer.alloc(1_000_000, 'x'))
  io.stdin!.end('tail')
  assert.equal((await output).stdout.trim(), '1000004')
  assert.equal((await done).exitCode, 0)
  await containers().remove(id)
})

test('much output reaches a slow reader whole', async () => {
  const { id } = await containers().create(spec('flood', ['sh', '-c', 'seq 1 300000']))
  const io = await containers().attach(id, { stdin: false, stdout: true, stderr: true })
  await containers().start(id)
  let size = 0
  let count = 0
  for await (const { data } of io.output) {
    size += data.length
    if (count++ % 50 === 0) await sleep(5)
  }
  assert.equal(size, 1_988_895)
  await containers().remove(id, { force: true })
})

test('a terminal: size, resize, attach and detach', async () => {
  const { id } = await containers().create(spec('term', ['sh'], { tty: true, stdin: true, stdinOnce: false }))
  const io = await containers().attach(id, { stdin: true, stdout: true, stderr: true })
  await containers().start(id)
  await io.resize({ width: 123, height: 45 })
  let text = ''
  const reading = (async () => {
    for await (const { data } of io.output) text += data.toString()
  })()
  io.stdin!.write('stty size; tty\n')
  await until(() => text.includes('45 123') && text.includes('/dev/pts/0'), 'the size of the terminal')
  io.close()
  await reading
  assert.equal(containers().must(id).status, 'running')
  const again = await containers().attach(id, { stdin: true, stdout: true, stderr: true })
  const rest = textOf(again)
  again.stdin!.write('echo back; exit 7\n')
  assert.match((await rest).stdout, /back/)
  await until(() => containers().must(id).status === 'exited', 'the end')
  assert.equal(containers().must(id).exitCode, 7)
  await containers().remove(id)
})

test('exec: streams, codes, users, stdin, terminal, timeouts', async () => {
  const { id } = await containers().create(spec('execs', ['sleep', '1000'], { env: ['A=1'] }))
  await assert.rejects(
    exec(id, ['true']),
    (error) => isError(error, 'conflict') && /is not running/.test(error.message),
  )
  await containers().start(id)
  assert.deepEqual(await exec(id, ['sh', '-c', 'echo o; echo e >&2; exit 5']), {
    stdout: 'o\n',
    stderr: 'e\n',
    exitCode: 5,
  })
  assert.deepEqual(await exec(id, ['sh', '-c', 'echo to-dev > /dev/stderr']), {
    stdout: '',
    stderr: 'to-dev\n',
    exitCode: 0,
  })
  assert.equal(
    (await exec(id, ['sh', '-c', 'echo $A $B; id; pwd'], { env: ['B=2'], user: 'app', workingDir: '/tmp' })).stdout,
    '1 2\nuid=1000(app) gid=1000(app) groups=1000(app),2000(extra)\n/tmp\n',
  )
  const missing = await exec(id, ['nosuch'])
  assert.equal(missing.exitCode, 127)
  assert.match(missing.stdout, /executable file not found in \$PATH/)
  assert.equal((await exec(id, ['/etc/plain'])).exitCode, 126)
  await assert.rejects(exec(id, ['true'], { user: 'nobody-here' }), /unable to find user nobody-here/)

  const cat = await containers().createExec(id, { args: ['cat'], tty: false, stdin: true, stdout: true, stderr: true })
  const io = await containers().startExec(cat.id)
  io.stdin!.end('through')
  assert.equal((await textOf(io)).stdout, 'through')

  const tty = await containers().createExec(id, {
    args: ['sh', '-c', 'stty size; read x; echo got $x; exit 9'],
    tty: true,
    stdin: true,
    stdout: true,
    stderr: true,
  })
  const terminal = await containers().startExec(tty.id, { size: { width: 100, height: 30 } })
  terminal.stdin!.write('word\n')
  assert.match((await textOf(terminal)).stdout, /30 100[\s\S]*got word/)
  assert.equal(await containers().waitExec(tty.id), 9)
  const lost = await containers().createExec(id, {
    args: ['nosuch'],
    tty: true,
    stdin: false,
    stdout: true,
    stderr: true,
  })
  assert.match((await textOf(await containers().startExec(lost.id))).stdout, /not found/)
  assert.equal(await containers().waitExec(lost.id), 127)

  assert.deepEqual(await containers().execOnce(id, ['echo', 'once']), { exitCode: 0, output: 'once\n' })
  const before = bench.sys.cgroups.pids(containers().must(id).cgroup).length
  await assert.rejects(containers().execOnce(id, ['sh', '-c', 'sleep 77 & sleep 77'], { timeoutMs: 200 }), (error) =>
    isError(error, 'timeout'),
  )
  await until(
    () => bench.sys.cgroups.pids(containers().must(id).cgroup).length === before,
    'the end of what the timeout killed',
  )
  await containers().remove(id, { force: true })
})

const logLines = async (...args: Parameters<ReturnType<typeof containers>['logs']>): Promise<LogLine[]> =>
  (await collect(containers().logs(...args))).flat()

test('logs: tail, since, follow, streams', async () => {
  const script = 'for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2; sleep 0.3; echo late'
  const { id } = await containers().create(spec('logs', ['sh', '-c', script]))
  const text = (lines: LogLine[]): string => lines.map(({ data }) => data.toString()).join('')
  await containers().start(id)
  const followed = await logLines(id, { follow: true })
  assert.match(text(followed), /^line 1\n[\s\S]*late\n$/)
  assert.match(followed[0]!.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/)
  assert.equal(text(await logLines(id, { tail: 2, stderr: false })), 'late\n')
  assert.equal(text(await logLines(id, { tail: 3 })), 'line 5\nbad\nlate\n')
  assert.equal(text(await logLines(id, { stdout: false })), 'bad\n')
  const late = Date.parse(followed.at(-1)!.time)
  assert.equal(text(await logLines(id, { since: late })), 'late\n')
  assert.equal((await logLines(id, { until: late - 1 })).length, 6)
  assert.equal((await logLines(id, { tail: 0 })).length, 0)
  await containers().remove(id, { force: true })
})

test('logs are rotated and read across their files', async () => {
  const { id } = await containers().create(
    spec('rotate', ['sh', '-c', 'seq 1 20000; sleep 5; seq 20001 40000'], {
      log: { driver: 'json-file', maxSize: 300_000, maxFiles: 4, options: {} },
    }),
  )
  await containers().start(id)
  const { log } = containers().must(id).paths
  await until(() => existsSync(`${log}.1`), 'a rotated file')
  const lines = await logLines(id, { follow: true })
  const full = lines.filter(({ partial }) => !partial)
  assert.deepEqual([full.length, full.at(-1)!.data.toString()], [40_000, '40000\n'])
  const whole = Buffer.concat(lines.map(({ data }) => data)).toString()
  assert.equal(whole, Array.from({ length: 40_000 }, (_, i) => `${i + 1}\n`).join(''))
  const tail = await logLines(id, { tail: 25_000 })
  assert.deepEqual([tail.filter(({ partial }) => !partial).length, tail[0]!.data.toString()], [25_000, '15001\n'])
  await containers().remove(id, { force: true })
})

test('stop, kill, pause, restart, update, rename, top, stats', async () => {
  const trap = 'trap "exit 12" TERM; echo ready; while :; do sleep 0.1; done'
  // Without its trap a process 1 does not even notice the signal.
  const ready = (times: number) =>
    until(() => readFileSync(containers().must(id).paths.log, 'utf8').split('ready').length > times, 'the trap')
  const { id } = await containers().create(
    spec('steady', ['sh', '-c', trap], { sandbox: onBridge('steady'), resources: { memory: 64 << 20, pidsLimit: 50 } }),
  )
  assert.deepEqual(await containers().start(id), { changed: true })
  assert.deepEqual(await containers().start(id), { changed: false })
  const stats = await containers().stats(id)
  assert.equal(stats.cgroup.memoryLimitBytes, 64 << 20)
  assert.equal(stats.cgroup.pidsLimit, 50)
  assert.ok(stats.networks.eth0 && stats.cgroup.pids >= 1)
  await ready(1) // before that it may still be the runtime that is about to become it
  assert.ok((await containers().top(id, [])).processes.some((row) => row.join(' ').includes('trap')))
  await containers().update(id, { resources: { memory: 32 << 20, memorySwap: 64 << 20 } })
  assert.equal((await containers().stats(id)).cgroup.memoryLimitBytes, 32 << 20)
  await containers().pause(id)
  await assert.rejects(containers().execOnce(id, ['true']), (error) => isError(error, 'conflict'))
  await containers().unpause(id)
  await containers().rename(id, 'steadier')
  assert.equal(containers().get('steady'), undefined)
  const pid = containers().must('steadier').pid
  await containers().restart(id)
  assert.notEqual(containers().must(id).pid, pid)
  await ready(2)
  await assert.rejects(containers().remove(id), (error) => isError(error, 'conflict'))
  assert.deepEqual(await containers().stop(id), { changed: true })
  assert.equal(containers().must(id).exitCode, 12)
  assert.deepEqual(await containers().stop(id), { changed: false })
  await assert.rejects(containers().kill(id, 'KILL'), (error) => isError(error, 'conflict'))
  await containers().remove(id)
})

test('a stop that is ignored ends in SIGKILL', async () => {
  const { id } = await containers().create(spec('stubborn', ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done']))
  await containers().start(id)
  await containers().stop(id, { timeoutMs: 100 })
  assert.equal(containers().must(id).exitCode, 137)
  await containers().remove(id)
})

test('restart policies and --rm', async () => {
  const { id } = await containers().create(
    spec('again', ['sh', '-c', 'exit 1'], { restart: { policy: 'on-failure', maxRetries: 2 } }),
  )
  // As docker: who waits for the end has seen it, whatever the policy does then.
  const done = containers().wait(id, 'next-exit')
  await containers().start(id)
  assert.equal((await done).exitCode, 1)
  await until(() => containers().must(id).status === 'exited', 'the last try')
  assert.equal(containers().must(id).restartCount, 2)
  await containers().remove(id)

  const always = await containers().create(
    spec('always', ['sleep', '0.05'], { restart: { policy: 'always', maxRetries: 0 } }),
  )
  await containers().start(always.id)
  await until(() => containers().must(always.id).restartCount >= 1, 'a restart')
  await containers().stop(always.id)
  assert.equal(containers().must(always.id).status, 'exited')
  await containers().remove(always.id)

  const gone = await containers().create(spec('gone', ['true'], { autoRemove: true }))
  const removed = containers().wait(gone.id, 'removed')
  await containers().start(gone.id)
  assert.equal((await removed).exitCode, 0)
  assert.equal(containers().get(gone.id), undefined)
})

test('health checks', async () => {
  const events: string[] = []
  const off = bench.engine.events.on(({ action }) => action.startsWith('health_status') && events.push(action))
  const healthcheck = { Test: ['CMD-SHELL', 'test -e /tmp/ok && echo fine'], Interval: 5e7, Retries: 2, Timeout: 1e9 }
  const { id } = await containers().create(spec('healthy', ['sleep', '100'], { healthcheck }))
  await containers().start(id)
  assert.equal(containers().must(id).health?.status, 'starting')
  await until(() => containers().must(id).health?.status === 'unhealthy', 'unhealthy')
  await containers().execOnce(id, ['touch', '/tmp/ok'])
  await until(() => containers().must(id).health?.status === 'healthy', 'healthy')
  assert.equal(containers().must(id).health?.log.at(-1)?.output, 'fine\n')
  off()
  assert.deepEqual(events, ['health_status: unhealthy', 'health_status: healthy'])
  await containers().remove(id, { force: true })
})

test('out of memory is told', async () => {
  const { id } = await containers().create(
    spec('hungry', ['sh', '-c', 'tail /dev/zero'], { resources: { memory: 16 << 20, memorySwap: 16 << 20 } }),
  )
  const done = containers().wait(id, 'next-exit')
  await containers().start(id)
  assert.equal((await done).exitCode, 137)
  assert.equal(containers().must(id).oomKilled, true)
  await containers().remove(id)
})
