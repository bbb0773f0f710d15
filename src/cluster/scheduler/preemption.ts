/** Making room for a pod by removing less important ones. Source: scheduler framework/preemption, defaultpreemption. */
import type { Pod, PodDisruptionBudget } from '../../spec/kube/generated/types.ts'
import { matchesSelector } from '../../spec/kube/label-selector.ts'
import { nodeFilter } from './filters.ts'
import { type NodeInfo, requestsOf } from './nodes.ts'
import type { Namespaces } from './pod-affinity.ts'
import type { VolumeNeeds } from './volumes.ts'

export interface Preemption {
  node: string
  /** Least important first. */
  victims: Pod[]
}
interface PreemptionInput {
  pod: Pod
  nodes: readonly NodeInfo[]
  /** Reasons against each node, as the filters gave them. */
  reasons: readonly (readonly string[])[]
  namespaces: Namespaces
  volumes: VolumeNeeds
  budgets: readonly PodDisruptionBudget[]
}

// Reasons that taking pods away could cure.
const curable =
  /^(Insufficient |Too many pods|node\(s\) didn't have free ports|node\(s\) didn't match pod (topology spread constraints$|anti)|node\(s\) didn't satisfy existing)/
export const isCurable = (reasons: readonly string[]): boolean =>
  reasons.length > 0 && reasons.every((reason) => curable.test(reason))

const priority = (pod: Pod): number => pod.spec?.priority ?? 0
const isLeaving = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined

const without = (info: NodeInfo, gone: ReadonlySet<Pod>): NodeInfo => {
  const pods = new Map([...info.pods].filter(([, pod]) => !gone.has(pod)))
  const requested = { ...info.requested }
  for (const pod of gone) {
    for (const [resource, amount] of Object.entries(requestsOf(pod)))
      requested[resource] = (requested[resource] ?? 0) - amount
  }
  return { ...info, pods, requested }
}

/** Where to make room, and by whom; undefined: nowhere, not allowed, or room is being made already. */
export const planPreemption = (input: PreemptionInput): Preemption | undefined => {
  const { pod, nodes, reasons } = input
  if (pod.spec?.preemptionPolicy === 'Never') return undefined
  const nominated = nodes.find(({ node }) => node.metadata.name === pod.status?.nominatedNodeName)
  const coming = [...(nominated?.pods.values() ?? [])].some(
    (other) => isLeaving(other) && priority(other) < priority(pod),
  )
  if (coming) return undefined
  const candidates = nodes
    .filter((_, i) => isCurable(reasons[i]!))
    .flatMap((info) => {
      const victims = victimsOn(info, input)
      return victims && victims.length > 0 ? [{ info, victims, broken: broken(victims, input.budgets) }] : []
    })
  // Fewest broken budgets, then the least important victims, then the fewest.
  const cost = ({ victims, broken: budgets }: (typeof candidates)[number]): number[] => [
    budgets,
    Math.max(...victims.map(priority)),
    victims.reduce((sum, victim) => sum + priority(victim), 0),
    victims.length,
  ]
  candidates.sort(
    (a, b) =>
      cost(a)
        .map((value, i) => value - cost(b)[i]!)
        .find((difference) => difference !== 0) ?? 0,
  )
  const [best] = candidates
  return best && { node: best.info.node.metadata.name!, victims: best.victims }
}

/** The pods that have to go from this node: all less important ones, but for those that may stay after all. */
const victimsOn = (info: NodeInfo, { pod, nodes, namespaces, volumes }: PreemptionInput): Pod[] | undefined => {
  const lower = [...info.pods.values()].filter((other) => priority(other) < priority(pod) && !isLeaving(other))
  const fits = (gone: ReadonlySet<Pod>): boolean => {
    const trial = without(info, gone)
    const world = nodes.map((other) => (other === info ? trial : other))
    return nodeFilter({ pod, nodes: world, namespaces, volumes })(trial).length === 0
  }
  const gone = new Set(lower)
  if (lower.length === 0 || !fits(gone)) return undefined
  for (const candidate of lower.sort((a, b) => priority(b) - priority(a))) {
    gone.delete(candidate)
    if (!fits(gone)) gone.add(candidate)
  }
  return [...gone].sort((a, b) => priority(a) - priority(b))
}

/** How many victims are more than their budgets allow. */
const broken = (victims: readonly Pod[], budgets: readonly PodDisruptionBudget[]): number => {
  const left = new Map(budgets.map((budget) => [budget, budget.status?.disruptionsAllowed ?? 0]))
  return victims.filter((victim) => {
    const mine = budgets.filter(
      ({ metadata, spec }) =>
        metadata.namespace === victim.metadata.namespace && matchesSelector(spec?.selector, victim.metadata.labels),
    )
    for (const budget of mine) left.set(budget, left.get(budget)! - 1)
    return mine.some((budget) => left.get(budget)! < 0)
  }).length
}
