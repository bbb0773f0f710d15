import assert from 'node:assert/strict'
import { test } from 'node:test'
import { delay, goDuration, nextStart, streakAfter } from './backoff.ts'
import { container, now, pod, runs, seen, tried } from './fixture.ts'
import { isOver, plan, type Step } from './plan.ts'

const text = (steps: Step[]): string =>
  steps
    .map((s) => {
      if (s.do === 'start-container') return `start ${s.name}#${s.attempt}`
      if (s.do === 'kill-container') return `kill ${s.name}`
      return s.do === 'look-again' ? `wait ${(s.at - now) / 1000}s` : s.do
    })
    .join(', ')

test('back-off: at once, 10 s, doubling to 5 min, and forgotten after a long run', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7, 8].map(delay), [0, 10e3, 20e3, 40e3, 80e3, 160e3, 300e3, 300e3])
  const short = { startedAt: 0, finishedAt: 1000, streak: 2 }
  assert.equal(streakAfter(short), 3)
  assert.equal(nextStart(short), 21_000)
  assert.equal(streakAfter({ ...short, finishedAt: 600_000 }), 0)
  assert.deepEqual([10_000, 80_000, 160_000, 300_000].map(goDuration), ['10s', '1m20s', '2m40s', '5m0s'])
})

test('a pod starts with its sandbox, then its containers', () => {
  assert.equal(text(plan(seen(pod(), {}, { sandboxReady: false }))), 'start-sandbox')
  assert.equal(text(plan(seen(pod()))), 'start c#0')
  assert.equal(text(plan(seen(pod(), { c: [runs()] }))), '')
})

test('restart policies', () => {
  const failed = { c: [tried()] }
  const good = { c: [tried({ exitCode: 0 })] }
  assert.equal(text(plan(seen(pod(), failed))), 'start c#1')
  assert.equal(text(plan(seen(pod(), good))), 'start c#1')
  assert.equal(text(plan(seen(pod({ restartPolicy: 'OnFailure' }), failed))), 'start c#1')
  assert.equal(text(plan(seen(pod({ restartPolicy: 'OnFailure' }), good))), 'stop-sandbox')
  assert.equal(text(plan(seen(pod({ restartPolicy: 'Never' }), failed))), 'stop-sandbox')
  assert.equal(text(plan(seen(pod(), { c: [tried({ attempt: 3, streak: 3 })] }))), 'wait 40s')
})

test('the restart count goes on where the API remembers it', () => {
  const status = {
    containerStatuses: [
      { name: 'c', image: '', imageID: '', ready: false, restartCount: 4, containerID: 'slipway://x' },
    ],
  }
  assert.equal(text(plan(seen(pod({}, { status })))), 'start c#5')
})

test('init containers come one after another', () => {
  const inits = pod({ initContainers: [container({ name: 'a' }), container({ name: 'b' })] })
  const good = tried({ exitCode: 0 })
  assert.equal(text(plan(seen(inits))), 'start a#0')
  assert.equal(text(plan(seen(inits, { a: [runs()] }))), '')
  assert.equal(text(plan(seen(inits, { a: [good] }))), 'start b#0')
  assert.equal(text(plan(seen(inits, { a: [good], b: [good] }))), 'start c#0')
  assert.equal(text(plan(seen(inits, { a: [tried()] }))), 'start a#1')
  const never = pod({ restartPolicy: 'Never', initContainers: [container({ name: 'a' })] })
  assert.equal(text(plan(seen(never, { a: [tried()] }))), 'stop-sandbox')
  // Once the main container has run, nobody initializes again.
  assert.equal(text(plan(seen(inits, { c: [runs()] }))), '')
})

test('a sidecar holds the next one back until it has started, and outlives the main containers', () => {
  const probe = { exec: { command: ['true'] } }
  const side = container({ name: 's', restartPolicy: 'Always', startupProbe: probe })
  const with_ = pod({ restartPolicy: 'Never', initContainers: [side] })
  const s = [runs({ id: 'side' })]
  assert.equal(text(plan(seen(with_))), 'start s#0')
  assert.equal(text(plan(seen(with_, { s }))), '')
  const started = { probes: new Map([['side', { started: true, ready: true }]]) }
  assert.equal(text(plan(seen(with_, { s }, started))), 'start c#0')
  assert.equal(text(plan(seen(with_, { s: [tried()], c: [runs()] }))), 'start s#1')
  assert.equal(text(plan(seen(with_, { s, c: [tried({ exitCode: 0 })] }))), 'kill s')
})

test('a deadline ends the pod', () => {
  const late = pod({ activeDeadlineSeconds: 5 }, { status: { startTime: '2026-01-02T03:04:00Z' } })
  assert.equal(text(plan(seen(late, { c: [runs()] }))), 'kill c')
  const early = pod({ activeDeadlineSeconds: 9 }, { status: { startTime: '2026-01-02T03:04:00Z' } })
  assert.equal(text(plan(seen(early, { c: [runs()] }))), 'wait 4s')
})

test('who is condemned or has another image now is killed; ended pods never start again', () => {
  const condemned = new Map([['id-0', { message: 'liveness' }]])
  assert.equal(text(plan(seen(pod(), { c: [runs()] }, { condemned }))), 'kill c')
  assert.equal(text(plan(seen(pod(), { c: [runs({ image: 'web:0' })] }))), 'kill c')
  assert.ok(isOver(pod({}, { status: { phase: 'Failed' } }), new Map(), now))
})

test('ephemeral containers start once, also beside init containers', () => {
  const debugged = pod({
    initContainers: [container({ name: 'a' })],
    ephemeralContainers: [{ name: 'e', image: 'web:1' }],
  })
  assert.equal(text(plan(seen(debugged, { a: [runs()] }))), 'start e#0')
  assert.equal(text(plan(seen(debugged, { a: [runs()], e: [tried()] }))), '')
})
