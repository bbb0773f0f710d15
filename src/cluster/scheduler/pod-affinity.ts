/** Pods that want to be near others or far from them. Source: scheduler framework/plugins/interpodaffinity. */
import type { LabelSelector, Pod, PodAffinityTerm } from '../../spec/kube/generated/types.ts'
import { matchesSelector } from '../../spec/kube/label-selector.ts'
import type { NodeInfo } from './nodes.ts'

export interface Namespaces {
  labelsOf(namespace: string): Record<string, string> | undefined
}

/** The term's selector with matchLabelKeys and mismatchLabelKeys of the pod that has the term. */
const fullSelector = (term: PodAffinityTerm, holder: Pod): LabelSelector | undefined => {
  const extra = (keys: string[] | undefined, operator: string) =>
    (keys ?? []).flatMap((key) => {
      const value = holder.metadata.labels?.[key]
      return value === undefined ? [] : [{ key, operator, values: [value] }]
    })
  const expressions = [...extra(term.matchLabelKeys, 'In'), ...extra(term.mismatchLabelKeys, 'NotIn')]
  if (!term.labelSelector || expressions.length === 0) return term.labelSelector
  return { ...term.labelSelector, matchExpressions: [...(term.labelSelector.matchExpressions ?? []), ...expressions] }
}

/** True when `other` is one of the pods that `holder`'s term speaks of. */
const termSelects = (term: PodAffinityTerm, holder: Pod, other: Pod, namespaces: Namespaces): boolean => {
  const place = other.metadata.namespace ?? ''
  const named = term.namespaces ?? []
  const inNamespace =
    named.includes(place) ||
    (term.namespaceSelector !== undefined && matchesSelector(term.namespaceSelector, namespaces.labelsOf(place))) ||
    (named.length === 0 && term.namespaceSelector === undefined && place === holder.metadata.namespace)
  return inNamespace && matchesSelector(fullSelector(term, holder), other.metadata.labels)
}

const domain = (info: NodeInfo, key: string): string | undefined => info.node.metadata.labels?.[key]
const pair = (key: string, value: string): string => `${key}=${value}`

/** The reason why the node does not do, in Kubernetes' words. */
type AffinityCheck = (info: NodeInfo) => string | undefined

/** Looks at all pods once and then answers for every node. undefined when nobody has any such wish. */
export const affinityCheck = (
  pod: Pod,
  nodes: readonly NodeInfo[],
  namespaces: Namespaces,
): AffinityCheck | undefined => {
  const required = pod.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []
  const forbidden = pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []
  const refusing = new Set<string>()
  const near = required.map(() => new Set<string>())
  const far = forbidden.map(() => new Set<string>())
  for (const info of nodes) {
    for (const other of info.pods.values()) {
      for (const term of other.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
        const value = domain(info, term.topologyKey)
        if (value !== undefined && termSelects(term, other, pod, namespaces))
          refusing.add(pair(term.topologyKey, value))
      }
      if (other.metadata.deletionTimestamp && required.length + forbidden.length === 0) continue
      // A pod counts as near only when it meets every term of the affinity at once.
      const all = required.length > 0 && required.every((term) => termSelects(term, pod, other, namespaces))
      for (const [i, term] of required.entries()) {
        const value = domain(info, term.topologyKey)
        if (all && value !== undefined) near[i]!.add(value)
      }
      for (const [i, term] of forbidden.entries()) {
        const value = domain(info, term.topologyKey)
        if (value !== undefined && termSelects(term, pod, other, namespaces)) far[i]!.add(value)
      }
    }
  }
  if (refusing.size + required.length + forbidden.length === 0) return undefined
  // The first pod of a group that wants to be together may start anywhere.
  const first =
    near.every((values) => values.size === 0) && required.every((term) => termSelects(term, pod, pod, namespaces))
  return (info) => {
    const labels = Object.entries(info.node.metadata.labels ?? {})
    for (const [i, term] of required.entries()) {
      const value = domain(info, term.topologyKey)
      if (value === undefined || !(near[i]!.has(value) || first)) return "node(s) didn't match pod affinity rules"
    }
    for (const [i, term] of forbidden.entries()) {
      if (far[i]!.has(domain(info, term.topologyKey) ?? '')) return "node(s) didn't match pod anti-affinity rules"
    }
    if (labels.some(([key, value]) => refusing.has(pair(key, value)))) {
      return "node(s) didn't satisfy existing pods anti-affinity rules"
    }
    return undefined
  }
}

/** How much the pods already on the nodes speak for each node: weights of preferred terms, by topology. */
export const affinityScores = (pod: Pod, nodes: readonly NodeInfo[], namespaces: Namespaces): number[] => {
  const weights = new Map<string, number>()
  const weigh = (info: NodeInfo, term: PodAffinityTerm, weight: number): void => {
    const value = domain(info, term.topologyKey)
    if (value === undefined) return
    const id = pair(term.topologyKey, value)
    weights.set(id, (weights.get(id) ?? 0) + weight)
  }
  const mine = pod.spec?.affinity
  for (const info of nodes) {
    for (const other of info.pods.values()) {
      for (const { term, weight } of preferred(mine))
        if (termSelects(term, pod, other, namespaces)) weigh(info, term, weight)
      for (const { term, weight } of preferred(other.spec?.affinity)) {
        if (termSelects(term, other, pod, namespaces)) weigh(info, term, weight)
      }
    }
  }
  return nodes.map((info) =>
    Object.entries(info.node.metadata.labels ?? {}).reduce(
      (sum, [key, value]) => sum + (weights.get(pair(key, value)) ?? 0),
      0,
    ),
  )
}

const preferred = (affinity: NonNullable<Pod['spec']>['affinity']): { term: PodAffinityTerm; weight: number }[] => [
  ...(affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
    ({ podAffinityTerm: term, weight }) => ({ term, weight }),
  ),
  ...(affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(
    ({ podAffinityTerm: term, weight }) => ({ term, weight: -weight }),
  ),
]
