/** Which of the nodes that can take a pod should. Each score is brought to 0 … 100, then weighed as upstream's defaults. */
import type { Pod, TopologySpreadConstraint } from '../../spec/kube/generated/types.ts'
import { matchesNodeTerm, tolerates } from '../../spec/kube/node-affinity.ts'
import { type NodeInfo, requestsOf } from './nodes.ts'
import { affinityScores, type Namespaces } from './pod-affinity.ts'
import { spreadCosts } from './spread.ts'

// A pod that says nothing of its needs still needs something. Source: scheduler/util/pod_resources.go.
const assumed: Record<string, number> = { cpu: 100, memory: 200 * 2 ** 20 }

const usage = (pod: Pod, { allocatable, requested }: NodeInfo): number[] =>
  ['cpu', 'memory'].map((resource) => {
    const room = allocatable[resource] ?? 0
    if (room === 0) return 1
    return Math.min(1, ((requested[resource] ?? 0) + (requestsOf(pod)[resource] || assumed[resource]!)) / room)
  })

const leastAllocated = (pod: Pod, info: NodeInfo): number => {
  const parts = usage(pod, info)
  return (100 * parts.reduce((sum, part) => sum + (1 - part), 0)) / parts.length
}
const balanced = (pod: Pod, info: NodeInfo): number => {
  const [cpu, memory] = usage(pod, info)
  return 100 * (1 - Math.abs(cpu! - memory!) / 2)
}
const preferredNodes = (pod: Pod, { node }: NodeInfo): number =>
  (pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).reduce(
    (sum, { preference, weight }) => sum + (matchesNodeTerm(preference, node) ? weight : 0),
    0,
  )
const softTaints = (pod: Pod, { node }: NodeInfo): number =>
  (node.spec?.taints ?? []).filter(
    (taint) => taint.effect === 'PreferNoSchedule' && !pod.spec?.tolerations?.some((t) => tolerates(t, taint)),
  ).length

/** Stretches to 0 … 100; all equal: all 0, which decides nothing. */
const normal = (values: readonly number[], better: 'high' | 'low'): number[] => {
  const low = Math.min(...values)
  const high = Math.max(...values)
  if (high === low) return values.map(() => 0)
  return values.map((value) => (100 * (better === 'high' ? value - low : high - value)) / (high - low))
}

/** As upstream's built-in default constraints, for pods that share an owner: the selector is the pod's own template hash or labels. */
const defaultSpread = (pod: Pod): TopologySpreadConstraint[] => {
  const owner = pod.metadata.ownerReferences?.find((reference) => reference.controller)
  if (!owner || !pod.metadata.labels) return []
  const labelSelector = { matchLabels: pod.metadata.labels }
  return [
    { topologyKey: 'kubernetes.io/hostname', maxSkew: 3, whenUnsatisfiable: 'ScheduleAnyway', labelSelector },
    { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 5, whenUnsatisfiable: 'ScheduleAnyway', labelSelector },
  ]
}

/** The best of the fitting nodes; `fitting` is not empty, `all` are the nodes the pods of which count for topology. */
export const best = (
  pod: Pod,
  fitting: readonly NodeInfo[],
  all: readonly NodeInfo[],
  namespaces: Namespaces,
): NodeInfo => {
  if (fitting.length === 1) return fitting[0]!
  const affinity = new Map(affinityScores(pod, all, namespaces).map((score, i) => [all[i]!, score]))
  const costs = new Map(spreadCosts(pod, all, defaultSpread(pod)).map((cost, i) => [all[i]!, cost]))
  const columns: [weight: number, scores: number[]][] = [
    [1, fitting.map((info) => leastAllocated(pod, info))],
    [1, fitting.map((info) => balanced(pod, info))],
    [
      2,
      normal(
        fitting.map((info) => preferredNodes(pod, info)),
        'high',
      ),
    ],
    [
      3,
      normal(
        fitting.map((info) => softTaints(pod, info)),
        'low',
      ),
    ],
    [
      2,
      normal(
        fitting.map((info) => costs.get(info) ?? 0),
        'low',
      ),
    ],
    [
      2,
      normal(
        fitting.map((info) => affinity.get(info) ?? 0),
        'high',
      ),
    ],
  ]
  const totals = fitting.map((_, i) => columns.reduce((sum, [weight, scores]) => sum + weight * scores[i]!, 0))
  return fitting[totals.indexOf(Math.max(...totals))]!
}
