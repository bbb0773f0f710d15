/** What a Job wants done. Source: pkg/controller/job/job_controller.go (syncJob, manageJob). */
import { parseTimestamp, timestamp } from '../../../lib/timestamp.ts'
import type { Job, JobCondition, JobStatus, Pod } from '../../../spec/kube/generated/types.ts'
import { findCondition, withCondition } from '../objects/conditions.ts'
import { isPodReady } from '../objects/pods.ts'
import { formatIndexes, indexOf, parseIndexes } from './indexes.ts'
import { backoffLeft, isIndexed, isTracked, type Tally, tally } from './tally.ts'

export interface JobPlan {
  status: JobStatus
  /** Take the finalizer off these, after the status is written. */
  untrack: Pod[]
  /** Take the finalizer off and delete: they do not count. */
  remove: Pod[]
  /** One entry a pod to be made; the index for Indexed jobs. */
  create: { index?: number | undefined; failures: number }[]
  events: { type: 'Normal' | 'Warning'; reason: string; message: string }[]
  /** Milliseconds after which time alone may change the plan. */
  again?: number | undefined
}

interface Verdict {
  type: 'FailureTarget' | 'SuccessCriteriaMet'
  reason: string
  message: string
}

export const isFinished = (job: Job): boolean =>
  (job.status?.conditions ?? []).some(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  )

export const planJob = (job: Job, pods: readonly Pod[], now: number): JobPlan => {
  const counts = tally(job, pods)
  const plan: JobPlan = { status: {}, untrack: counts.untrack, remove: [], create: [], events: [] }
  if (isFinished(job)) {
    plan.status = job.status ?? {}
    plan.untrack = pods.filter(isTracked)
    return plan
  }
  const suspended = job.spec?.suspend === true
  const restarted = !suspended && findCondition(job.status?.conditions, 'Suspended')?.status === 'True'
  const startTime = suspended ? undefined : restarted ? timestamp(now) : (job.status?.startTime ?? timestamp(now))
  failIndexes(job, counts)
  const verdict = standing(job) ?? judge(job, pods, counts, startTime, now)
  let conditions: JobCondition[] = job.status?.conditions ?? []
  if (verdict) {
    conditions = withCondition(conditions, { ...verdict, status: 'True', lastProbeTime: timestamp(now) }, now)
    plan.remove = counts.active
  } else if (suspended) plan.remove = counts.active
  else manage(job, pods, counts, plan, now)
  const open =
    counts.active.length +
    counts.terminating.length +
    counts.uncounted.succeeded.length +
    counts.uncounted.failed.length
  if (verdict && open === 0) conditions = conclude(conditions, verdict, plan, now)
  else if (!verdict) conditions = suspension(conditions, suspended, plan, now)
  if (!verdict && startTime && job.spec?.activeDeadlineSeconds !== undefined) {
    const left = parseTimestamp(startTime) + job.spec.activeDeadlineSeconds * 1000 - now
    plan.again = Math.min(plan.again ?? left, left)
  }
  plan.status = statusOf(job, counts, plan, conditions, startTime, now)
  return plan
}

/** A verdict of an earlier turn that waits for the last pods. */
const standing = (job: Job): Verdict | undefined => {
  for (const type of ['FailureTarget', 'SuccessCriteriaMet'] as const) {
    const condition = findCondition(job.status?.conditions, type)
    if (condition?.status === 'True') return { type, reason: condition.reason ?? '', message: condition.message ?? '' }
  }
  return undefined
}

/** Indexes that have failed too often. */
const failIndexes = (job: Job, counts: Tally): void => {
  const limit = job.spec?.backoffLimitPerIndex
  if (limit === undefined) return
  for (const [index, failures] of counts.indexFailures) if (failures > limit) counts.failedIndexes.add(index)
}

