import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exceeded, freshHealth, healthPlan, nextHealth } from './health.ts'
import { parsePs } from './inspect.ts'
import { commandLine, environment, mergeEnv, runtimeEnv } from './process.ts'
import type { ContainerRecord } from './records.ts'
import { recoveryOf } from './recover.ts'
import { nextDelay, shouldRestart } from './restart.ts'

test('command lines', () => {
  const image = { Entrypoint: ['/entry'], Cmd: ['serve'] }
  assert.deepEqual(commandLine({}, image), ['/entry', 'serve'])
  assert.deepEqual(commandLine({ cmd: ['x'] }, image), ['/entry', 'x'])
  assert.deepEqual(commandLine({ entrypoint: ['sh'] }, image), ['sh'])
  assert.deepEqual(commandLine({ entrypoint: [''], cmd: ['x'] }, image), ['x'])
  assert.deepEqual(commandLine({ entrypoint: [], cmd: [] }, image), image.Cmd)
  assert.deepEqual(commandLine({ cmd: [] }, image), [...image.Entrypoint, ...image.Cmd])
  assert.throws(() => commandLine({}, {}), /no command specified/)
})

test('environment: who wins, what is added', () => {
  assert.deepEqual(mergeEnv(['A=1', 'B=2', 'C=3'], ['B=x=y', 'C', 'D=']), ['A=1', 'B=x=y', 'C', 'D='])
  assert.deepEqual(environment({ env: ['A=2', 'C'] }, { Env: ['A=1', 'B=1', 'C=1'] }), [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'A=2',
    'C',
    'B=1',
  ])
  assert.deepEqual(runtimeEnv(['A=1', 'PATH=/p', 'TERM=vt'], { hostname: 'h', tty: true, home: '/root' }), [
    'PATH=/p',
    'HOSTNAME=h',
    'TERM=vt',
    'A=1',
    'HOME=/root',
  ])
  const without = environment({ env: ['HOSTNAME', 'PATH', 'HOME='] }, { Env: ['A=1', 'PATH=/p'] })
  assert.deepEqual(runtimeEnv(without, { hostname: 'h', tty: false, home: '/h' }), ['A=1', 'HOME=/h'])
  assert.ok(runtimeEnv(['HOME=/mine'], { hostname: undefined, tty: false, home: '/root' }).includes('HOME=/mine'))
})

test('restart policy and backoff', () => {
  const on = { policy: 'on-failure', maxRetries: 2 } as const
  assert.deepEqual([shouldRestart(on, 0, 0), shouldRestart(on, 1, 1), shouldRestart(on, 1, 2)], [false, true, false])
  assert.equal(shouldRestart({ policy: 'on-failure', maxRetries: 0 }, 1, 99), true)
  assert.equal(shouldRestart({ policy: 'always', maxRetries: 0 }, 0, 0), true)
  assert.equal(shouldRestart({ policy: 'no', maxRetries: 0 }, 1, 0), false)
  const delays: number[] = []
  for (let delay = 0, i = 0; i < 12; i++) delays.push((delay = nextDelay(delay, 0)))
  assert.deepEqual([delays[0], delays[1], delays[9], delays[10], delays[11]], [100, 200, 51_200, 60_000, 60_000])
  assert.equal(nextDelay(51_200, 10_000), 100)
})

test('health: a check that took too long is told as docker tells it', () => {
  const words = (timeoutMs: number, output: string): string => exceeded({ timeoutMs }, { output })
  assert.equal(words(50, 'logs\n'), 'Health check exceeded timeout (50ms): logs\n')
  assert.equal(words(90_500, ''), 'Health check exceeded timeout (1m30.5s)')
  assert.equal(words(3_600_000, ''), 'Health check exceeded timeout (1h0m0s)')
})

test('health: inheritance, start period, retries', () => {
  const image = { Test: ['CMD-SHELL', 'curl x'], Interval: 7e9, Retries: 5 }
  assert.deepEqual(healthPlan(undefined, image), {
    args: ['/bin/sh', '-c', 'curl x'],
    intervalMs: 7000,
    timeoutMs: 30_000,
    startPeriodMs: 0,
    startIntervalMs: 5000,
    retries: 5,
  })
  assert.deepEqual(healthPlan({ Timeout: 2e9 }, image)?.timeoutMs, 2000)
  assert.equal(healthPlan({ Test: ['NONE'] }, image), undefined)
  assert.equal(healthPlan(undefined, undefined), undefined)
  assert.deepEqual(healthPlan({ Test: ['CMD', 'a', 'b'] }, undefined)?.args, ['a', 'b'])
  const plan = { ...healthPlan(undefined, image)!, startPeriodMs: 1000, retries: 2 }
  const at = (start: number, exitCode: number) => ({ start, end: start, exitCode, output: '' })
  const early = nextHealth(freshHealth, at(500, 1), plan, 0)
  assert.deepEqual([early.status, early.failingStreak, early.log.length], ['starting', 0, 1])
  const once = nextHealth(early, at(2000, 1), plan, 0)
  const twice = nextHealth(once, at(3000, 1), plan, 0)
  assert.deepEqual([once.status, twice.status, twice.failingStreak], ['starting', 'unhealthy', 2])
  let state = nextHealth(twice, at(4000, 0), plan, 0)
  assert.deepEqual([state.status, state.failingStreak], ['healthy', 0])
  for (let i = 0; i < 9; i++) state = nextHealth(state, at(i, 0), plan, 0)
  assert.equal(state.log.length, 5)
})

test('what a new daemon does about a container', () => {
  const record = (status: string, more: object = {}, policy = 'no', autoRemove = false): ContainerRecord =>
    ({
      status,
      startedAt: 1,
      spec: { restart: { policy }, autoRemove },
      internal: { complete: true, stopped: false, pid: 0, bootId: 'now', ...more },
    }) as unknown as ContainerRecord
  const rows: [ContainerRecord, string][] = [
    [record('created', { complete: false }), 'drop'],
    [record('removing'), 'drop'],
    [record('exited', {}, 'no', true), 'drop'],
    [record('running'), 'follow'],
    [record('paused'), 'follow'],
    [record('running', { bootId: 'before' }), 'rebooted'],
    [record('restarting'), 'restart'],
    [record('exited'), 'leave'],
    [record('exited', { stopped: true }, 'always'), 'restart'],
    [record('exited', { stopped: true }, 'unless-stopped'), 'leave'],
    [record('exited', {}, 'unless-stopped'), 'restart'],
    [record('created', { pid: 7 }), 'abandon'],
  ]
  for (const [row, wanted] of rows)
    assert.equal(recoveryOf(row, 'now'), wanted, `${row.status} ${JSON.stringify(row.internal)}`)
})

test('ps output, kept to the pids of the container', () => {
  const text =
    'UID          PID    PPID  C CMD\nroot           1       0  0 sleep 5\nroot          42       1  0 sh -c  a b\n'
  assert.deepEqual(parsePs(text, new Set([42])), {
    titles: ['UID', 'PID', 'PPID', 'C', 'CMD'],
    processes: [['root', '42', '1', '0', 'sh -c a b']],
  })
  assert.throws(() => parsePs('A B\n', new Set()), /PID/)
})
