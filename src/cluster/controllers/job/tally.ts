/**
 * Counting a Job's pods so that none is counted twice or lost. Each pod carries a finalizer; a finished pod is first written
 * into status.uncountedTerminatedPods, then loses its finalizer, and only then moves into the counters. A crash between any
 * two of these steps changes nothing. Source: pkg/controller/job/job_controller.go trackJobStatusAndRemoveFinalizers.
 */
import { parseTimestamp } from '../../../lib/timestamp.ts'
import type { Job, Pod } from '../../../spec/kube/generated/types.ts'
import { matchFailure, type PolicyMatch } from './failure-policy.ts'
import { indexOf, parseIndexes } from './indexes.ts'

export const tracking = 'batch.kubernetes.io/job-tracking'
export const isTracked = (pod: Pod): boolean => pod.metadata.finalizers?.includes(tracking) === true
const isLeaving = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined
export const isIndexed = (job: Job): boolean => job.spec?.completionMode === 'Indexed'
const hasSucceeded = (pod: Pod): boolean => pod.status?.phase === 'Succeeded'

/** Without a policy that says otherwise a pod that is being deleted counts as failed at once. */
const waitsForFailure = (job: Job): boolean =>
  (job.spec?.podReplacementPolicy ?? (job.spec?.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed')) === 'Failed'
const hasFailed = (job: Job, pod: Pod): boolean =>
  pod.status?.phase === 'Failed' || (isLeaving(pod) && !hasSucceeded(pod) && !waitsForFailure(job))

export interface Tally {
  active: Pod[]
  /** Deleted, not finished yet. */
  terminating: Pod[]
  succeeded: number
  failed: number
  uncounted: { succeeded: string[]; failed: string[] }
  /** Pods in `uncounted` that still have their finalizer. */
  untrack: Pod[]
  completedIndexes: Set<number>
  /** Failures that count, by index. */
  indexFailures: Map<number, number>
  /** A policy rule that ends the whole Job. */
  fatal: PolicyMatch | undefined
  failedIndexes: Set<number>
}

export const tally = (job: Job, pods: readonly Pod[]): Tally => {
  const { status = {} } = job
  const byUid = new Map(pods.map((pod) => [pod.metadata.uid!, pod]))
  const settled = (uid: string): boolean => !byUid.has(uid) || !isTracked(byUid.get(uid)!)
  const before = status.uncountedTerminatedPods ?? {}
  const result: Tally = {
    active: pods.filter((pod) => !isLeaving(pod) && !hasSucceeded(pod) && pod.status?.phase !== 'Failed'),
    terminating: pods.filter((pod) => isLeaving(pod) && !hasSucceeded(pod) && pod.status?.phase !== 'Failed'),
    succeeded: (status.succeeded ?? 0) + (isIndexed(job) ? 0 : (before.succeeded ?? []).filter(settled).length),
    failed: (status.failed ?? 0) + (before.failed ?? []).filter(settled).length,
    uncounted: {
      succeeded: (before.succeeded ?? []).filter((uid) => !settled(uid)),
      failed: (before.failed ?? []).filter((uid) => !settled(uid)),
    },
    untrack: [],
    completedIndexes: parseIndexes(status.completedIndexes),
    indexFailures: new Map(),
    fatal: undefined,
    failedIndexes: parseIndexes(status.failedIndexes),
  }
  for (const pod of pods) countPod(job, pod, result)
  const listed = new Set([...result.uncounted.succeeded, ...result.uncounted.failed])
  result.untrack.push(...pods.filter((pod) => listed.has(pod.metadata.uid!)))
  if (isIndexed(job)) result.succeeded = result.completedIndexes.size
  return result
}

const countPod = (job: Job, pod: Pod, into: Tally): void => {
  const { uncounted } = into
  const uid = pod.metadata.uid!
  const index = indexOf(pod)
  if (hasSucceeded(pod)) {
    const inRange = index !== undefined && index < (job.spec?.completions ?? 0)
    if (inRange && isIndexed(job)) into.completedIndexes.add(index)
    if (isTracked(pod) && !uncounted.succeeded.includes(uid)) uncounted.succeeded.push(uid)
    return
  }
  if (!hasFailed(job, pod)) return
  const policy = matchFailure(job, pod)
  if (policy?.action === 'FailJob') into.fatal ??= policy
  if (policy?.action === 'FailIndex' && index !== undefined) into.failedIndexes.add(index)
  if (policy?.action === 'Ignore') {
    // Not a failure; only its finalizer has to go.
    if (isTracked(pod)) into.untrack.push(pod)
    return
  }
  if (index !== undefined) into.indexFailures.set(index, (into.indexFailures.get(index) ?? 0) + 1)
  if (isTracked(pod) && !uncounted.failed.includes(uid)) uncounted.failed.push(uid)
}

const finishedAt = (pod: Pod): number => {
  const ends = (pod.status?.containerStatuses ?? []).map(({ state }) => parseTimestamp(state?.terminated?.finishedAt))
  const known = ends.filter((at) => !Number.isNaN(at))
  return known.length > 0
    ? Math.max(...known)
    : parseTimestamp(pod.metadata.deletionTimestamp ?? pod.metadata.creationTimestamp)
}

/** Milliseconds to wait before the next pod: 10 s after the first failure since the last success, doubling up to 10 min. */
export const backoffLeft = (job: Job, pods: readonly Pod[], now: number, index?: number): number => {
  const mine = index === undefined ? pods : pods.filter((pod) => indexOf(pod) === index)
  const lastSuccess = Math.max(Number.NEGATIVE_INFINITY, ...mine.filter(hasSucceeded).map(finishedAt))
  const failures = mine
    .filter((pod) => hasFailed(job, pod) && matchFailure(job, pod)?.action !== 'Ignore')
    .map(finishedAt)
    .filter((at) => at > lastSuccess)
  if (failures.length === 0) return 0
  const delay = Math.min(600_000, 10_000 * 2 ** (failures.length - 1))
  return Math.max(0, Math.max(...failures) + delay - now)
}