const judge = (
  job: Job,
  pods: readonly Pod[],
  counts: Tally,
  startTime: string | undefined,
  now: number,
): Verdict | undefined => {
  const spec = job.spec!
  const failure = (reason: string, message: string): Verdict => ({ type: 'FailureTarget', reason, message })
  if (counts.fatal) return failure('PodFailurePolicy', counts.fatal.message)
  const failed = counts.failed + counts.uncounted.failed.length
  const limit = spec.backoffLimit ?? (spec.backoffLimitPerIndex === undefined ? 6 : 2 ** 31 - 1)
  const restarts = counts.active.reduce((sum, pod) => sum + restartsOf(pod), 0)
  const tooMany =
    spec.template.spec?.restartPolicy === 'OnFailure' && restarts > 0 && (limit === 0 || restarts >= limit)
  if (failed > limit || tooMany) return failure('BackoffLimitExceeded', 'Job has reached the specified backoff limit')
  const age = startTime ? now - parseTimestamp(startTime) : 0
  if (spec.activeDeadlineSeconds !== undefined && startTime && age >= spec.activeDeadlineSeconds * 1000) {
    return failure('DeadlineExceeded', 'Job was active longer than specified deadline')
  }
  if (isIndexed(job) && spec.backoffLimitPerIndex !== undefined) {
    const { size } = counts.failedIndexes
    if (spec.maxFailedIndexes !== undefined && size > spec.maxFailedIndexes) {
      return failure('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes')
    }
    if (size > 0 && size + counts.completedIndexes.size >= (spec.completions ?? 0))
      return failure('FailedIndexes', 'Job has failed indexes')
  }
  return success(job, pods, counts)
}

const success = (job: Job, pods: readonly Pod[], counts: Tally): Verdict | undefined => {
  const met = (reason: string, message: string): Verdict => ({ type: 'SuccessCriteriaMet', reason, message })
  for (const [i, rule] of (job.spec?.successPolicy?.rules ?? []).entries()) {
    const named = rule.succeededIndexes === undefined ? undefined : parseIndexes(rule.succeededIndexes)
    const done = named
      ? [...named].filter((index) => counts.completedIndexes.has(index)).length
      : counts.completedIndexes.size
    if (done > 0 && done >= (rule.succeededCount ?? named?.size ?? 0))
      return met('SuccessPolicy', `Matched rules at index ${i}`)
  }
  const succeeded = isIndexed(job) ? counts.completedIndexes.size : counts.succeeded + counts.uncounted.succeeded.length
  const { completions } = job.spec!
  const running = counts.active.length + counts.terminating.length
  // Without completions the first success says that the work is done; the others may still finish theirs.
  const reached =
    completions === undefined ? succeeded > 0 && running === 0 && pods.length > 0 : succeeded >= completions
  return reached ? met('CompletionsReached', 'Reached expected number of succeeded pods') : undefined
}

const restartsOf = (pod: Pod): number =>
  [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].reduce(
    (sum, { restartCount }) => sum + restartCount,
    0,
  )

/** Makes and removes pods so that as many run as should. */
const manage = (job: Job, pods: readonly Pod[], counts: Tally, plan: JobPlan, now: number): void => {
  const parallelism = job.spec?.parallelism ?? 1
  const { completions } = job.spec!
  const { active } = counts
  const succeeded = isIndexed(job) ? counts.completedIndexes.size : counts.succeeded + counts.uncounted.succeeded.length
  const most =
    completions === undefined
      ? succeeded > 0
        ? active.length
        : parallelism
      : Math.min(parallelism, Math.max(0, completions - succeeded - counts.failedIndexes.size))
  const surplus = isIndexed(job) ? duplicates(job, active) : []
  plan.remove = [
    ...surplus,
    ...leastUseful(active.filter((pod) => !surplus.includes(pod))).slice(
      0,
      Math.max(0, active.length - surplus.length - most),
    ),
  ]
  const waiting =
    job.spec?.podReplacementPolicy === 'Failed' || job.spec?.podFailurePolicy ? counts.terminating.length : 0
  const missing = most - (active.length - surplus.length) - waiting
  if (missing <= 0) return
  if (!isIndexed(job)) {
    const left = backoffLeft(job, pods, now)
    if (left > 0) plan.again = left
    else plan.create = Array.from({ length: missing }, () => ({ failures: 0 }))
    return
  }
  const perIndex = job.spec?.backoffLimitPerIndex !== undefined
  const left = perIndex ? 0 : backoffLeft(job, pods, now)
  if (left > 0) {
    plan.again = left
    return
  }
  for (const index of freeIndexes(job, counts)) {
    if (plan.create.length >= missing) break
    const delay = perIndex ? backoffLeft(job, pods, now, index) : 0
    if (delay > 0) plan.again = Math.min(plan.again ?? delay, delay)
    else plan.create.push({ index, failures: counts.indexFailures.get(index) ?? 0 })
  }
}

