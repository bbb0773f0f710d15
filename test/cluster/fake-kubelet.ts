import { timestamp } from '../../src/lib/timestamp.ts'
import type { ObjectClient } from '../../src/spec/kube/client.ts'
import type { Node as NodeObject, Pod as PodObject, PodStatus } from '../../src/spec/kube/generated/types.ts'
import { Node, Pod } from '../../src/spec/kube/kinds.ts'
import type { Informers } from '../../src/cluster/types.ts'

export interface FakeKubelet {
  /** Pods for which this answers false stay unready until `ready` says otherwise. */
  becomesReady: (pod: PodObject) => boolean
  /** Pods for which this answers false stay terminating until they are deleted with no grace. */
  letsGo: (pod: PodObject) => boolean
  ready(namespace: string, name: string, value: boolean): Promise<void>
  /** The pod's containers have all ended. */
  finish(namespace: string, name: string, exitCode: number): Promise<void>
}

/** For tests: says of every bound pod that it runs and is ready, and lets go of those that are deleted. */
export const fakeKubelet = (client: ObjectClient, informers: Informers): FakeKubelet => {
  let addresses = 0
  const known = new Map<string, string>()
  const statusOf = (pod: PodObject, ready: boolean): PodStatus => {
    const uid = pod.metadata.uid!
    if (!known.has(uid)) known.set(uid, `10.0.${Math.floor(++addresses / 250)}.${(addresses % 250) + 1}`)
    const now = timestamp(Date.now())
    const podIP = known.get(uid)!
    const condition = (type: string, value: boolean) => ({
      type,
      status: value ? 'True' : 'False',
      lastTransitionTime: now,
    })
    const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== 'Ready' && type !== 'ContainersReady')
    return {
      ...pod.status,
      phase: 'Running',
      podIP,
      podIPs: [{ ip: podIP }],
      startTime: pod.status?.startTime ?? now,
      conditions: [...others, condition('Ready', ready), condition('ContainersReady', ready)],
      containerStatuses: pod.spec!.containers.map(({ name, image = '' }) => ({
        name,
        image,
        imageID: image,
        ready,
        restartCount: 0,
        started: true,
        state: { running: { startedAt: now } },
      })),
    }
  }
  const fresh = async (namespace: string, name: string): Promise<PodObject> => {
    const pod = await client.get(Pod, { namespace, name })
    if (!pod) throw new Error(`no pod ${namespace}/${name}`)
    return pod
  }
  const kubelet: FakeKubelet = {
    becomesReady: () => true,
    letsGo: () => true,
    async ready(namespace, name, value) {
      const pod = await fresh(namespace, name)
      await client.updateStatus(Pod, { ...pod, status: statusOf(pod, value) })
    },
    async finish(namespace, name, exitCode) {
      const pod = await fresh(namespace, name)
      const now = timestamp(Date.now())
      const status: PodStatus = {
        ...pod.status,
        phase: exitCode === 0 ? 'Succeeded' : 'Failed',
        conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: now }],
        containerStatuses: (pod.status?.containerStatuses ?? []).map((container) => ({
          ...container,
          ready: false,
          state: { terminated: { exitCode, finishedAt: now, startedAt: now } },
        })),
      }
      await client.updateStatus(Pod, { ...pod, status })
    },
  }
  informers.of(Pod).on(({ type, object: pod }) => {
    if (type === 'DELETED' || !pod.spec?.nodeName) return
    const { namespace, name, uid, deletionTimestamp } = pod.metadata
    const act = async (): Promise<void> => {
      if (deletionTimestamp) {
        if (!kubelet.letsGo(pod)) return
        await client.delete(Pod, { namespace, name: name! }, { gracePeriodSeconds: 0, preconditions: { uid: uid! } })
      } else if ((pod.status?.phase ?? 'Pending') === 'Pending') {
        const current = await client.get(Pod, { namespace, name: name! })
        if (!current || current.metadata.uid !== uid) return
        await client.updateStatus(Pod, { ...current, status: statusOf(current, kubelet.becomesReady(current)) })
      }
    }
    act().catch(() => {})
  })
  return kubelet
}

/** A ready node with room for many pods. */
export const testNode = (name: string, more: Partial<NodeObject['spec'] & object> = {}): NodeObject => ({
  apiVersion: 'v1',
  kind: Node.kind,
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  spec: more,
  status: {
    capacity: { cpu: '4', memory: '8Gi', pods: '110' },
    allocatable: { cpu: '4', memory: '8Gi', pods: '110' },
    conditions: [{ type: 'Ready', status: 'True' }],
  },
})
