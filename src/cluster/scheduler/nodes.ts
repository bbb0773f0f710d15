/** What is where: the nodes with the pods on them and what these use. */
import type { Node, Pod } from '../../spec/kube/generated/types.ts'
import { type Amounts, amountsOf, podRequests } from '../../spec/kube/pod-requests.ts'

export interface NodeInfo {
  node: Node
  pods: ReadonlyMap<string, Pod>
  allocatable: Amounts
  /** Sum of the pods' requests. */
  requested: Amounts
}

const isDone = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
const memo = new WeakMap<object, Amounts>()
/** As podRequests, computed once for a spec. */
export const requestsOf = (pod: Pod): Amounts => {
  const spec = pod.spec!
  let requests = memo.get(spec)
  if (!requests) memo.set(spec, (requests = podRequests(spec)))
  return requests
}

interface Place {
  pods: Map<string, Pod>
  requested: Amounts
}

const traits = ({ metadata, spec, status }: Node): string =>
  JSON.stringify([metadata.labels, spec, status?.allocatable])

/** Kept up to date by events; a pod that was just bound is assumed to be there until its event says so. */
export class Nodes {
  readonly #nodes = new Map<string, { node: Node; allocatable: Amounts }>()
  readonly #places = new Map<string, Place>()
  readonly #placeOf = new Map<string, string>()

  /** False when nothing has changed that decides where pods can go (a heartbeat). */
  setNode(node: Node): boolean {
    const before = this.#nodes.get(node.metadata.name!)?.node
    const allocatable = amountsOf(node.status?.allocatable ?? node.status?.capacity)
    this.#nodes.set(node.metadata.name!, { node, allocatable })
    return !before || traits(before) !== traits(node)
  }
  /** The pod is on a node, or assumed to be. */
  has(uid: string): boolean {
    return this.#placeOf.has(uid)
  }
  removeNode(name: string): void {
    this.#nodes.delete(name)
  }

  /** Puts the pod where it says it is; finished pods and those without a node are nowhere. */
  setPod(pod: Pod): 'placed' | 'freed' | 'same' {
    const uid = pod.metadata.uid!
    const name = isDone(pod) ? undefined : pod.spec?.nodeName
    // An event from before the binding must not take an assumed pod away.
    if (name === undefined && !isDone(pod) && this.#placeOf.has(uid)) return 'same'
    const before = this.#placeOf.get(uid)
    this.removePod(uid)
    if (name) this.#put(name, pod)
    if (name === undefined) return before === undefined ? 'same' : 'freed'
    return before === name ? 'same' : 'placed'
  }
  /** The pod counts as being on the node from now on. */
  assume(pod: Pod, node: string): void {
    this.removePod(pod.metadata.uid!)
    this.#put(node, { ...pod, spec: { ...pod.spec!, nodeName: node } })
  }
  removePod(uid: string): void {
    const name = this.#placeOf.get(uid)
    const place = name === undefined ? undefined : this.#places.get(name)
    const pod = place?.pods.get(uid)
    if (!place || !pod) return
    place.pods.delete(uid)
    this.#placeOf.delete(uid)
    for (const [resource, amount] of Object.entries(requestsOf(pod))) place.requested[resource]! -= amount
    if (place.pods.size === 0) this.#places.delete(name!)
  }
  #put(name: string, pod: Pod): void {
    let place = this.#places.get(name)
    if (!place) this.#places.set(name, (place = { pods: new Map(), requested: {} }))
    place.pods.set(pod.metadata.uid!, pod)
    this.#placeOf.set(pod.metadata.uid!, name)
    for (const [resource, amount] of Object.entries(requestsOf(pod))) {
      place.requested[resource] = (place.requested[resource] ?? 0) + amount
    }
  }

  all(): NodeInfo[] {
    return [...this.#nodes].map(([name, { node, allocatable }]) => {
      const place = this.#places.get(name)
      return { node, allocatable, pods: place?.pods ?? new Map(), requested: place?.requested ?? {} }
    })
  }
}
