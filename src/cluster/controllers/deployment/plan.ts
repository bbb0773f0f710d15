/**
 * What a Deployment wants done next: one move at a time, each move's outcome brings it back.
 * Source: pkg/controller/deployment (sync.go, rolling.go, recreate.go).
 */
import type { Deployment, Pod, ReplicaSet } from '../../../spec/kube/generated/types.ts'
import { canonical } from '../objects/meta.ts'
import { isPodFinished } from '../objects/pods.ts'
import {
  bounds,
  currentAnnotations,
  desiredKey,
  findRevisions,
  isRolling,
  maxKey,
  maxUnavailable,
  newReplicaSet,
  type Revisions,
  replicasOf,
  revisionKey,
  revisionOf,
  sizeAnnotations,
  wanted,
} from './revisions.ts'

export type DeploymentStep =
  | { do: 'create'; set: ReplicaSet }
  /** `replicas` absent: only the annotations change. */
  | { do: 'scale'; set: ReplicaSet; replicas?: number | undefined; annotations: Record<string, string> }
  | { do: 'annotate'; set: ReplicaSet; annotations: Record<string, string>; minReadySeconds: number }
  | { do: 'revision'; revision: string }
  | { do: 'delete'; set: ReplicaSet }

interface DeploymentPlan extends Revisions {
  steps: DeploymentStep[]
}

const sum = (sets: readonly (ReplicaSet | undefined)[], value: (set: ReplicaSet) => number): number =>
  sets.reduce((total, set) => total + (set ? value(set) : 0), 0)
const available = (set: ReplicaSet): number => set.status?.availableReplicas ?? 0
const isActive = (set: ReplicaSet): boolean => replicasOf(set) > 0

/** `pods`: by the uid of the ReplicaSet. */
export const planDeployment = (
  deployment: Deployment,
  sets: readonly ReplicaSet[],
  pods: ReadonlyMap<string, readonly Pod[]>,
): DeploymentPlan => {
  const revisions = findRevisions(deployment, sets)
  const { current, old } = revisions
  if (deployment.metadata.deletionTimestamp) return { ...revisions, steps: [] }
  const revisionSteps = current ? syncRevision(deployment, current, old) : []
  if (revisionSteps.length > 0) return { ...revisions, steps: revisionSteps }
  if (deployment.spec?.paused) {
    return { ...revisions, steps: firstOf(proportional(deployment, revisions), () => cleanup(deployment, old)) }
  }
  const resized = sets.some((set) => {
    const desired = set.metadata.annotations?.[desiredKey]
    return isActive(set) && desired !== undefined && Number(desired) !== wanted(deployment)
  })
  const spread = resized ? proportional(deployment, revisions) : []
  if (spread.length > 0) return { ...revisions, steps: spread }
  const steps = isRolling(deployment)
    ? rolling(deployment, revisions)
    : recreate(deployment, revisions, (set) => pods.get(set.metadata.uid ?? '') ?? [])
  return { ...revisions, steps: firstOf(steps, () => (isComplete(deployment) ? cleanup(deployment, old) : [])) }
}

const firstOf = (steps: DeploymentStep[], otherwise: () => DeploymentStep[]): DeploymentStep[] =>
  steps.length > 0 ? steps : otherwise()

/** The status says that every wanted replica is of the current revision and available, and no other is left. */
export const isComplete = (deployment: Deployment, status = deployment.status): boolean =>
  (status?.updatedReplicas ?? 0) === wanted(deployment) &&
  (status?.replicas ?? 0) === wanted(deployment) &&
  (status?.availableReplicas ?? 0) === wanted(deployment) &&
  (status?.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)

const syncRevision = (deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): DeploymentStep[] => {
  const steps: DeploymentStep[] = []
  // The current revision has the highest number of all: a ReplicaSet that comes back gets a new one.
  const revision = Math.max(revisionOf(current), Math.max(0, ...old.map(revisionOf)) + 1)
  const annotations = currentAnnotations(deployment, current, revision)
  const minReadySeconds = deployment.spec?.minReadySeconds ?? 0
  if (annotations || (current.spec?.minReadySeconds ?? 0) !== minReadySeconds) {
    steps.push({ do: 'annotate', set: current, annotations: annotations ?? {}, minReadySeconds })
  }
  const text = String(Math.max(revision, revisionOf(current)))
  if (deployment.metadata.annotations?.[revisionKey] !== text) steps.push({ do: 'revision', revision: text })
  return steps
}

const scale = (deployment: Deployment, set: ReplicaSet, replicas: number): DeploymentStep[] => {
  const annotations = sizeAnnotations(deployment)
  const same = [desiredKey, maxKey].every((key) => set.metadata.annotations?.[key] === annotations[key])
  if (replicasOf(set) !== replicas) return [{ do: 'scale', set, replicas, annotations }]
  return same ? [] : [{ do: 'scale', set, annotations }]
}

const create = (deployment: Deployment, { old }: Revisions, replicas: number): DeploymentStep[] => {
  const revision = Math.max(0, ...old.map(revisionOf)) + 1
  return [{ do: 'create', set: newReplicaSet(deployment, replicas, revision) }]
}

/** The size the current ReplicaSet may have now. */
const currentSize = (deployment: Deployment, { current, old }: Revisions): number => {
  if (!isRolling(deployment)) return wanted(deployment)
  const total = sum([current, ...old], replicasOf)
  const limit = wanted(deployment) + bounds(deployment).surge
  if (total >= limit) return replicasOf(current)
  return replicasOf(current) + Math.min(limit - total, wanted(deployment) - replicasOf(current))
}

