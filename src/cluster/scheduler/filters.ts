/** Which nodes can take a pod, and why the others cannot, in Kubernetes' words. */
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import { fitsNode, untolerated } from '../../spec/kube/node-affinity.ts'
import { type NodeInfo, requestsOf } from './nodes.ts'
import { affinityCheck, type Namespaces } from './pod-affinity.ts'
import { spreadCheck } from './spread.ts'
import type { VolumeNeeds } from './volumes.ts'

/** Reasons against the node; none: it fits. */
type NodeFilter = (info: NodeInfo) => string[]

interface HostPort {
  ip: string
  protocol: string
  port: number
}
const hostPorts = (pod: Pod): HostPort[] => {
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always')
  return [...(pod.spec?.containers ?? []), ...sidecars].flatMap((container: Container) =>
    (container.ports ?? [])
      .filter(({ hostPort }) => hostPort)
      .map(({ hostIP, protocol, hostPort }) => ({
        ip: hostIP || '0.0.0.0',
        protocol: protocol ?? 'TCP',
        port: hostPort!,
      })),
  )
}
const collide = (a: HostPort, b: HostPort): boolean =>
  a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === '0.0.0.0' || b.ip === '0.0.0.0')

const unschedulable = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }

/** What the node is short of. */
const shortages = (pod: Pod, { allocatable, requested, pods }: NodeInfo): string[] => {
  const reasons: string[] = []
  if (pods.size + 1 > (allocatable.pods ?? 110)) reasons.push('Too many pods')
  for (const [resource, amount] of Object.entries(requestsOf(pod))) {
    if (amount > 0 && (allocatable[resource] ?? 0) - (requested[resource] ?? 0) < amount) {
      reasons.push(`Insufficient ${resource}`)
    }
  }
  return reasons
}

interface FilterInput {
  pod: Pod
  nodes: readonly NodeInfo[]
  namespaces: Namespaces
  volumes: VolumeNeeds
}

/** The whole chain; the first filter that objects speaks for the node. */
export const nodeFilter = ({ pod, nodes, namespaces, volumes }: FilterInput): NodeFilter => {
  const spec = pod.spec!
  const ports = hostPorts(pod)
  const spread = spreadCheck(pod, nodes)
  const affinity = affinityCheck(pod, nodes, namespaces)
  return (info) => {
    const { node } = info
    const taints = node.spec?.unschedulable ? [unschedulable] : []
    if (untolerated(taints, spec.tolerations, ['NoSchedule'])) return ['node(s) were unschedulable']
    const taint = untolerated(node.spec?.taints, spec.tolerations, ['NoSchedule', 'NoExecute'])
    if (taint) return [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`]
    if (!fitsNode(spec, node)) return ["node(s) didn't match Pod's node affinity/selector"]
    if (ports.length > 0) {
      const taken = [...info.pods.values()].flatMap(hostPorts)
      if (ports.some((port) => taken.some((other) => collide(port, other)))) {
        return ["node(s) didn't have free ports for the requested pod ports"]
      }
    }
    const short = shortages(pod, info)
    if (short.length > 0) return short
    const reason = volumes.check(info) ?? spread?.(info) ?? affinity?.(info)
    return reason === undefined ? [] : [reason]
  }
}

/** "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." Source: framework/types.go FitError. */
export const unfitMessage = (total: number, reasons: readonly (readonly string[])[], preemption = ''): string => {
  if (total === 0) return 'no nodes available to schedule pods'
  const counts = new Map<string, number>()
  for (const reason of reasons.flat()) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  const parts = [...counts].map(([reason, count]) => `${count} ${reason}`).sort()
  return `0/${total} nodes are available: ${parts.join(', ')}.${preemption ? ` ${preemption}` : ''}`
}
