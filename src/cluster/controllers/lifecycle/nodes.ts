import { parseTimestamp, timestamp } from '../../../lib/timestamp.ts'
import type { NodeCondition, Node as NodeObject, Pod as PodObject, Taint } from '../../../spec/kube/generated/types.ts'
import { Lease, Node, Pod } from '../../../spec/kube/kinds.ts'
import { tolerates } from '../../../spec/kube/node-affinity.ts'
import { findCondition } from '../objects/conditions.ts'
import { equal } from '../objects/meta.ts'
import { type Context, type Controller, controller, keyFor, watch } from '../run/controller.ts'

const leaseNamespace = 'kube-node-lease'
// Source: kube-controller-manager's node-monitor-grace-period.
const defaultGrace = 40_000
// A look that is this late means that the process, or the machine, has slept.
const late = 5000
const lost = 'NodeStatusUnknown'
const ours = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable', 'node.kubernetes.io/unschedulable']

/** The taints that follow from a node's conditions, with those that others have set. */
export const planTaints = (node: NodeObject, now: number): Taint[] => {
  const before = node.spec?.taints ?? []
  const ready = findCondition(node.status?.conditions, 'Ready')?.status
  const wanted: Taint[] = []
  const add = (key: string, ...effects: string[]): void => {
    for (const effect of effects) {
      const known = before.find((taint) => taint.key === key && taint.effect === effect)
      wanted.push(known ?? { key, effect, ...(effect === 'NoExecute' ? { timeAdded: timestamp(now) } : {}) })
    }
  }
  if (ready === 'Unknown') add('node.kubernetes.io/unreachable', 'NoSchedule', 'NoExecute')
  if (ready === 'False') add('node.kubernetes.io/not-ready', 'NoSchedule', 'NoExecute')
  if (node.spec?.unschedulable) add('node.kubernetes.io/unschedulable', 'NoSchedule')
  return [...before.filter(({ key }) => !ours.includes(key)), ...wanted]
}

/**
 * Watches the nodes' leases: a node that stops renewing its own becomes Unknown, and conditions become taints. A machine that
 * slept has let all leases run out at once; a look that comes far too late therefore only starts a new wait.
 */
export const nodes = (): Controller => {
  const due = new Map<string, number>()
  return controller({
    name: 'node-controller',
    for: Node,
    watches: [
      watch(Lease, ({ metadata }) => (metadata.namespace === leaseNamespace ? [{ name: metadata.name! }] : [])),
    ],
    async reconcile(key, context) {
      const { informers, clock, options } = context
      const grace = options.nodeGrace ?? defaultGrace
      const node = informers.of(Node).get(undefined, key.name)
      if (!node) {
        due.delete(key.name)
        return
      }
      await taint(node, context)
      const renewed = parseTimestamp(informers.of(Lease).get(leaseNamespace, key.name)?.spec?.renewTime)
      if (Number.isNaN(renewed)) return
      const now = clock.now()
      const planned = due.get(key.name)
      // The first look of a start knows nothing of the time before it either.
      const slept = planned === undefined || now - planned > late
      const left = Math.max(renewed + grace, slept ? now + grace : 0) - now
      if (left > 0) {
        due.set(key.name, now + left)
        if (renewed + grace > now) await markBack(node, context)
        return { requeueAfter: left }
      }
      await markUnknown(node, context)
      return
    },
  })
}

const taint = async (node: NodeObject, { objects, clock }: Context): Promise<void> => {
  const taints = planTaints(node, clock.now())
  if (equal(taints, node.spec?.taints ?? [])) return
  const { resourceVersion } = node.metadata
  await objects.patch(Node, keyFor(node), { type: 'merge', body: { metadata: { resourceVersion }, spec: { taints } } })
}

const markUnknown = async (node: NodeObject, { objects, clock, recorder }: Context): Promise<void> => {
  const ready = findCondition(node.status?.conditions, 'Ready')
  if (ready?.status === 'Unknown') return
  const now = timestamp(clock.now())
  const types = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure']
  const conditions = types.map(
    (type): NodeCondition => ({
      type,
      status: 'Unknown',
      reason: lost,
      message: 'Kubelet stopped posting node status.',
      lastHeartbeatTime: findCondition(node.status?.conditions, type)?.lastHeartbeatTime,
      lastTransitionTime: now,
    }),
  )
  await objects.patch(
    Node,
    keyFor(node),
    { type: 'strategic', body: { status: { conditions } } },
    { subresource: 'status' },
  )
  recorder.event(Node, node, 'Normal', 'NodeNotReady', `Node ${node.metadata.name} status is now: NodeNotReady`)
}