const rolling = (deployment: Deployment, revisions: Revisions): DeploymentStep[] => {
  const { current } = revisions
  if (!current) return create(deployment, revisions, currentSize(deployment, revisions))
  const target = replicasOf(current) > wanted(deployment) ? wanted(deployment) : currentSize(deployment, revisions)
  return firstOf(scale(deployment, current, target), () => shrinkOld(deployment, revisions))
}

/** Removes old replicas as far as enough stay available; those that are not available anyway go first. */
const shrinkOld = (deployment: Deployment, { current, old }: Revisions): DeploymentStep[] => {
  const sizes = new Map(old.map((set) => [set, replicasOf(set)]))
  const total = sum([current, ...old], replicasOf)
  const minimum = wanted(deployment) - maxUnavailable(deployment)
  const currentUnavailable = replicasOf(current) - (current ? available(current) : 0)
  let unhealthy = total - minimum - currentUnavailable
  if (sum(old, replicasOf) === 0 || unhealthy <= 0) return []
  for (const set of old) {
    const cut = Math.max(0, Math.min(unhealthy, replicasOf(set) - available(set)))
    sizes.set(set, replicasOf(set) - cut)
    unhealthy -= cut
  }
  let healthy = sum([current, ...old], available) - minimum
  for (const set of old) {
    const cut = Math.max(0, Math.min(healthy, sizes.get(set)!))
    sizes.set(set, sizes.get(set)! - cut)
    healthy -= cut
  }
  return old
    .filter((set) => sizes.get(set) !== replicasOf(set))
    .flatMap((set) => scale(deployment, set, sizes.get(set)!))
}

/** All of the old must be gone before any of the new is made. */
const recreate = (
  deployment: Deployment,
  revisions: Revisions,
  podsOf: (set: ReplicaSet) => readonly Pod[],
): DeploymentStep[] => {
  const { current, old } = revisions
  const stop = old.filter(isActive).flatMap((set) => scale(deployment, set, 0))
  if (stop.length > 0) return stop
  if (old.some((set) => podsOf(set).some((pod) => !isPodFinished(pod)))) return []
  if (!current) return create(deployment, revisions, wanted(deployment))
  return scale(deployment, current, wanted(deployment))
}

/** Spreads a change of spec.replicas over the revisions in proportion to their sizes, so a rollout under way keeps its balance. */
const proportional = (deployment: Deployment, { current, old }: Revisions): DeploymentStep[] => {
  const all = [...old, ...(current ? [current] : [])]
  const active = all.filter(isActive)
  const only = active.length === 1 ? active[0] : active.length === 0 ? (current ?? old.at(-1)) : undefined
  if (only) return scale(deployment, only, wanted(deployment))
  const saturated =
    current &&
    Number(current.metadata.annotations?.[desiredKey]) === wanted(deployment) &&
    replicasOf(current) === wanted(deployment) &&
    available(current) === wanted(deployment)
  if (saturated) return old.filter(isActive).flatMap((set) => scale(deployment, set, 0))
  if (!isRolling(deployment)) return []
  const allowed = wanted(deployment) > 0 ? wanted(deployment) + bounds(deployment).surge : 0
  const change = allowed - sum(active, replicasOf)
  const newerFirst = change > 0
  // `all` is oldest first; larger first, and among equals the newer when growing, the older when shrinking.
  const age = new Map(all.map((set, index) => [set, newerFirst ? -index : index]))
  active.sort((a, b) => replicasOf(b) - replicasOf(a) || age.get(a)! - age.get(b)!)
  let added = 0
  const sizes = active.map((set) => {
    const part = change === 0 ? 0 : share(deployment, set, change, added)
    added += part
    return replicasOf(set) + part
  })
  if (change !== 0) sizes[0] = Math.max(0, sizes[0]! + change - added)
  return active.flatMap((set, index) => scale(deployment, set, sizes[index]!))
}

const share = (deployment: Deployment, set: ReplicaSet, change: number, added: number): number => {
  if (change === added) return 0
  const left = change - added
  const part = fraction(deployment, set)
  return change > 0 ? Math.min(part, left) : Math.max(part, left)
}
const fraction = (deployment: Deployment, set: ReplicaSet): number => {
  if (wanted(deployment) === 0) return -replicasOf(set)
  const before = Number(set.metadata.annotations?.[maxKey]) || deployment.status?.replicas || 0
  if (before === 0) return 0
  const limit = wanted(deployment) + bounds(deployment).surge
  return Math.round((replicasOf(set) * limit) / before) - replicasOf(set)
}

/** Old revisions beyond the history limit, oldest first; only those that are empty and have seen their last change. */
const cleanup = (deployment: Deployment, old: readonly ReplicaSet[]): DeploymentStep[] => {
  const limit = deployment.spec?.revisionHistoryLimit ?? 10
  const candidates = old.filter((set) => !set.metadata.deletionTimestamp).sort((a, b) => revisionOf(a) - revisionOf(b))
  return candidates
    .slice(0, Math.max(0, candidates.length - limit))
    .filter(
      (set) =>
        replicasOf(set) === 0 &&
        (set.status?.replicas ?? 0) === 0 &&
        (set.metadata.generation ?? 0) <= (set.status?.observedGeneration ?? 0),
    )
    .map((set) => ({ do: 'delete', set }))
}

/** The plan as text, for tests and logs. */
export const planText = (plan: DeploymentPlan): string[] =>
  plan.steps.map((step) => {
    if (step.do === 'revision') return `revision ${step.revision}`
    if (step.do === 'create') return `create ${replicasOf(step.set)} as revision ${revisionOf(step.set)}`
    if (step.do === 'scale') return `scale ${step.set.metadata.name} ${replicasOf(step.set)} -> ${step.replicas ?? '='}`
    if (step.do === 'annotate') return `annotate ${step.set.metadata.name} ${canonical(step.annotations)}`
    return `delete ${step.set.metadata.name}`
  })
