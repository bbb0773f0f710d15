import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Job, JobSpec, JobStatus, Pod } from '../../../spec/kube/generated/types.ts'
import { formatIndexes, indexKey, parseIndexes } from './indexes.ts'
import { type JobPlan, planJob } from './plan.ts'
import { tracking } from './tally.ts'

const now = Date.parse('2026-01-01T12:00:00Z')
const job = (spec: Partial<JobSpec> = {}, status: JobStatus = {}): Job => ({
  metadata: { name: 'j', namespace: 'default', uid: 'j' },
  spec: {
    completions: 1,
    parallelism: 1,
    backoffLimit: 6,
    template: { spec: { containers: [], restartPolicy: 'Never' } },
    ...spec,
  },
  status,
})
let uids = 0
const pod = (
  phase: string,
  more: { index?: number; tracked?: boolean; going?: boolean; ago?: number; uid?: string } = {},
): Pod => {
  const { index, tracked = true, going, ago = 3600, uid = `p${++uids}` } = more
  const finishedAt = new Date(now - ago * 1000).toISOString()
  return {
    metadata: {
      name: uid,
      uid,
      namespace: 'default',
      ...(index === undefined ? {} : { annotations: { [indexKey]: String(index) } }),
      ...(tracked ? { finalizers: [tracking] } : {}),
      ...(going ? { deletionTimestamp: finishedAt } : {}),
    },
    status: {
      phase,
      containerStatuses: [
        {
          name: 'a',
          image: '',
          imageID: '',
          ready: false,
          restartCount: 0,
          state: { terminated: { exitCode: 1, finishedAt } },
        },
      ],
    },
  }
}
const text = (plan: JobPlan): string => {
  const { active = 0, succeeded = 0, failed = 0, conditions = [] } = plan.status
  const create = plan.create.map(({ index }) => index ?? '*').join(',')
  const ends = conditions.filter(({ status }) => status === 'True').map(({ type, reason }) => `${type}:${reason}`)
  return `active ${active} succeeded ${succeeded} failed ${failed}; create [${create}] remove ${plan.remove.length} untrack ${plan.untrack.length}${ends.length ? ` ${ends.join(' ')}` : ''}`
}

test('index lists', () => {
  assert.deepEqual([...parseIndexes('1,3-5,9')], [1, 3, 4, 5, 9])
  assert.equal(formatIndexes([5, 3, 4, 9, 1, 1]), '1,3-5,9')
  assert.equal(formatIndexes([]), '')
})

test('as many pods as may run and are still needed', () => {
  assert.equal(
    text(planJob(job({ completions: 5, parallelism: 2 }), [], now)),
    'active 2 succeeded 0 failed 0; create [*,*] remove 0 untrack 0',
  )
  assert.equal(
    text(planJob(job({ completions: 5, parallelism: 3 }, { succeeded: 4 }), [], now)),
    'active 1 succeeded 4 failed 0; create [*] remove 0 untrack 0',
  )
  assert.equal(
    text(planJob(job({ completions: 5, parallelism: 1 }), [pod('Running'), pod('Running')], now)),
    'active 1 succeeded 0 failed 0; create [] remove 1 untrack 0',
  )
})

test('a finished pod is first noted, then freed, then counted; a pod that vanishes after it was noted still counts', () => {
  const done = pod('Succeeded')
  const first = planJob(job(), [done], now)
  assert.deepEqual(first.status.uncountedTerminatedPods, { succeeded: [done.metadata.uid] })
  assert.equal(
    text(first),
    'active 0 succeeded 0 failed 0; create [] remove 0 untrack 1 SuccessCriteriaMet:CompletionsReached',
  )
  const freed = { ...done, metadata: { ...done.metadata, finalizers: [] } }
  for (const pods of [[freed], []]) {
    const second = planJob(job({}, first.status), pods, now)
    assert.equal(
      text(second),
      'active 0 succeeded 1 failed 0; create [] remove 0 untrack 0 SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached',
    )
    assert.ok(second.status.completionTime)
  }
})

test('a failed pod is replaced after 10 s, the next after 20 s', () => {
  const one = planJob(job(), [pod('Failed', { ago: 4 })], now)
  assert.deepEqual([one.create.length, one.again], [0, 6000])
  const two = planJob(job(), [pod('Failed', { ago: 30 }), pod('Failed', { ago: 4 })], now)
  assert.deepEqual([two.create.length, two.again], [0, 16_000])
  assert.equal(planJob(job(), [pod('Failed', { ago: 11 })], now).create.length, 1)
})

test('more failures than the limit fail the Job once its other pods are gone', () => {
  const running = pod('Running')
  const first = planJob(
    job({ backoffLimit: 1, parallelism: 2, completions: 4 }, { failed: 1 }),
    [running, pod('Failed')],
    now,
  )
  assert.equal(
    text(first),
    'active 0 succeeded 0 failed 1; create [] remove 1 untrack 1 FailureTarget:BackoffLimitExceeded',
  )
  const status = { ...first.status, uncountedTerminatedPods: {}, failed: 2 }
  assert.match(text(planJob(job({ backoffLimit: 1 }, status), [], now)), /Failed:BackoffLimitExceeded$/)
})

test('Indexed: the free indexes, in order; those that fail too often on their own fail alone', () => {
  const spec: Partial<JobSpec> = { completions: 4, parallelism: 3, completionMode: 'Indexed' }
  const pods = [pod('Succeeded', { index: 0, tracked: false }), pod('Running', { index: 2 })]
  const plan = planJob(job(spec, { completedIndexes: '0' }), pods, now)
  assert.equal(text(plan), 'active 3 succeeded 1 failed 0; create [1,3] remove 0 untrack 0')
  const perIndex = planJob(
    job({ ...spec, backoffLimitPerIndex: 0 }, { completedIndexes: '0-2' }),
    [pod('Failed', { index: 3 })],
    now,
  )
  assert.match(text(perIndex), /FailureTarget:FailedIndexes/)
  assert.equal(perIndex.status.failedIndexes, '3')
})

test('a suspended Job has no pods and no start time', () => {
  const plan = planJob(job({ suspend: true }, { startTime: '2026-01-01T00:00:00Z' }), [pod('Running')], now)
  assert.equal(text(plan), 'active 0 succeeded 0 failed 0; create [] remove 1 untrack 0 Suspended:JobSuspended')
  assert.equal(plan.status.startTime, undefined)
})

test('a failure policy may ignore a failure', () => {
  const rules = [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }]
  const failed = pod('Failed', { ago: 0 })
  failed.status!.conditions = [{ type: 'DisruptionTarget', status: 'True' }]
  assert.equal(
    text(planJob(job({ podFailurePolicy: { rules }, backoffLimit: 0 }), [failed], now)),
    'active 1 succeeded 0 failed 0; create [*] remove 0 untrack 1',
  )
})
