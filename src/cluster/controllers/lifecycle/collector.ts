import { isError, messageOf } from '../../../errors.ts'
import { WorkQueue } from '../../../lib/work-queue.ts'
import type { OwnerReference } from '../../../spec/kube/generated/types.ts'
import type { Surroundings } from '../run/controller.ts'
import { type AnyKind, kindId } from '../run/writes.ts'
import { type CollectStep, Graph, type GraphNode, nodeOf, planCollect } from './graph.ts'
import { resourcesOf } from './resources.ts'

// Events have owners nobody waits for, and there are many of them.
const isIgnored = (kind: AnyKind): boolean => kind.plural === 'events'

const keyOf = ({ namespace, name }: GraphNode) => (namespace ? { namespace, name } : { name })

/** The garbage collector: removes what has lost its owners, in the order that the deletion of the owner asks for. */
export const startCollector = (around: Surroundings): void => new Collector(around).followAll()

class Collector {
  readonly #around: Surroundings
  readonly #graph = new Graph()
  readonly #followed = new Set<string>()
  readonly #queue: WorkQueue

  constructor(around: Surroundings) {
    this.#around = around
    const { clock, signal, log } = around
    this.#queue = new WorkQueue({
      clock,
      signal,
      workers: 5,
      work: (uid) => this.#work(uid),
      onError: (uid, error) => {
        const level = isError(error, 'conflict', 'not-found') ? 'debug' : 'warn'
        log[level]('not collected', { object: this.#graph.get(uid)?.name, error: messageOf(error) })
      },
    })
  }

  /** Watches all kinds there are, and those that come. */
  followAll(): void {
    for (const kind of resourcesOf(this.#around.options)) this.#follow(kind)
  }

  #follow(kind: AnyKind): void {
    const { informers, signal } = this.#around
    const id = kindId(kind)
    if (this.#followed.has(id) || isIgnored(kind)) return
    this.#followed.add(id)
    const off = informers.of(kind).on(({ type, object }) => {
      const next = type === 'DELETED' ? this.#graph.remove(object.metadata.uid!) : this.#graph.set(nodeOf(kind, object))
      for (const uid of next) this.#queue.add(uid)
      if (kind.kind === 'CustomResourceDefinition') this.followAll()
    })
    signal.addEventListener('abort', off, { once: true })
  }

  async #work(uid: string): Promise<void> {
    const node = this.#graph.get(uid)
    if (node) await this.#perform(node, planCollect(node, this.#graph, await this.#absentOwners(node)))
  }

  /** Owners that do not exist. The graph may lag, so the server has the last word; a kind nobody knows is left alone. */
  async #absentOwners(node: GraphNode): Promise<Set<string>> {
    const absent = new Set<string>()
    if (node.deleting) return absent
    for (const reference of node.owners) {
      if (this.#graph.get(reference.uid)) continue
      const kind = this.#kindOf(reference)
      if (!kind || (kind.namespaced && !node.namespace)) continue
      const place = kind.namespaced ? { namespace: node.namespace } : {}
      const owner = await this.#around.client.get(kind, { ...place, name: reference.name })
      if (owner?.metadata.uid !== reference.uid) absent.add(reference.uid)
    }
    return absent
  }

  #kindOf({ apiVersion, kind }: OwnerReference): AnyKind | undefined {
    const group = apiVersion.includes('/') ? apiVersion.split('/')[0]! : ''
    return resourcesOf(this.#around.options).find((one) => one.kind === kind && one.group === group)
  }

  async #perform(node: GraphNode, step: CollectStep): Promise<void> {
    switch (step.do) {
      case 'nothing':
        return
      case 'disown':
        return this.#disown(node, step.uids)
      case 'delete': {
        const options = { propagation: step.propagation, preconditions: { uid: node.uid } }
        await this.#around.client.delete(node.kind, keyOf(node), options)
        return
      }
      case 'orphan':
        for (const dependent of step.dependents) await this.#disown(dependent, [node.uid])
        return this.#release(node, 'orphan')
      case 'foreground':
        for (const dependent of step.dependents) if (!dependent.deleting) this.#queue.add(dependent.uid)
        if (step.done) await this.#release(node, 'foregroundDeletion')
    }
  }

  async #disown(node: GraphNode, uids: readonly string[]): Promise<void> {
    const { client } = this.#around
    const fresh = await client.get(node.kind, keyOf(node))
    if (fresh?.metadata.uid !== node.uid) return
    const { uid, resourceVersion, ownerReferences = [] } = fresh.metadata
    const left = ownerReferences.filter((reference) => !uids.includes(reference.uid))
    if (left.length === ownerReferences.length) return
    const body = { metadata: { uid, resourceVersion, ownerReferences: left } }
    await client.patch(node.kind, keyOf(node), { type: 'merge', body })
  }

  async #release(node: GraphNode, finalizer: string): Promise<void> {
    const { client } = this.#around
    const fresh = await client.get(node.kind, keyOf(node))
    if (fresh?.metadata.uid !== node.uid || !fresh.metadata.finalizers?.includes(finalizer)) return
    const { uid, resourceVersion, finalizers } = fresh.metadata
    const body = { metadata: { uid, resourceVersion, finalizers: finalizers.filter((one) => one !== finalizer) } }
    await client.patch(node.kind, keyOf(node), { type: 'merge', body })
  }
}