const leastUseful = (active: readonly Pod[]): Pod[] =>
  [...active].sort((a, b) => Number(isPodReady(a)) - Number(isPodReady(b)))

const duplicates = (job: Job, active: readonly Pod[]): Pod[] => {
  const seen = new Set<number>()
  return active.filter((pod) => {
    const index = indexOf(pod)
    if (index === undefined || index >= (job.spec?.completions ?? 0) || seen.has(index)) return true
    seen.add(index)
    return false
  })
}

const freeIndexes = (job: Job, counts: Tally): number[] => {
  const waiting = job.spec?.podReplacementPolicy === 'Failed' ? counts.terminating : []
  const taken = new Set([...counts.active, ...waiting].map(indexOf))
  const all = Array.from({ length: job.spec?.completions ?? 0 }, (_, i) => i)
  return all.filter((i) => !taken.has(i) && !counts.completedIndexes.has(i) && !counts.failedIndexes.has(i))
}

const conclude = (conditions: JobCondition[], verdict: Verdict, plan: JobPlan, now: number): JobCondition[] => {
  const failed = verdict.type === 'FailureTarget'
  const { reason, message } = verdict
  plan.events.push(
    failed ? { type: 'Warning', reason, message } : { type: 'Normal', reason: 'Completed', message: 'Job completed' },
  )
  const type = failed ? 'Failed' : 'Complete'
  return withCondition(conditions, { type, status: 'True', reason, message, lastProbeTime: timestamp(now) }, now)
}

const suspension = (conditions: JobCondition[], suspended: boolean, plan: JobPlan, now: number): JobCondition[] => {
  const before = findCondition(conditions, 'Suspended')
  if (suspended === (before?.status === 'True') || (!suspended && !before)) return conditions
  const reason = suspended ? 'JobSuspended' : 'JobResumed'
  const message = suspended ? 'Job suspended' : 'Job resumed'
  plan.events.push({ type: 'Normal', reason: suspended ? 'Suspended' : 'Resumed', message })
  return withCondition(
    conditions,
    { type: 'Suspended', status: suspended ? 'True' : 'False', reason, message, lastProbeTime: timestamp(now) },
    now,
  )
}

const statusOf = (
  job: Job,
  counts: Tally,
  plan: JobPlan,
  conditions: JobCondition[],
  startTime: string | undefined,
  now: number,
): JobStatus => {
  const kept = counts.active.filter((pod) => !plan.remove.includes(pod))
  const complete = conditions.some(({ type, status }) => type === 'Complete' && status === 'True')
  const count = (name: string, value: number): object => (value > 0 ? { [name]: value } : {})
  const { succeeded, failed } = counts.uncounted
  const uncounted = { ...(succeeded.length ? { succeeded } : {}), ...(failed.length ? { failed } : {}) }
  const leaving = counts.terminating.length + plan.remove.length
  return {
    ...(startTime ? { startTime } : {}),
    ...(conditions.length > 0 ? { conditions } : {}),
    ...count('active', kept.length + plan.create.length),
    ready: kept.filter(isPodReady).length,
    terminating: leaving,
    ...count('succeeded', counts.succeeded),
    ...count('failed', counts.failed),
    uncountedTerminatedPods: uncounted,
    ...(counts.completedIndexes.size > 0 && isIndexed(job)
      ? { completedIndexes: formatIndexes(counts.completedIndexes) }
      : {}),
    ...(job.spec?.backoffLimitPerIndex !== undefined ? { failedIndexes: formatIndexes(counts.failedIndexes) } : {}),
    ...(complete ? { completionTime: job.status?.completionTime ?? timestamp(now) } : {}),
  }
}