/** The lease is renewed again: what was said of the node because of its silence is taken back. */
const markBack = async (node: NodeObject, { objects, clock, recorder }: Context): Promise<void> => {
  const silent = (node.status?.conditions ?? []).filter(({ status, reason }) => status === 'Unknown' && reason === lost)
  if (silent.length === 0) return
  const now = timestamp(clock.now())
  const conditions = silent.map(
    ({ type }): NodeCondition => ({
      type,
      status: type === 'Ready' ? 'True' : 'False',
      reason: type === 'Ready' ? 'KubeletReady' : `KubeletHasNo${type}`,
      message: type === 'Ready' ? 'kubelet is posting ready status' : `kubelet has no ${type}`,
      lastHeartbeatTime: now,
      lastTransitionTime: now,
    }),
  )
  await objects.patch(
    Node,
    keyFor(node),
    { type: 'strategic', body: { status: { conditions } } },
    { subresource: 'status' },
  )
  recorder.event(Node, node, 'Normal', 'NodeReady', `Node ${node.metadata.name} status is now: NodeReady`)
}

const silenced = 'NodeNotReady'
/** Pods of a lost node take no traffic; when it is back, those whose containers are ready do again. */
const followNode = async (pod: PodObject, taints: readonly Taint[], { objects, clock }: Context): Promise<void> => {
  const ready = findCondition(pod.status?.conditions, 'Ready')
  const isLost = taints.some(({ key }) => key === 'node.kubernetes.io/unreachable')
  const containers = pod.status?.containerStatuses ?? []
  const returns = !isLost && ready?.reason === silenced && containers.length > 0 && containers.every((one) => one.ready)
  if (!returns && !(isLost && ready?.status === 'True')) return
  const lastTransitionTime = timestamp(clock.now())
  const condition = returns
    ? { type: 'Ready', status: 'True', reason: null, lastTransitionTime }
    : { type: 'Ready', status: 'False', reason: silenced, lastTransitionTime }
  const body = { status: { conditions: [condition] } }
  await objects.patch(Pod, keyFor(pod), { type: 'strategic', body }, { subresource: 'status' })
}

/** Removes pods from nodes with NoExecute taints they do not tolerate (any more); pods of lost nodes are not ready. */
export const taintEvictions = controller({
  name: 'taint-eviction-controller',
  for: Pod,
  watches: [
    watch(Node, (node, { informers, before }) => {
      if (before && equal(before.spec?.taints, node.spec?.taints)) return []
      if (!before && !node.spec?.taints?.length) return []
      const { name } = node.metadata
      return informers
        .of(Pod)
        .list()
        .filter((pod) => pod.spec?.nodeName === name)
        .map(keyFor)
    }),
  ],
  async reconcile(key, context) {
    const { objects, informers, clock, recorder } = context
    const pod = informers.of(Pod).get(key.namespace, key.name)
    const node = pod?.spec?.nodeName ? informers.of(Node).get(undefined, pod.spec.nodeName) : undefined
    if (!pod || !node || pod.metadata.deletionTimestamp) return
    const taints = (node.spec?.taints ?? []).filter(({ effect }) => effect === 'NoExecute')
    await followNode(pod, taints, context)
    if (taints.length === 0) return
    const left = evictionAt(pod, taints) - clock.now()
    if (left === Number.POSITIVE_INFINITY) return
    if (left > 0) return { requeueAfter: left }
    const condition = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'DeletionByTaintManager',
      message: 'Taint manager: deleting due to NoExecute taint',
      lastTransitionTime: timestamp(clock.now()),
    }
    await objects.patch(
      Pod,
      key,
      { type: 'strategic', body: { status: { conditions: [condition] } } },
      { subresource: 'status' },
    )
    recorder.event(Pod, pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${key.namespace}/${key.name}`)
    await objects.delete(Pod, key, { preconditions: { uid: pod.metadata.uid! } })
    return
  },
})

/** When the pod has to go, in ms since the epoch; Infinity: it may stay. */
export const evictionAt = (pod: PodObject, taints: readonly Taint[]): number => {
  const times = taints.map((taint) => {
    const covering = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint))
    if (covering.length === 0) return 0
    const seconds = covering.map(({ tolerationSeconds }) => tolerationSeconds ?? Number.POSITIVE_INFINITY)
    return (parseTimestamp(taint.timeAdded) || 0) + Math.max(0, Math.min(...seconds)) * 1000
  })
  return Math.min(...times)
}
