/** What a DaemonSet wants done. Source: pkg/controller/daemon (daemon_controller.go, update.go). */
import type { Affinity, DaemonSet, DaemonSetStatus, Node, Pod, Toleration } from '../../../spec/kube/generated/types.ts'
import { fitsNode, untolerated } from '../../../spec/kube/node-affinity.ts'
import { byCreation, scaledValue } from '../objects/meta.ts'
import { isPodAvailable, isPodFinished, isPodReady } from '../objects/pods.ts'
import { revisionLabel } from '../objects/revisions.ts'

export type DaemonStep = { do: 'create'; node: string } | { do: 'delete'; pod: Pod; failed: boolean }

const daemonTolerations: Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
]
const hostNetworkToleration: Toleration = {
  key: 'node.kubernetes.io/network-unavailable',
  operator: 'Exists',
  effect: 'NoSchedule',
}
/** A daemon runs where others do not: its pods tolerate what is wrong with a node. */
export const tolerationsOf = (set: DaemonSet): Toleration[] => {
  const { tolerations = [], hostNetwork } = set.spec?.template.spec ?? {}
  return [...tolerations, ...daemonTolerations, ...(hostNetwork ? [hostNetworkToleration] : [])]
}

/** The template's affinity, narrowed to one node; the scheduler then binds it as any other pod. */
export const affinityFor = (affinity: Affinity | undefined, node: string): Affinity => {
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [node] }]
  const required = { nodeSelectorTerms: [{ matchFields }] }
  return {
    ...affinity,
    nodeAffinity: { ...affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: required },
  }
}

/** The node the pod is on or meant for. */
const nodeOf = (pod: Pod): string | undefined => {
  if (pod.spec?.nodeName) return pod.spec.nodeName
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  return terms?.flatMap((term) => term.matchFields ?? []).find(({ key }) => key === 'metadata.name')?.values?.[0]
}

const wants = (set: DaemonSet, node: Node): { run: boolean; stay: boolean } => {
  const spec = set.spec?.template.spec
  if (!spec || !fitsNode(spec, node)) return { run: false, stay: false }
  if (spec.nodeName && spec.nodeName !== node.metadata.name) return { run: false, stay: false }
  const tolerations = tolerationsOf(set)
  const run = !untolerated(node.spec?.taints, tolerations, ['NoSchedule', 'NoExecute'])
  return { run, stay: run || !untolerated(node.spec?.taints, tolerations, ['NoExecute']) }
}

const isLeaving = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined

interface DaemonWorld {
  nodes: readonly Node[]
  pods: readonly Pod[]
  /** The hash of the template as it is now. */
  revision: string
  now: number
}

export const planDaemons = (set: DaemonSet, world: DaemonWorld): DaemonStep[] => {
  if (set.metadata.deletionTimestamp) return []
  const byNode = Map.groupBy(world.pods, (pod) => nodeOf(pod) ?? '')
  const steps = world.nodes.flatMap((node) => onNode(set, node, byNode.get(node.metadata.name!) ?? [], world))
  if (steps.length > 0 || set.spec?.updateStrategy?.type === 'OnDelete') return steps
  return rollingUpdate(set, byNode, world)
}

const surgeOf = (set: DaemonSet, nodes: number): number =>
  scaledValue(set.spec?.updateStrategy?.rollingUpdate?.maxSurge, nodes, 'up')

/** One pod a node that should have one; none elsewhere; a failed one is replaced. */
const onNode = (set: DaemonSet, node: Node, pods: readonly Pod[], world: DaemonWorld): DaemonStep[] => {
  const { run, stay } = wants(set, node)
  const steps: DaemonStep[] = []
  const running: Pod[] = []
  for (const pod of pods.filter((candidate) => !isLeaving(candidate))) {
    if (isPodFinished(pod)) steps.push({ do: 'delete', pod, failed: true })
    else running.push(pod)
  }
  if (run && pods.length === 0) return [{ do: 'create', node: node.metadata.name! }]
  if (!stay) return [...steps, ...running.map((pod): DaemonStep => ({ do: 'delete', pod, failed: false }))]
  if (running.length <= 1) return steps
  // While surging there are two: the old one goes as soon as the new one is available.
  const [old, fresh] = partition(running, (pod) => pod.metadata.labels?.[revisionLabel] !== world.revision)
  const keep = surgeOf(set, world.nodes.length) > 0 && old.length === 1 && fresh.length === 1
  if (keep) {
    const done = isPodAvailable(fresh[0]!, set.spec?.minReadySeconds ?? 0, world.now)
    return done ? [...steps, { do: 'delete', pod: old[0]!, failed: false }] : steps
  }
  const extra = [...running].sort(byCreation).slice(1)
  return [...steps, ...extra.map((pod): DaemonStep => ({ do: 'delete', pod, failed: false }))]
}

