/** The status of a Deployment. Source: pkg/controller/deployment/{sync,progress}.go. */
import { parseTimestamp, timestamp } from '../../../lib/timestamp.ts'
import type { Deployment, DeploymentCondition, DeploymentStatus } from '../../../spec/kube/generated/types.ts'
import { findCondition, withCondition, withoutCondition } from '../objects/conditions.ts'
import { isComplete } from './plan.ts'
import { maxUnavailable, type Revisions, replicasOf, wanted } from './revisions.ts'

export interface StatusInput extends Revisions {
  deployment: Deployment
  now: number
  /** What this turn did, for the Progressing condition. */
  happened?: { created?: string | undefined; found?: string | undefined; failed?: string | undefined } | undefined
}

const progress = (
  conditions: readonly DeploymentCondition[],
  status: 'True' | 'False' | 'Unknown',
  reason: string,
  message: string,
  now: number,
): DeploymentCondition[] => {
  const lastUpdateTime = timestamp(now)
  return withCondition(conditions, { type: 'Progressing', status, reason, message, lastUpdateTime }, now)
}
// An infinite deadline is written as the largest int32.
const hasDeadline = (deployment: Deployment): boolean =>
  (deployment.spec?.progressDeadlineSeconds ?? 600) !== 2_147_483_647

export const deploymentStatus = (input: StatusInput): DeploymentStatus => {
  const { deployment, current, old } = input
  const all = current ? [...old, current] : old
  const sum = (field: 'replicas' | 'readyReplicas' | 'availableReplicas'): number =>
    all.reduce((total, set) => total + (set.status?.[field] ?? 0), 0)
  const available = sum('availableReplicas')
  const specified = all.reduce((total, set) => total + replicasOf(set), 0)
  const counts = {
    replicas: sum('replicas'),
    updatedReplicas: current?.status?.replicas ?? 0,
    readyReplicas: sum('readyReplicas'),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, specified - available),
  }
  const nonZero = Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
  const collisionCount = deployment.status?.collisionCount
  const status: DeploymentStatus = {
    observedGeneration: deployment.metadata.generation,
    ...nonZero,
    ...(collisionCount === undefined ? {} : { collisionCount }),
  }
  status.conditions = conditionsFor(input, status, available)
  return status
}

const conditionsFor = (input: StatusInput, status: DeploymentStatus, available: number): DeploymentCondition[] => {
  const { deployment, current, old, now } = input
  let conditions: DeploymentCondition[] = [...(deployment.status?.conditions ?? [])]
  const enough = available >= wanted(deployment) - maxUnavailable(deployment)
  conditions = stable(
    conditions,
    {
      type: 'Available',
      status: enough ? 'True' : 'False',
      reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
      message: `Deployment ${enough ? 'has' : 'does not have'} minimum availability.`,
      lastUpdateTime: timestamp(now),
    },
    now,
  )
  if (hasDeadline(deployment)) conditions = progressing(conditions, status, input)
  else conditions = withoutCondition(conditions, 'Progressing')
  const failing = [current, ...old].find((set) => findCondition(set?.status?.conditions, 'ReplicaFailure'))
  const failure = findCondition(failing?.status?.conditions, 'ReplicaFailure')
  if (!failure || isComplete(deployment, status)) return withoutCondition(conditions, 'ReplicaFailure')
  const { reason, message } = failure
  return stable(
    conditions,
    { type: 'ReplicaFailure', status: failure.status, reason, message, lastUpdateTime: timestamp(now) },
    now,
  )
}

/** Sets the condition only when its status or reason is new, so that times stay. */
const stable = (
  conditions: DeploymentCondition[],
  condition: DeploymentCondition,
  now: number,
): DeploymentCondition[] => {
  const before = findCondition(conditions, condition.type)
  if (before?.status === condition.status && before.reason === condition.reason) return conditions
  return withCondition(conditions, condition, now)
}

const progressing = (
  conditions: DeploymentCondition[],
  status: DeploymentStatus,
  { deployment, current, now, happened }: StatusInput,
): DeploymentCondition[] => {
  const before = findCondition(conditions, 'Progressing')
  const subject = current ? `ReplicaSet "${current.metadata.name}"` : `Deployment "${deployment.metadata.name}"`
  const set = (state: 'True' | 'False' | 'Unknown', reason: string, message: string): DeploymentCondition[] =>
    progress(conditions, state, reason, message, now)
  if (happened?.created) return set('True', 'NewReplicaSetCreated', `Created new replica set "${happened.created}"`)
  if (happened?.failed) return set('False', 'ReplicaSetCreateError', happened.failed)
  if (deployment.spec?.paused) {
    if (before?.reason === 'ProgressDeadlineExceeded' || before?.reason === 'DeploymentPaused') return conditions
    return set('Unknown', 'DeploymentPaused', 'Deployment is paused')
  }
  if (before?.reason === 'DeploymentPaused') return set('Unknown', 'DeploymentResumed', 'Deployment is resumed')
  if (happened?.found || (!before && current)) {
    return set('True', 'FoundNewReplicaSet', `Found new replica set "${happened?.found ?? current!.metadata.name}"`)
  }
  const wasDone =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) && before?.reason === 'NewReplicaSetAvailable'
  if (wasDone) return conditions
  if (isComplete(deployment, status))
    return set('True', 'NewReplicaSetAvailable', `${subject} has successfully progressed.`)
  if (hasMoved(deployment.status, status)) return set('True', 'ReplicaSetUpdated', `${subject} is progressing.`)
  if (deadlineLeft(deployment, status, now) <= 0 && before?.reason !== 'ProgressDeadlineExceeded') {
    return set('False', 'ProgressDeadlineExceeded', `${subject} has timed out progressing.`)
  }
  return conditions
}

const hasMoved = (before: DeploymentStatus | undefined, after: DeploymentStatus): boolean => {
  const count = (
    status: DeploymentStatus | undefined,
    field: 'replicas' | 'updatedReplicas' | 'readyReplicas' | 'availableReplicas',
  ) => status?.[field] ?? 0
  const old = (status: DeploymentStatus | undefined): number =>
    count(status, 'replicas') - count(status, 'updatedReplicas')
  return (
    count(after, 'updatedReplicas') > count(before, 'updatedReplicas') ||
    old(after) < old(before) ||
    count(after, 'readyReplicas') > count(before, 'readyReplicas') ||
    count(after, 'availableReplicas') > count(before, 'availableReplicas')
  )
}

/** Milliseconds until the rollout counts as stuck; Infinity when it cannot. */
export const deadlineLeft = (deployment: Deployment, status: DeploymentStatus | undefined, now: number): number => {
  const condition = findCondition(status?.conditions ?? deployment.status?.conditions, 'Progressing')
  if (!condition || !hasDeadline(deployment) || deployment.spec?.paused) return Number.POSITIVE_INFINITY
  if (condition.reason === 'NewReplicaSetAvailable' || condition.reason === 'ProgressDeadlineExceeded') {
    return Number.POSITIVE_INFINITY
  }
  const since = parseTimestamp(condition.lastUpdateTime ?? condition.lastTransitionTime)
  return since + (deployment.spec?.progressDeadlineSeconds ?? 600) * 1000 - now
}
