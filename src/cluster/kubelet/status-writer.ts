/** Writes a pod's status when it has changed, and only what the kubelet owns of it. */
import { isError } from '../../errors.ts'
import { equalJson } from '../../lib/json.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Pod, PodStatus } from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'

export class StatusWriter {
  #client: Pick<ObjectClient, 'patch'>
  #written: PodStatus | undefined

  constructor(client: Pick<ObjectClient, 'patch'>) {
    this.#client = client
  }

  /** The pod as stored then; undefined when nothing had to be written or the pod has gone. */
  async write(pod: Pod, status: PodStatus): Promise<Pod | undefined> {
    const before = this.#written ?? pod.status
    if (equalJson(plain(before), plain(status))) return undefined
    const removed = Object.keys(before ?? {}).filter((key) => !(key in status))
    const body = {
      metadata: { uid: pod.metadata.uid },
      status: { ...ownPart(status), ...Object.fromEntries(removed.map((key) => [key, null])) },
    }
    const key = { namespace: pod.metadata.namespace!, name: pod.metadata.name! }
    try {
      const written = await this.#client.patch(kinds.Pod, key, { type: 'strategic', body }, { subresource: 'status' })
      this.#written = status
      return written
    } catch (error) {
      if (isError(error, 'not-found', 'conflict')) return undefined // gone or replaced: the informer will say so
      throw error
    }
  }
}

/** Conditions of others are left out: they may have changed since we looked, and merge by type. */
const ownPart = (status: PodStatus): Record<string, unknown> => ({
  ...status,
  conditions: (status.conditions ?? [])
    .filter((c) => ownConditions.has(c.type))
    .map((c) => ({ reason: null, message: null, ...c })),
  ...(status.podIPs ? { podIPs: [replaceList, ...status.podIPs] } : {}),
  ...(status.hostIPs ? { hostIPs: [replaceList, ...status.hostIPs] } : {}),
})
const ownConditions = new Set(['PodReadyToStartContainers', 'Initialized', 'ContainersReady', 'Ready'])
const replaceList = { $patch: 'replace' }

const plain = <T>(value: T): T => (value === undefined ? value : JSON.parse(JSON.stringify(value)))