const partition = <T>(all: readonly T[], test: (item: T) => boolean): [T[], T[]] => [
  all.filter(test),
  all.filter((item) => !test(item)),
]

/** Replaces pods of older revisions: those that are not available at once, others as far as maxUnavailable or maxSurge allow. */
const rollingUpdate = (
  set: DaemonSet,
  byNode: ReadonlyMap<string, readonly Pod[]>,
  { nodes, revision, now }: DaemonWorld,
): DaemonStep[] => {
  const wanted = nodes.filter((node) => wants(set, node).run)
  const surge = surgeOf(set, wanted.length)
  const most = scaledValue(set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable, wanted.length, 'up', 1)
  const minReady = set.spec?.minReadySeconds ?? 0
  const available = (pod: Pod): boolean => !isLeaving(pod) && isPodAvailable(pod, minReady, now)
  let unavailable = 0
  let surging = 0
  const steps: DaemonStep[] = []
  const candidates: { node: string; pod: Pod }[] = []
  for (const node of wanted) {
    const pods = byNode.get(node.metadata.name!) ?? []
    const [old, fresh] = partition(pods, (pod) => pod.metadata.labels?.[revisionLabel] !== revision)
    if (!pods.some(available)) unavailable++
    if (old.length > 0 && fresh.length > 0) surging++
    const pod = old.find((candidate) => !isLeaving(candidate))
    if (!pod || fresh.length > 0) continue
    if (surge === 0 && !available(pod)) steps.push({ do: 'delete', pod, failed: false })
    else candidates.push({ node: node.metadata.name!, pod })
  }
  if (surge > 0) {
    const room = Math.max(0, surge - surging)
    return candidates.slice(0, room).map(({ node }) => ({ do: 'create', node }))
  }
  const room = Math.max(0, most - unavailable)
  return [...steps, ...candidates.slice(0, room).map(({ pod }): DaemonStep => ({ do: 'delete', pod, failed: false }))]
}

export const daemonStatus = (set: DaemonSet, { nodes, pods, revision, now }: DaemonWorld): DaemonSetStatus => {
  const byNode = Map.groupBy(pods, (pod) => nodeOf(pod) ?? '')
  const status = { desired: 0, current: 0, stray: 0, ready: 0, available: 0, updated: 0 }
  for (const node of nodes) {
    const here = (byNode.get(node.metadata.name!) ?? []).filter((pod) => !isPodFinished(pod))
    if (!wants(set, node).run) {
      if (here.length > 0) status.stray++
      continue
    }
    status.desired++
    if (here.length === 0) continue
    status.current++
    const [pod] = [...here].sort(byCreation)
    if (here.some((one) => isPodReady(one))) status.ready++
    if (here.some((one) => isPodAvailable(one, set.spec?.minReadySeconds ?? 0, now))) status.available++
    if (pod!.metadata.labels?.[revisionLabel] === revision) status.updated++
  }
  return {
    observedGeneration: set.metadata.generation,
    desiredNumberScheduled: status.desired,
    currentNumberScheduled: status.current,
    numberMisscheduled: status.stray,
    numberReady: status.ready,
    ...(status.updated ? { updatedNumberScheduled: status.updated } : {}),
    ...(status.available ? { numberAvailable: status.available } : {}),
    ...(status.desired > status.available ? { numberUnavailable: status.desired - status.available } : {}),
  }
}
