import { parseTimestamp } from '../../../lib/timestamp.ts'
import type { Pod, PodCondition, PodTemplateSpec } from '../../../spec/kube/generated/types.ts'
import type { Kind, ObjectMetaHolder } from '../../../spec/kube/kinds.ts'
import { ownerReference } from './meta.ts'

export const podCondition = (pod: Pod, type: string): PodCondition | undefined =>
  pod.status?.conditions?.find((condition) => condition.type === type)

export const isPodReady = (pod: Pod): boolean => podCondition(pod, 'Ready')?.status === 'True'

/** Succeeded or Failed: it will never run again. */
export const isPodFinished = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'

/** Neither finished nor being deleted: it counts as a replica. */
export const isPodActive = (pod: Pod): boolean => !isPodFinished(pod) && pod.metadata.deletionTimestamp === undefined

/** When a ready pod becomes available, in ms since the epoch; undefined while it is not ready. */
const availableAt = (pod: Pod, minReadySeconds: number): number | undefined => {
  const ready = podCondition(pod, 'Ready')
  if (ready?.status !== 'True') return undefined
  if (minReadySeconds === 0) return 0
  const since = parseTimestamp(ready.lastTransitionTime)
  return Number.isNaN(since) ? undefined : since + minReadySeconds * 1000
}

/** Ready, and has been for at least `minReadySeconds`. */
export const isPodAvailable = (pod: Pod, minReadySeconds: number, now: number): boolean => {
  const at = availableAt(pod, minReadySeconds)
  return at !== undefined && at <= now
}

/** Milliseconds until the next of these pods becomes available by the passing of time alone. */
export const nextAvailable = (pods: readonly Pod[], minReadySeconds: number, now: number): number | undefined => {
  const times = pods.map((pod) => availableAt(pod, minReadySeconds)).filter((at) => at !== undefined && at > now)
  return times.length > 0 ? Math.min(...(times as number[])) - now : undefined
}

/** A new pod made from a template, managed by `owner`, named by the server. */
export const podFromTemplate = <T extends ObjectMetaHolder>(
  template: PodTemplateSpec,
  kind: Kind<T>,
  owner: T,
  more: { labels?: Record<string, string>; annotations?: Record<string, string>; name?: string } = {},
): Pod => {
  const { labels, annotations, finalizers } = template.metadata ?? {}
  const allAnnotations = { ...annotations, ...more.annotations }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...(more.name ? { name: more.name } : { generateName: `${owner.metadata.name}-` }),
      namespace: owner.metadata.namespace,
      labels: { ...labels, ...more.labels },
      ...(Object.keys(allAnnotations).length > 0 ? { annotations: allAnnotations } : {}),
      ...(finalizers?.length ? { finalizers } : {}),
      ownerReferences: [ownerReference(kind, owner)],
    },
    spec: template.spec!,
  }
}
