/** What a StatefulSet wants done next. Source: pkg/controller/statefulset/stateful_set_control.go. */
import type { Pod, StatefulSet, StatefulSetStatus } from '../../../spec/kube/generated/types.ts'
import { isPodAvailable, isPodFinished, isPodReady } from '../objects/pods.ts'
import { revisionLabel } from '../objects/revisions.ts'
import { missingIdentity, ordinalOf, podName, replicasOf, startOf } from './identity.ts'

export type MemberStep =
  | { do: 'create'; ordinal: number; revision: string }
  | { do: 'delete'; pod: Pod; why: 'scale' | 'update' | 'finished' }
  | { do: 'label'; pod: Pod; labels: Record<string, string> }

export interface SetRevisions {
  current: string
  update: string
}

const revisionOf = (pod: Pod): string | undefined => pod.metadata.labels?.[revisionLabel]
const isLeaving = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined
const isRunningReady = (pod: Pod): boolean => pod.status?.phase === 'Running' && isPodReady(pod)
const isRolling = (set: StatefulSet): boolean => set.spec?.updateStrategy?.type !== 'OnDelete'
const partitionOf = (set: StatefulSet): number => set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0

/** The members that should be, by ordinal (missing ones undefined), and those too many, highest first. */
export const members = (
  set: StatefulSet,
  pods: readonly Pod[],
): { wanted: [number, Pod | undefined][]; extra: Pod[] } => {
  const byName = new Map(pods.map((pod) => [pod.metadata.name!, pod]))
  const start = startOf(set)
  const end = start + replicasOf(set)
  const wanted = Array.from({ length: replicasOf(set) }, (_, i): [number, Pod | undefined] => [
    start + i,
    byName.get(podName(set, start + i)),
  ])
  const extra = pods
    .map((pod) => ({ pod, ordinal: ordinalOf(set, pod) }))
    .filter(({ ordinal }) => ordinal !== undefined && (ordinal < start || ordinal >= end))
    .sort((a, b) => b.ordinal! - a.ordinal!)
    .map(({ pod }) => pod)
  return { wanted, extra }
}

/** Members below the partition keep the revision they have. */
const revisionFor = (set: StatefulSet, ordinal: number, { current, update }: SetRevisions): string =>
  isRolling(set) && ordinal < startOf(set) + partitionOf(set) ? current : update

export const planMembers = (
  set: StatefulSet,
  pods: readonly Pod[],
  revisions: SetRevisions,
  now: number,
): MemberStep[] => {
  if (set.metadata.deletionTimestamp) return []
  const ordered = set.spec?.podManagementPolicy !== 'Parallel'
  const { wanted, extra } = members(set, pods)
  const steps: MemberStep[] = []
  const minReady = set.spec?.minReadySeconds ?? 0
  const isUp = (pod: Pod): boolean => !isLeaving(pod) && isRunningReady(pod) && isPodAvailable(pod, minReady, now)
  for (const [ordinal, pod] of wanted) {
    if (!pod) {
      steps.push({ do: 'create', ordinal, revision: revisionFor(set, ordinal, revisions) })
      if (ordered) return steps
      continue
    }
    if (isPodFinished(pod)) {
      if (!isLeaving(pod)) steps.push({ do: 'delete', pod, why: 'finished' })
      if (ordered) return steps
      continue
    }
    const labels = missingIdentity(pod, ordinal)
    if (labels) steps.push({ do: 'label', pod, labels })
    if (ordered && !isUp(pod)) return steps
  }
  if (ordered) {
    // One at a time, highest first; the next when this one is gone.
    const [next] = extra
    if (next) return isLeaving(next) ? steps : [...steps, { do: 'delete', pod: next, why: 'scale' }]
  } else {
    for (const pod of extra) if (!isLeaving(pod)) steps.push({ do: 'delete', pod, why: 'scale' })
  }
  if (steps.length > 0 || !isRolling(set)) return steps
  const first = startOf(set) + partitionOf(set)
  for (const [ordinal, pod] of wanted.toReversed()) {
    if (ordinal < first) break
    if (pod && revisionOf(pod) !== revisions.update && !isLeaving(pod)) return [{ do: 'delete', pod, why: 'update' }]
    if (!pod || !isUp(pod)) return []
  }
  return []
}

export const setStatus = (
  set: StatefulSet,
  pods: readonly Pod[],
  revisions: SetRevisions,
  now: number,
): StatefulSetStatus => {
  const minReady = set.spec?.minReadySeconds ?? 0
  const alive = pods.filter((pod) => ordinalOf(set, pod) !== undefined && !isPodFinished(pod))
  const staying = alive.filter((pod) => !isLeaving(pod))
  const of = (revision: string): number => staying.filter((pod) => revisionOf(pod) === revision).length
  const ready = alive.filter(isRunningReady)
  const updated = of(revisions.update)
  const status: StatefulSetStatus = {
    observedGeneration: set.metadata.generation,
    replicas: alive.length,
    readyReplicas: ready.length,
    availableReplicas: ready.filter((pod) => isPodAvailable(pod, minReady, now)).length,
    currentReplicas: revisions.current === revisions.update ? updated : of(revisions.current),
    updatedReplicas: updated,
    currentRevision: revisions.current,
    updateRevision: revisions.update,
    collisionCount: set.status?.collisionCount ?? 0,
  }
  const complete = isRolling(set) && updated === status.replicas && status.readyReplicas === status.replicas
  if (complete && updated === replicasOf(set)) {
    status.currentReplicas = updated
    status.currentRevision = revisions.update
  }
  return status
}

/** The plan as text, for tests and logs. */
export const stepText = (step: MemberStep): string => {
  if (step.do === 'create') return `create ${step.ordinal} as ${step.revision}`
  if (step.do === 'delete') return `delete ${step.pod.metadata.name} (${step.why})`
  return `label ${step.pod.metadata.name}`
}
