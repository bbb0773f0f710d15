import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Container } from '../../spec/kube/generated/types.ts'
import type { ProbeTimings } from '../../spec/kube/runtime-annotation.ts'
import { container, TestClock } from './fixture.ts'
import { ProbeBoard } from './probes.ts'

const exec = (name: string, more: object = {}): object => ({
  exec: { command: [name] },
  periodSeconds: 10,
  timeoutSeconds: 1,
  failureThreshold: 3,
  successThreshold: 1,
  ...more,
})

/** A board that watches one container; `answers` says which probe commands succeed now. */
const board = (
  of: Partial<Container>,
  timing?: ProbeTimings,
  seed?: { started: boolean; ready: boolean },
  good: string[] = [],
) => {
  const clock = new TestClock()
  const told: string[] = []
  const ran: string[][] = []
  const answers = new Map(good.map((name) => [name, true]))
  const results = (): { started: boolean; ready: boolean } => made.results().get('id')!
  const made = new ProbeBoard(clock, {
    changed: () => told.push(`changed ${results().started} ${results().ready}`),
    failed: (_, kind) => told.push(`${kind} failed`),
    fatal: (_, kind) => told.push(`${kind} fatal`),
  })
  made.watch(
    {
      containerId: 'id',
      container: container(of),
      podIP: () => '10.0.0.1',
      exec: async (command) => {
        ran.push(command)
        return { exitCode: answers.get(command[0]!) ? 0 : 1, output: '' }
      },
      timing,
    },
    seed,
  )
  return { clock, told, ran, answers, results }
}

test('without probes a running container is ready', () => {
  assert.deepEqual(board({}).results(), { started: true, ready: true })
})

test('startup holds the others back; they begin when it has succeeded', async () => {
  const b = board({
    startupProbe: exec('start', { failureThreshold: 30 }),
    readinessProbe: exec('ready'),
    livenessProbe: exec('live', { failureThreshold: 1 }),
  } as Partial<Container>)
  await b.clock.advance(25_000)
  assert.ok(b.ran.every(([name]) => name === 'start'))
  for (const name of ['start', 'live']) b.answers.set(name, true)
  await b.clock.advance(2_000)
  assert.deepEqual(b.results(), { started: true, ready: false })
  b.answers.set('ready', true)
  await b.clock.advance(2_000) // tried between its periods until it succeeds for the first time
  assert.deepEqual(b.results(), { started: true, ready: true })
})

test('a startup probe that fails to the end is fatal once, and nothing is probed after it', async () => {
  const b = board({
    startupProbe: exec('start', { failureThreshold: 2 }),
    livenessProbe: exec('live'),
  } as Partial<Container>)
  await b.clock.advance(60_000)
  assert.deepEqual(b.told, ['startup failed', 'startup failed', 'startup fatal'])
  assert.ok(b.ran.every(([name]) => name === 'start'))
})

test('readiness goes after as many failures as the threshold says, and comes back', async () => {
  const b = board({ readinessProbe: exec('ready', { failureThreshold: 2, successThreshold: 2 }) } as Partial<Container>)
  b.answers.set('ready', true)
  await b.clock.advance(500)
  assert.equal(b.results().ready, true)
  b.answers.set('ready', false)
  await b.clock.advance(10_000)
  assert.equal(b.results().ready, true)
  await b.clock.advance(10_000)
  assert.equal(b.results().ready, false)
  b.answers.set('ready', true)
  await b.clock.advance(10_000)
  assert.equal(b.results().ready, false)
  await b.clock.advance(10_000)
  assert.equal(b.results().ready, true)
})

test('only failures in a row count against liveness', async () => {
  const b = board({ livenessProbe: exec('live') } as Partial<Container>, undefined, undefined, ['live'])
  await b.clock.advance(5_000) // from here on one run in each ten seconds
  for (const answer of [false, false, true, false, false]) {
    b.answers.set('live', answer)
    await b.clock.advance(10_000)
  }
  assert.ok(!b.told.includes('liveness fatal'))
  await b.clock.advance(10_000)
  assert.ok(b.told.includes('liveness fatal'))
})

test('initialDelaySeconds', async () => {
  const b = board({ livenessProbe: exec('live', { initialDelaySeconds: 7 }) } as Partial<Container>)
  await b.clock.advance(6_900)
  assert.equal(b.ran.length, 0)
  await b.clock.advance(200)
  assert.equal(b.ran.length, 1)
})

test('one run serves readiness and liveness where they are the same', async () => {
  const b = board(
    {
      readinessProbe: exec('check', { failureThreshold: 2 }),
      livenessProbe: exec('check', { failureThreshold: 4 }),
    } as Partial<Container>,
    { same: true, readiness: { periodMs: 500, timeoutMs: 100, failureThreshold: 2 } },
  )
  b.answers.set('check', true)
  await b.clock.advance(2_000)
  assert.ok(b.ran.length >= 4 && b.ran.length <= 6, String(b.ran.length))
  b.answers.set('check', false)
  await b.clock.advance(1_000)
  assert.equal(b.results().ready, false)
  assert.ok(!b.told.includes('liveness fatal'))
  await b.clock.advance(1_000)
  assert.ok(b.told.includes('liveness fatal'))
})

test('what was known before a restart of the daemon holds until a probe says otherwise', async () => {
  const probes = {
    startupProbe: exec('start'),
    readinessProbe: exec('ready', { failureThreshold: 1 }),
  } as Partial<Container>
  const b = board(probes, undefined, { started: true, ready: true })
  assert.deepEqual(b.results(), { started: true, ready: true })
  await b.clock.advance(10)
  assert.deepEqual(b.ran, [['ready']])
  assert.equal(b.results().ready, false)
})

test('a probe command sees the variables that have their value in the pod', async () => {
  const b = board({
    env: [
      { name: 'PORT', value: '80' },
      { name: 'SECRET', valueFrom: {} },
    ],
    livenessProbe: { exec: { command: ['x', '$(PORT)', '$(SECRET)', '$(OTHER)', '$$(PORT)'] } },
  } as Partial<Container>)
  await b.clock.advance(10)
  assert.deepEqual(b.ran[0], ['x', '80', '', '$(OTHER)', '$(PORT)'])
})
