import { isError, messageOf } from '../../../errors.ts'
import { WorkQueue } from '../../../lib/work-queue.ts'
import type { OwnerReference } from '../../../spec/kube/generated/types.ts'
import type { Surroundings } from '../run/controller.ts'
import { type AnyKind, kindId } from '../run/writes.ts'
import { type CollectStep, Graph, type GraphNode, nodeOf, planCollect } from './graph.ts'
import { resourcesOf } from './resources.ts'

// Events have owners nobody waits for, and there are many of them.
const isIgnored = (kind: AnyKind): boolean => kind.plural === 'events'

/** The garbage collector: removes what has lost its owners, in the order that the deletion of the owner asks for. */
export const startCollector = (around: Surroundings): void => {
  const { informers, signal, clock, log, client, options } = around
  const graph = new Graph()
  const followed = new Set<string>()
  const queue = new WorkQueue({
    clock,
    signal,
    workers: 5,
    work: async (uid) => {
      const node = graph.get(uid)
      if (!node) return
      await perform(node, planCollect(node, graph, await absentOwners(node)))
    },
    onError: (uid, error) => {
      const level = isError(error, 'conflict', 'not-found') ? 'debug' : 'warn'
      log[level]('not collected', { object: graph.get(uid)?.name, error: messageOf(error) })
    },
  })

  const follow = (kind: AnyKind): void => {
    const id = kindId(kind)
    if (followed.has(id) || isIgnored(kind)) return
    followed.add(id)
    const off = informers.of(kind).on(({ type, object }) => {
      const next = type === 'DELETED' ? graph.remove(object.metadata.uid!) : graph.set(nodeOf(kind, object))
      for (const uid of next) queue.add(uid)
      // A new kind of objects has come, or one has gone.
      if (kind.kind === 'CustomResourceDefinition') followAll()
    })
    signal.addEventListener('abort', off, { once: true })
  }
  const followAll = (): void => {
    for (const kind of resourcesOf(options)) follow(kind)
  }

  const kindOf = ({ apiVersion, kind }: OwnerReference): AnyKind | undefined => {
    const group = apiVersion.includes('/') ? apiVersion.split('/')[0]! : ''
    return resourcesOf(options).find((one) => one.kind === kind && one.group === group)
  }
  /** Owners that do not exist. The graph may lag, so the server has the last word; a kind nobody knows is left alone. */
  const absentOwners = async (node: GraphNode): Promise<Set<string>> => {
    const absent = new Set<string>()
    if (node.deleting) return absent
    for (const reference of node.owners) {
      if (graph.get(reference.uid)) continue
      const kind = kindOf(reference)
      if (!kind || (kind.namespaced && !node.namespace)) continue
      const place = kind.namespaced ? { namespace: node.namespace } : {}
      const owner = await client.get(kind, { ...place, name: reference.name })
      if (owner?.metadata.uid !== reference.uid) absent.add(reference.uid)
    }
    return absent
  }

  const keyOf = (node: GraphNode) =>
    node.namespace ? { namespace: node.namespace, name: node.name } : { name: node.name }
  const disown = async (node: GraphNode, uids: readonly string[]): Promise<void> => {
    const fresh = await client.get(node.kind, keyOf(node))
    if (fresh?.metadata.uid !== node.uid) return
    const { uid, resourceVersion, ownerReferences = [] } = fresh.metadata
    const left = ownerReferences.filter((reference) => !uids.includes(reference.uid))
    if (left.length === ownerReferences.length) return
    const body = { metadata: { uid, resourceVersion, ownerReferences: left } }
    await client.patch(node.kind, keyOf(node), { type: 'merge', body })
  }
  const release = async (node: GraphNode, finalizer: string): Promise<void> => {
    const fresh = await client.get(node.kind, keyOf(node))
    if (fresh?.metadata.uid !== node.uid || !fresh.metadata.finalizers?.includes(finalizer)) return
    const { uid, resourceVersion, finalizers } = fresh.metadata
    const body = { metadata: { uid, resourceVersion, finalizers: finalizers.filter((one) => one !== finalizer) } }
    await client.patch(node.kind, keyOf(node), { type: 'merge', body })
  }
  const perform = async (node: GraphNode, step: CollectStep): Promise<void> => {
    if (step.do === 'disown') await disown(node, step.uids)
    else if (step.do === 'delete') {
      const { propagation } = step
      await client.delete(node.kind, keyOf(node), { propagation, preconditions: { uid: node.uid } })
    } else if (step.do === 'orphan') {
      for (const dependent of step.dependents) await disown(dependent, [node.uid])
      await release(node, 'orphan')
    } else if (step.do === 'foreground') {
      for (const dependent of step.dependents) if (!dependent.deleting) queue.add(dependent.uid)
      if (step.done) await release(node, 'foregroundDeletion')
    }
  }
  followAll()
}
