/** Topology spread constraints. Source: scheduler framework/plugins/podtopologyspread. */
import type { Pod, TopologySpreadConstraint } from '../../spec/kube/generated/types.ts'
import { matchesSelector } from '../../spec/kube/label-selector.ts'
import { fitsNode, untolerated } from '../../spec/kube/node-affinity.ts'
import type { NodeInfo } from './nodes.ts'

/** Whether the node is one over which the constraint spreads. */
const counts = (pod: Pod, constraint: TopologySpreadConstraint, { node }: NodeInfo): boolean => {
  if (node.metadata.labels?.[constraint.topologyKey] === undefined) return false
  if ((constraint.nodeAffinityPolicy ?? 'Honor') === 'Honor' && !fitsNode(pod.spec!, node)) return false
  const honorTaints = constraint.nodeTaintsPolicy === 'Honor'
  return !(honorTaints && untolerated(node.spec?.taints, pod.spec?.tolerations, ['NoSchedule', 'NoExecute']))
}

const selects = (pod: Pod, constraint: TopologySpreadConstraint, other: Pod): boolean => {
  if (other.metadata.namespace !== pod.metadata.namespace || other.metadata.deletionTimestamp) return false
  const keys = (constraint.matchLabelKeys ?? []).filter((key) => pod.metadata.labels?.[key] !== undefined)
  return (
    matchesSelector(constraint.labelSelector, other.metadata.labels) &&
    keys.every((key) => other.metadata.labels?.[key] === pod.metadata.labels?.[key])
  )
}

/** Matching pods by topology domain. */
const perDomain = (pod: Pod, constraint: TopologySpreadConstraint, nodes: readonly NodeInfo[]): Map<string, number> => {
  const domains = new Map<string, number>()
  for (const info of nodes) {
    if (!counts(pod, constraint, info)) continue
    const value = info.node.metadata.labels![constraint.topologyKey]!
    let count = domains.get(value) ?? 0
    for (const other of info.pods.values()) if (selects(pod, constraint, other)) count++
    domains.set(value, count)
  }
  return domains
}

/** Answers for every node why it would break a DoNotSchedule constraint. undefined when the pod has none. */
export const spreadCheck = (
  pod: Pod,
  nodes: readonly NodeInfo[],
): ((info: NodeInfo) => string | undefined) | undefined => {
  const hard = (pod.spec?.topologySpreadConstraints ?? []).filter((c) => c.whenUnsatisfiable === 'DoNotSchedule')
  if (hard.length === 0) return undefined
  const states = hard.map((constraint) => {
    const domains = perDomain(pod, constraint, nodes)
    const fewDomains = constraint.minDomains !== undefined && domains.size < constraint.minDomains
    return {
      constraint,
      domains,
      least: fewDomains || domains.size === 0 ? 0 : Math.min(...domains.values()),
      self: selects(pod, constraint, pod) ? 1 : 0,
    }
  })
  const reason = "node(s) didn't match pod topology spread constraints"
  return (info) => {
    for (const { constraint, domains, least, self } of states) {
      const value = info.node.metadata.labels?.[constraint.topologyKey]
      if (value === undefined) return `${reason} (missing required label)`
      if ((domains.get(value) ?? 0) + self - least > constraint.maxSkew) return reason
    }
    return undefined
  }
}

/** Lower is better: how many matching pods the node's domains have, for ScheduleAnyway constraints. */
export const spreadCosts = (pod: Pod, nodes: readonly NodeInfo[], fallback: TopologySpreadConstraint[]): number[] => {
  const own = pod.spec?.topologySpreadConstraints ?? []
  const soft = own.length > 0 ? own.filter((c) => c.whenUnsatisfiable === 'ScheduleAnyway') : fallback
  const costs = nodes.map(() => 0)
  for (const constraint of soft) {
    const domains = perDomain(pod, constraint, nodes)
    const weight = Math.log(domains.size + 2)
    nodes.forEach((info, i) => {
      const value = info.node.metadata.labels?.[constraint.topologyKey]
      costs[i]! += value === undefined ? 0 : (domains.get(value) ?? 0) * weight + constraint.maxSkew - 1
    })
  }
  return costs
}
