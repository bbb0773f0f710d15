/** What a ReplicaSet wants done. Source: pkg/controller/replicaset, controller_utils.go ActivePodsWithRanks. */
import { parseTimestamp } from '../../../lib/timestamp.ts'
import type { Pod, ReplicaSet, ReplicaSetStatus } from '../../../spec/kube/generated/types.ts'
import { matchesSelector } from '../../../spec/kube/label-selector.ts'
import { type Condition, findCondition, withCondition, withoutCondition } from '../objects/conditions.ts'
import { isPodActive, isPodAvailable, isPodReady, podCondition } from '../objects/pods.ts'

/** At most this many pods are made or removed in one turn. */
const burst = 500

export interface ReplicaPlan {
  create: number
  remove: Pod[]
}

/** `pods` are all that the ReplicaSet controls; `siblings` all of its Deployment's, for spreading what remains over nodes. */
export const planReplicas = (
  replicaSet: ReplicaSet,
  pods: readonly Pod[],
  siblings: readonly Pod[] = pods,
  now = 0,
): ReplicaPlan => {
  const active = pods.filter(isPodActive)
  const missing = (replicaSet.spec?.replicas ?? 1) - active.length
  if (missing >= 0) return { create: Math.min(missing, burst), remove: [] }
  return { create: 0, remove: victims(active, siblings.filter(isPodActive), Math.min(-missing, burst), now) }
}

const phases = ['Pending', 'Unknown', 'Running']
const cost = (pod: Pod): number => Number(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0)
const restarts = (pod: Pod): number =>
  Math.max(0, ...(pod.status?.containerStatuses ?? []).map((status) => status.restartCount))
/** Ages count by orders of magnitude, so that which of two old pods goes is not decided by a second. */
const magnitude = (since: string | undefined, now: number): number => {
  const age = now - parseTimestamp(since)
  return Number.isNaN(age) || age <= 0 ? -1 : Math.floor(Math.log2(age))
}

/** The `count` pods whose loss hurts least: unassigned, pending, unready, cheap, doubled up on a node, young. */
const victims = (active: readonly Pod[], siblings: readonly Pod[], count: number, now: number): Pod[] => {
  const onNode = Map.groupBy(siblings, (pod) => pod.spec?.nodeName ?? '')
  const rank = (pod: Pod): (number | string)[] => {
    const ready = isPodReady(pod)
    return [
      pod.spec?.nodeName ? 1 : 0,
      Math.max(0, phases.indexOf(pod.status?.phase ?? 'Pending')),
      ready ? 1 : 0,
      cost(pod),
      -(pod.spec?.nodeName ? (onNode.get(pod.spec.nodeName)?.length ?? 0) : 0),
      ready ? magnitude(podCondition(pod, 'Ready')?.lastTransitionTime, now) : 0,
      -restarts(pod),
      magnitude(pod.metadata.creationTimestamp, now),
      pod.metadata.uid ?? '',
    ]
  }
  const ranked = active.map((pod) => ({ pod, rank: rank(pod) }))
  ranked.sort((a, b) => {
    for (let i = 0; i < a.rank.length; i++) {
      if (a.rank[i]! < b.rank[i]!) return -1
      if (a.rank[i]! > b.rank[i]!) return 1
    }
    return 0
  })
  return ranked.slice(0, count).map(({ pod }) => pod)
}

export interface ReplicaFailure {
  reason: 'FailedCreate' | 'FailedDelete'
  message: string
}

/** The status that follows from the pods. `failure` is what kept the plan from being done, if anything. */
export const replicaSetStatus = (
  replicaSet: ReplicaSet,
  pods: readonly Pod[],
  now: number,
  failure?: ReplicaFailure,
): ReplicaSetStatus => {
  const active = pods.filter(isPodActive)
  const labels = replicaSet.spec?.template?.metadata?.labels ?? {}
  const minReady = replicaSet.spec?.minReadySeconds ?? 0
  const conditions = failureCondition(replicaSet, now, failure)
  return {
    replicas: active.length,
    ...counted(
      'fullyLabeledReplicas',
      active.filter((pod) => matchesSelector({ matchLabels: labels }, pod.metadata.labels)),
    ),
    ...counted('readyReplicas', active.filter(isPodReady)),
    ...counted(
      'availableReplicas',
      active.filter((pod) => isPodAvailable(pod, minReady, now)),
    ),
    observedGeneration: replicaSet.metadata.generation,
    ...(conditions.length > 0 ? { conditions } : {}),
  }
}

const counted = (name: string, pods: readonly Pod[]): Record<string, number> =>
  pods.length > 0 ? { [name]: pods.length } : {}

/** A failure that lasts keeps its first message: each try names another pod, and a new status would be a reason to try again. */
const failureCondition = (replicaSet: ReplicaSet, now: number, failure: ReplicaFailure | undefined): Condition[] => {
  const before = replicaSet.status?.conditions
  if (!failure) return withoutCondition(before, 'ReplicaFailure')
  if (findCondition(before, 'ReplicaFailure')?.reason === failure.reason) return before!
  const { reason, message } = failure
  return withCondition(before, { type: 'ReplicaFailure', status: 'True', reason, message }, now)
}
