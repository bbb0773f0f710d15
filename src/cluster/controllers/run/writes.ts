import type { DeleteOptions, Key, ObjectClient, Patch, WriteOptions } from '../../../spec/kube/client.ts'
import type { Kind, ObjectMetaHolder } from '../../../spec/kube/kinds.ts'
import type { Informers } from '../../types.ts'

export type AnyKind = Kind<ObjectMetaHolder>
/** What controllers may do with objects. */
export type ControllerClient = Pick<
  ObjectClient,
  | 'get'
  | 'list'
  | 'create'
  | 'update'
  | 'updateStatus'
  | 'patch'
  | 'delete'
  | 'deleteCollection'
  | 'createSubresource'
  | 'getScale'
  | 'setScale'
  | 'podMetrics'
>

export const kindId = (kind: Pick<Kind, 'group' | 'plural'>): string => `${kind.group}/${kind.plural}`

type Write =
  | { kind: AnyKind; type: 'written'; resourceVersion: number }
  | { kind: AnyKind; type: 'deleted'; namespace: string | undefined; name: string; uid: string | undefined }

/**
 * Remembers, a key, what its last reconcile wrote, until the informers have seen it. Plans made from an informer that lags
 * behind one's own writes would do everything twice; with this a key simply waits for its writes to come back.
 */
export class Writes {
  readonly #informers: Informers
  readonly #newest = new Map<string, number>()
  readonly #pending = new Map<string, { writes: Write[]; since: number }>()
  readonly #watched = new Set<string>()

  constructor(informers: Informers) {
    this.#informers = informers
  }

  /** Writes to `kind` count from now on. `onSeen` is called with the keys that may have become ready. */
  follow(kind: AnyKind, onSeen: (key: string) => void): void {
    const id = kindId(kind)
    if (this.#watched.has(id)) return
    this.#watched.add(id)
    this.#informers.of(kind).on(({ object }) => {
      const version = Number(object.metadata.resourceVersion ?? 0)
      if (version > (this.#newest.get(id) ?? 0)) this.#newest.set(id, version)
      for (const [key, { writes }] of this.#pending) if (writes.some((w) => kindId(w.kind) === id)) onSeen(key)
    })
  }

  /** True when the informers have seen everything `key` has written, or after `patience` ms, whatever they have seen. */
  seen(key: string, now: number, patience: number): boolean {
    const pending = this.#pending.get(key)
    if (!pending) return true
    pending.writes = pending.writes.filter((write) => !this.#isSeen(write))
    if (pending.writes.length > 0 && now - pending.since < patience) return false
    this.#pending.delete(key)
    return true
  }

  #isSeen(write: Write): boolean {
    if (write.type === 'written') return (this.#newest.get(kindId(write.kind)) ?? 0) >= write.resourceVersion
    const known = this.#informers.of(write.kind).get(write.namespace, write.name)
    return !known || known.metadata.uid !== write.uid || known.metadata.deletionTimestamp !== undefined
  }

  #remember(key: string, now: number, write: Write): void {
    if (!this.#watched.has(kindId(write.kind)) || this.#isSeen(write)) return
    const pending = this.#pending.get(key)
    if (pending) pending.writes.push(write)
    else this.#pending.set(key, { writes: [write], since: now })
  }

  /** `client`, with the writes of `key` remembered and `fieldManager` as their author. */
  recording(client: ObjectClient, key: string, now: () => number, fieldManager: string): ControllerClient {
    const written = <T extends ObjectMetaHolder>(kind: AnyKind, object: T): T => {
      const resourceVersion = Number(object.metadata.resourceVersion ?? 0)
      this.#remember(key, now(), { kind, type: 'written', resourceVersion })
      return object
    }
    const by = <O extends WriteOptions>(options?: O): O => ({ fieldManager, ...options }) as O
    return {
      get: (kind, at) => client.get(kind, at),
      list: (kind, options) => client.list(kind, options),
      create: async (kind, object, options) => written(kind, await client.create(kind, object, by(options))),
      update: async (kind, object, options) => written(kind, await client.update(kind, object, by(options))),
      updateStatus: async (kind, object, options) =>
        written(kind, await client.updateStatus(kind, object, by(options))),
      patch: async (kind, at: Key, patch: Patch, options) =>
        written(kind, await client.patch(kind, at, patch, by(options))),
      delete: async (kind, at: Key, options?: DeleteOptions) => {
        const uid = this.#informers.of(kind).get(at.namespace, at.name)?.metadata.uid
        const gone = await client.delete(kind, at, by(options))
        this.#remember(key, now(), { kind, type: 'deleted', ...at, namespace: at.namespace, uid })
        return gone
      },
      deleteCollection: (kind, options) => client.deleteCollection(kind, options),
      createSubresource: (kind, at, subresource, body) => client.createSubresource(kind, at, subresource, body),
      getScale: (kind, at) => client.getScale(kind, at),
      setScale: (kind, at, replicas) => client.setScale(kind, at, replicas),
      podMetrics: (options) => client.podMetrics(options),
    }
  }
}
