import type { PersistentVolumeClaim, Pod, PodDisruptionBudget } from '../../spec/kube/generated/types.ts'
import { nodeFilter, unfitMessage } from './filters.ts'
import type { NodeInfo } from './nodes.ts'
import type { Namespaces } from './pod-affinity.ts'
import { isCurable, type Preemption, planPreemption } from './preemption.ts'
import { best } from './scores.ts'
import { type VolumeObjects, volumeNeeds } from './volumes.ts'

export type Decision =
  | { to: 'bind'; node: string }
  /** The node is chosen; first these claims need a volume there. */
  | { to: 'provision'; node: string; claims: PersistentVolumeClaim[] }
  /** Nowhere now. `preempt`: room can be made. */
  | { to: 'wait'; message: string; preempt?: Preemption | undefined }

export interface Cluster {
  nodes: readonly NodeInfo[]
  namespaces: Namespaces
  volumes: VolumeObjects
  budgets: readonly PodDisruptionBudget[]
}

/** Where the pod goes. Pure. */
export const decide = (pod: Pod, { nodes, namespaces, volumes: objects, budgets }: Cluster): Decision => {
  const volumes = volumeNeeds(pod, objects)
  if (nodes.length === 0) return { to: 'wait', message: unfitMessage(0, []) }
  const total = nodes.length
  if (volumes.refusal !== undefined) {
    const help = `preemption: 0/${total} nodes are available: ${total} Preemption is not helpful for scheduling.`
    return { to: 'wait', message: `0/${total} nodes are available: ${volumes.refusal}. ${help}` }
  }
  const filter = nodeFilter({ pod, nodes, namespaces, volumes })
  const reasons = nodes.map(filter)
  const fitting = nodes.filter((_, i) => reasons[i]!.length === 0)
  if (fitting.length > 0) {
    const node = best(pod, fitting, nodes, namespaces).node.metadata.name!
    if (volumes.provision.length > 0) return { to: 'provision', node, claims: volumes.provision }
    return { to: 'bind', node }
  }
  const preempt = planPreemption({ pod, nodes, reasons, namespaces, volumes, budgets })
  const words = preempt ? '' : preemptionWords(pod, reasons)
  return { to: 'wait', message: unfitMessage(total, reasons, words), preempt }
}

const preemptionWords = (pod: Pod, reasons: readonly (readonly string[])[]): string => {
  const total = reasons.length
  if (pod.spec?.preemptionPolicy === 'Never') {
    return `preemption: not eligible due to preemptionPolicy=Never.`
  }
  const helpful = reasons.filter(isCurable).length
  const parts = [
    ...(helpful > 0 ? [`${helpful} No preemption victims found for incoming pod`] : []),
    ...(total - helpful > 0 ? [`${total - helpful} Preemption is not helpful for scheduling`] : []),
  ]
  return `preemption: 0/${total} nodes are available: ${parts.join(', ')}.`
}
