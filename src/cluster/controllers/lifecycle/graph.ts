/** Who owns whom, of all objects there are. Source: pkg/controller/garbagecollector/graph.go. */
import type { OwnerReference } from '../../../spec/kube/generated/types.ts'
import type { ObjectMetaHolder } from '../../../spec/kube/kinds.ts'
import type { AnyKind } from '../run/writes.ts'

export interface GraphNode {
  kind: AnyKind
  uid: string
  namespace: string | undefined
  name: string
  owners: readonly OwnerReference[]
  deleting: boolean
  finalizers: readonly string[]
}

const sameOwners = (a: readonly OwnerReference[], b: readonly OwnerReference[]): boolean =>
  a.length === b.length &&
  a.every((one, i) => one.uid === b[i]!.uid && one.blockOwnerDeletion === b[i]!.blockOwnerDeletion)

export const nodeOf = (kind: AnyKind, { metadata }: ObjectMetaHolder): GraphNode => ({
  kind,
  uid: metadata.uid!,
  namespace: metadata.namespace,
  name: metadata.name!,
  owners: metadata.ownerReferences ?? [],
  deleting: metadata.deletionTimestamp !== undefined,
  finalizers: metadata.finalizers ?? [],
})

export class Graph {
  readonly #nodes = new Map<string, GraphNode>()
  readonly #dependents = new Map<string, Set<string>>()

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid)
  }
  dependents(uid: string): GraphNode[] {
    return [...(this.#dependents.get(uid) ?? [])].map((one) => this.#nodes.get(one)!)
  }

  /** Takes the object's present state; the uids that have to be looked at because of it. */
  set(node: GraphNode): string[] {
    const before = this.#nodes.get(node.uid)
    this.#nodes.set(node.uid, node)
    const lost = before && !sameOwners(before.owners, node.owners) ? before.owners.map(({ uid }) => uid) : []
    if (!before || lost.length > 0) {
      for (const uid of lost) this.#unlink(uid, node.uid)
      for (const { uid } of node.owners) this.#link(uid, node.uid)
    }
    // Most objects have no owner and are not going: nothing to do for them.
    const self = node.owners.length > 0 || node.deleting ? [node.uid] : []
    return [...self, ...lost]
  }

  /** Forgets the object: its dependents may go now, its owners may have waited for it. */
  remove(uid: string): string[] {
    const node = this.#nodes.get(uid)
    if (!node) return []
    this.#nodes.delete(uid)
    for (const owner of node.owners) this.#unlink(owner.uid, uid)
    return [...(this.#dependents.get(uid) ?? []), ...node.owners.map((owner) => owner.uid)]
  }

  #link(owner: string, dependent: string): void {
    const all = this.#dependents.get(owner)
    if (all) all.add(dependent)
    else this.#dependents.set(owner, new Set([dependent]))
  }
  #unlink(owner: string, dependent: string): void {
    const all = this.#dependents.get(owner)
    all?.delete(dependent)
    if (all?.size === 0) this.#dependents.delete(owner)
  }
}

export type CollectStep =
  | { do: 'nothing' }
  | { do: 'delete'; propagation: 'Background' | 'Foreground' | 'Orphan' }
  /** Take these owners off the object. */
  | { do: 'disown'; uids: string[] }
  /** Look at the dependents; when none blocks any more, take the finalizer off. */
  | { do: 'foreground'; dependents: GraphNode[]; done: boolean }
  | { do: 'orphan'; dependents: GraphNode[] }

const isWaiting = (node: GraphNode): boolean => node.deleting && node.finalizers.includes('foregroundDeletion')

/** What is to be done with an object. `absent`: owners that the server says do not exist. */
export const planCollect = (node: GraphNode, graph: Graph, absent: ReadonlySet<string>): CollectStep => {
  if (node.deleting && node.finalizers.includes('orphan'))
    return { do: 'orphan', dependents: graph.dependents(node.uid) }
  if (isWaiting(node)) {
    const dependents = graph.dependents(node.uid)
    const blocks = ({ owners }: GraphNode): boolean =>
      owners.some(({ uid, blockOwnerDeletion }) => uid === node.uid && blockOwnerDeletion)
    return { do: 'foreground', dependents, done: !dependents.some(blocks) }
  }
  if (node.deleting || node.owners.length === 0) return { do: 'nothing' }
  const waiting = node.owners.filter(({ uid }) => !absent.has(uid) && graph.get(uid) && isWaiting(graph.get(uid)!))
  const gone = node.owners.filter(({ uid }) => absent.has(uid))
  if (gone.length + waiting.length < node.owners.length) {
    const uids = [...gone, ...waiting].map(({ uid }) => uid)
    return uids.length > 0 ? { do: 'disown', uids } : { do: 'nothing' }
  }
  if (waiting.length > 0 && graph.dependents(node.uid).length > 0) return { do: 'delete', propagation: 'Foreground' }
  const { finalizers } = node
  if (finalizers.includes('orphan')) return { do: 'delete', propagation: 'Orphan' }
  return { do: 'delete', propagation: finalizers.includes('foregroundDeletion') ? 'Foreground' : 'Background' }
}
