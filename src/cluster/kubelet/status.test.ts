import assert from 'node:assert/strict'
import { test } from 'node:test'
import { container, now, pod, runs, seen, tried } from './fixture.ts'
import { podStatus, qosClass } from './status.ts'
import type { Observed } from './types.ts'

const statusOf = (observed: Observed) =>
  podStatus(observed, { hostIP: '10.0.0.1', podIPs: ['10.1.0.2'], qosClass: 'BestEffort' })
const conditions = (observed: Observed): string =>
  statusOf(observed)
    .conditions!.map((c) => `${c.type}=${c.status}${c.reason ? `(${c.reason})` : ''}`)
    .join(' ')
const first = (observed: Observed) => statusOf(observed).containerStatuses![0]!

test('phases', () => {
  const phase = (observed: Observed): string | undefined => statusOf(observed).phase
  assert.equal(phase(seen(pod())), 'Pending')
  assert.equal(phase(seen(pod(), { c: [runs()] })), 'Running')
  assert.equal(phase(seen(pod(), { c: [tried()] })), 'Running') // it will run again
  const never = pod({ restartPolicy: 'Never' })
  assert.equal(phase(seen(never, { c: [tried()] })), 'Failed')
  assert.equal(phase(seen(never, { c: [tried({ exitCode: 0 })] })), 'Succeeded')
  const side = pod({ restartPolicy: 'Never', initContainers: [container({ name: 's', restartPolicy: 'Always' })] })
  assert.equal(phase(seen(side, { s: [runs()], c: [tried({ exitCode: 0 })] })), 'Running')
  assert.equal(phase(seen(side, { s: [tried()], c: [tried({ exitCode: 0 })] })), 'Succeeded')
})

test('conditions of a pod on its way', () => {
  assert.equal(
    conditions(seen(pod(), {}, { sandboxReady: false })),
    'PodReadyToStartContainers=False Initialized=True ContainersReady=False(ContainersNotReady) Ready=False(ContainersNotReady)',
  )
  assert.match(conditions(seen(pod(), { c: [runs()] })), /ContainersReady=True Ready=True/)
  const inits = pod({ initContainers: [container({ name: 'i' })] })
  assert.match(conditions(seen(inits)), /Initialized=False\(ContainersNotInitialized\)/)
  assert.match(
    conditions(seen(pod({ restartPolicy: 'Never' }), { c: [tried({ exitCode: 0 })] })),
    /Ready=False\(PodCompleted\)/,
  )
  const gated = pod({ readinessGates: [{ conditionType: 'example.test/ok' }] })
  assert.match(conditions(seen(gated, { c: [runs()] })), /ContainersReady=True Ready=False\(ReadinessGatesNotReady\)/)
})

test('transition times change with the status only; conditions of others stay', () => {
  const old = '2025-12-31T00:00:00Z'
  const status = {
    conditions: [
      { type: 'Ready', status: 'True', lastTransitionTime: old },
      { type: 'ContainersReady', status: 'False', lastTransitionTime: old },
      { type: 'PodScheduled', status: 'True', lastTransitionTime: old },
    ],
  }
  const made = statusOf(seen(pod({}, { status }), { c: [runs()] })).conditions!
  const at = (type: string): string | undefined => made.find((c) => c.type === type)?.lastTransitionTime
  assert.deepEqual([at('Ready'), at('ContainersReady'), at('PodScheduled')], [old, '2026-01-02T03:04:05Z', old])
})

test('back-off is a waiting state that tells of the last end', () => {
  const waiting = first(seen(pod(), { c: [tried({ attempt: 4, streak: 4 })] }))
  assert.deepEqual(waiting.state, {
    waiting: {
      reason: 'CrashLoopBackOff',
      message: 'back-off 1m20s restarting failed container=c pod=p_ns(uid)',
    },
  })
  assert.equal(waiting.lastState!.terminated!.exitCode, 1)
  assert.equal(waiting.restartCount, 4)
})

test('how a container ended', () => {
  const end = (more: Parameters<typeof tried>[0], words?: string) =>
    first(
      seen(
        pod({ restartPolicy: 'Never' }),
        { c: [tried(more)] },
        { lastWords: new Map(words ? [['id-0', words]] : []) },
      ),
    ).state!.terminated!
  assert.deepEqual([end({ exitCode: 0 }).reason, end({}).reason], ['Completed', 'Error'])
  assert.deepEqual([end({ oomKilled: true, exitCode: 137 }).reason], ['OOMKilled'])
  assert.equal(end({}, 'why').message, 'why')
  const unstarted = end({ status: 'created', startedAt: undefined, error: 'no such file', exitCode: 127 })
  assert.deepEqual([unstarted.reason, unstarted.exitCode, unstarted.message], ['StartError', 128, 'no such file'])
})

test('probes decide on started and ready', () => {
  const probed = pod({
    containers: [container({ startupProbe: { exec: {} }, readinessProbe: { exec: {} } })],
  })
  const flags = (probes?: { started: boolean; ready: boolean }) => {
    const s = first(seen(probed, { c: [runs()] }, { probes: new Map(probes ? [['id-0', probes]] : []) }))
    return [s.started, s.ready]
  }
  assert.deepEqual(flags(), [false, false])
  assert.deepEqual(flags({ started: true, ready: false }), [true, false])
  assert.deepEqual(flags({ started: true, ready: true }), [true, true])
})

test('what removed containers said stays known', () => {
  const terminated = { exitCode: 3, reason: 'Error', containerID: 'slipway://old', finishedAt: '', startedAt: '' }
  const status = {
    containerStatuses: [
      {
        name: 'c',
        image: '',
        imageID: '',
        ready: false,
        restartCount: 2,
        containerID: 'slipway://old',
        state: { terminated },
      },
    ],
  }
  const fresh = first(seen(pod({}, { status }), { c: [runs({ attempt: 3 })] }))
  assert.deepEqual([fresh.restartCount, fresh.lastState!.terminated!.exitCode], [3, 3])
})

test('a pod past its deadline', () => {
  const late = pod({ activeDeadlineSeconds: 5 }, { status: { startTime: '2026-01-02T03:04:00Z' } })
  assert.equal(statusOf(seen(late, { c: [runs()] })).phase, 'Running') // until the last one has ended
  const ended = statusOf(seen(late, { c: [tried({ exitCode: 143 })] }, { now }))
  assert.deepEqual([ended.phase, ended.reason], ['Failed', 'DeadlineExceeded'])
})

test('quality of service', () => {
  const of = (...all: object[]): string =>
    qosClass(pod({ containers: all.map((resources) => container({ resources })) }))
  const full = { cpu: '1', memory: '1Gi' }
  assert.equal(of({}), 'BestEffort')
  assert.equal(of({ limits: full }), 'Guaranteed')
  assert.equal(of({ limits: full, requests: { cpu: '500m' } }), 'Burstable')
  assert.equal(of({ limits: full }, {}), 'Burstable')
})
