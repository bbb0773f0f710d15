/** Which ReplicaSet is which revision of a Deployment. Source: pkg/controller/deployment/util. */
import type { Deployment, PodTemplateSpec, ReplicaSet } from '../../../spec/kube/generated/types.ts'
import { Deployment as DeploymentKind } from '../../../spec/kube/kinds.ts'
import { byCreation, canonical, ownerReference, scaledValue, shortHash } from '../objects/meta.ts'

export const revisionKey = 'deployment.kubernetes.io/revision'
const revisionHistoryKey = 'deployment.kubernetes.io/revision-history'
export const desiredKey = 'deployment.kubernetes.io/desired-replicas'
export const maxKey = 'deployment.kubernetes.io/max-replicas'
const hashLabel = 'pod-template-hash'

// Annotations of the Deployment that its ReplicaSets do not inherit.
const own = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'deprecated.deployment.rollback.to',
  revisionKey,
  revisionHistoryKey,
  desiredKey,
  maxKey,
])

export const replicasOf = (set: ReplicaSet | undefined): number => (set ? (set.spec?.replicas ?? 1) : 0)
export const wanted = (deployment: Deployment): number => deployment.spec?.replicas ?? 1
export const isRolling = (deployment: Deployment): boolean => deployment.spec?.strategy?.type !== 'Recreate'

/** How far a rolling update may go above and below the wanted number: surge rounds up, unavailable rounds down. */
export const bounds = (deployment: Deployment): { surge: number; unavailable: number } => {
  if (!isRolling(deployment)) return { surge: 0, unavailable: 0 }
  const { maxSurge, maxUnavailable } = deployment.spec?.strategy?.rollingUpdate ?? {}
  const total = wanted(deployment)
  const surge = scaledValue(maxSurge, total, 'up', '25%')
  const unavailable = scaledValue(maxUnavailable, total, 'down', '25%')
  // Both zero cannot move at all: validation refuses the numbers, but percentages may round to it.
  if (surge === 0 && unavailable === 0) return { surge, unavailable: 1 }
  return { surge, unavailable }
}
export const maxUnavailable = (deployment: Deployment): number =>
  Math.min(bounds(deployment).unavailable, wanted(deployment))

const withoutHash = (template: PodTemplateSpec | undefined): PodTemplateSpec => {
  const { [hashLabel]: _, ...labels } = template?.metadata?.labels ?? {}
  return { ...template, metadata: { labels, annotations: template?.metadata?.annotations } }
}

export interface Revisions {
  current: ReplicaSet | undefined
  /** Oldest first. */
  old: ReplicaSet[]
}
/** The ReplicaSet whose template is the Deployment's (the oldest, if there are several), and the others. */
export const findRevisions = (deployment: Deployment, sets: readonly ReplicaSet[]): Revisions => {
  const template = canonical(withoutHash(deployment.spec?.template))
  const ordered = [...sets].sort(byCreation)
  const current = ordered.find((set) => canonical(withoutHash(set.spec?.template)) === template)
  return { current, old: ordered.filter((set) => set !== current) }
}

export const revisionOf = (object: { metadata: ReplicaSet['metadata'] }): number =>
  Number(object.metadata.annotations?.[revisionKey] ?? 0) || 0

/** The annotations the current ReplicaSet should have as `revision`, or undefined when it has them. */
export const currentAnnotations = (
  deployment: Deployment,
  set: ReplicaSet | undefined,
  revision: number,
): Record<string, string> | undefined => {
  const before = set?.metadata.annotations ?? {}
  const after: Record<string, string> = { ...before }
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {}))
    if (!own.has(key)) after[key] = value
  const old = set ? revisionOf(set) : 0
  if (!set || old < revision) {
    after[revisionKey] = String(revision)
    // A ReplicaSet that comes back (rollout undo) keeps the numbers it had.
    if (old > 0) after[revisionHistoryKey] = [before[revisionHistoryKey], old].filter(Boolean).join(',')
  }
  return canonical({ annotations: after }) === canonical({ annotations: before }) ? undefined : after
}

/** The annotations by which proportional scaling later knows what the ReplicaSet was sized for. */
export const sizeAnnotations = (deployment: Deployment): Record<string, string> => ({
  [desiredKey]: String(wanted(deployment)),
  [maxKey]: String(wanted(deployment) + bounds(deployment).surge),
})

/** A ReplicaSet for the Deployment's template as it is now. */
export const newReplicaSet = (deployment: Deployment, replicas: number, revision: number): ReplicaSet => {
  const { selector, template, minReadySeconds } = deployment.spec!
  const collisions = deployment.status?.collisionCount
  const hash = shortHash(withoutHash(template), collisions === undefined ? '' : String(collisions))
  const labels = { ...template.metadata?.labels, [hashLabel]: hash }
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace,
      labels,
      annotations: { ...currentAnnotations(deployment, undefined, revision), ...sizeAnnotations(deployment) },
      ownerReferences: [ownerReference(DeploymentKind, deployment)],
    },
    spec: {
      replicas,
      ...(minReadySeconds ? { minReadySeconds } : {}),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  }
}
