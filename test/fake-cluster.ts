/** Informers and a client that only remember: for tests of what watches Kubernetes objects. */
import type { Informer, Informers } from '../src/cluster/types.ts'
import type { ObjectClient } from '../src/spec/kube/client.ts'
import type { Kind, ObjectMetaHolder } from '../src/spec/kube/kinds.ts'

export const createFakeCluster = () => {
  type Listener = (event: { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: never }) => void
  const kinds = new Map<string, { objects: Map<string, ObjectMetaHolder>; listeners: Set<Listener> }>()
  const of = (kind: Kind<never>) => {
    const known = kinds.get(kind.plural) ?? { objects: new Map(), listeners: new Set() }
    kinds.set(kind.plural, known)
    return known
  }
  const keyOf = ({ metadata }: ObjectMetaHolder): string => `${metadata.namespace ?? ''}/${metadata.name}`
  const put = <T extends ObjectMetaHolder>(kind: Kind<T>, object: T): void => {
    const { objects, listeners } = of(kind as never)
    const type = objects.has(keyOf(object)) ? 'MODIFIED' : 'ADDED'
    objects.set(keyOf(object), object)
    for (const listener of listeners) listener({ type, object: object as never })
  }
  const remove = <T extends ObjectMetaHolder>(kind: Kind<T>, object: T): void => {
    const { objects, listeners } = of(kind as never)
    objects.delete(keyOf(object))
    for (const listener of listeners) listener({ type: 'DELETED', object: object as never })
  }
  const informers: Informers = {
    of: (kind) => {
      const { objects, listeners } = of(kind as never)
      const informer: Informer<ObjectMetaHolder> = {
        get: (namespace, name) => objects.get(`${namespace ?? ''}/${name}`),
        list: (namespace) =>
          [...objects.values()].filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace),
        on: (listener) => {
          listeners.add(listener as never)
          for (const object of objects.values()) listener({ type: 'ADDED', object })
          return () => void listeners.delete(listener as never)
        },
        synced: Promise.resolve(),
      }
      return informer as never
    },
    close: () => {},
  }
  const client = {
    updateStatus: async (kind: Kind<never>, object: ObjectMetaHolder) => {
      put(kind, object as never)
      return object
    },
  } as unknown as ObjectClient
  return { informers, client, put, remove }
}
