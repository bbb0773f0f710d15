import type { OwnerReference } from '../../../spec/kube/generated/types.ts'
import type { Kind, ObjectMetaHolder } from '../../../spec/kube/kinds.ts'
import type { Informer, Informers } from '../../types.ts'
import { kindId } from './writes.ts'

/** The reference that says who manages the object. */
export const controllerOf = (object: ObjectMetaHolder): OwnerReference | undefined =>
  object.metadata.ownerReferences?.find((reference) => reference.controller)

interface Index<T> {
  byOwner: Map<string, Map<string, T>>
  orphans: Map<string, Map<string, T>>
}

const keep = <T>(buckets: Map<string, Map<string, T>>, bucket: string, uid: string, object: T): void => {
  const entries = buckets.get(bucket)
  if (entries) entries.set(uid, object)
  else buckets.set(bucket, new Map([[uid, object]]))
}
const drop = <T>(buckets: Map<string, Map<string, T>>, bucket: string, uid: string): void => {
  const entries = buckets.get(bucket)
  entries?.delete(uid)
  if (entries?.size === 0) buckets.delete(bucket)
}

const buildIndex = <T extends ObjectMetaHolder>(informer: Informer<T>): Index<T> => {
  const index: Index<T> = { byOwner: new Map(), orphans: new Map() }
  const places = new Map<string, { owner: string | undefined; namespace: string }>()
  informer.on(({ type, object }) => {
    const { uid = '', namespace = '' } = object.metadata
    const before = places.get(uid)
    if (before?.owner) drop(index.byOwner, before.owner, uid)
    else if (before) drop(index.orphans, before.namespace, uid)
    if (type === 'DELETED') {
      places.delete(uid)
      return
    }
    const owner = controllerOf(object)?.uid
    places.set(uid, { owner, namespace })
    if (owner) keep(index.byOwner, owner, uid, object)
    else keep(index.orphans, namespace, uid, object)
  })
  return index
}

/** The objects of a kind by the uid of their controller, and those of a namespace that have none. */
export class Owned {
  readonly #informers: Informers
  readonly #indexes = new Map<string, Index<ObjectMetaHolder>>()

  constructor(informers: Informers) {
    this.#informers = informers
  }

  #of<T extends ObjectMetaHolder>(kind: Kind<T>): Index<T> {
    const id = kindId(kind)
    let index = this.#indexes.get(id)
    if (!index) this.#indexes.set(id, (index = buildIndex(this.#informers.of(kind)) as Index<ObjectMetaHolder>))
    return index as Index<T>
  }

  by<T extends ObjectMetaHolder>(kind: Kind<T>, uid: string | undefined): T[] {
    return [
      ...(this.#of(kind)
        .byOwner.get(uid ?? '')
        ?.values() ?? []),
    ]
  }

  orphans<T extends ObjectMetaHolder>(kind: Kind<T>, namespace: string | undefined): T[] {
    return [
      ...(this.#of(kind)
        .orphans.get(namespace ?? '')
        ?.values() ?? []),
    ]
  }
}
