import { isError, messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient, WatchEvent } from '../../spec/kube/client.ts'
import type { Kind, ObjectMetaHolder } from '../../spec/kube/kinds.ts'
import type { Informer } from '../types.ts'

type Change<T> = Extract<WatchEvent<T>, { object: T }>

interface Source<T extends ObjectMetaHolder> {
  client: ObjectClient
  kind: Kind<T>
  log: Log
  clock: Clock
  signal: AbortSignal
}

const none: readonly never[] = Object.freeze([])

/** List, then watch from there; lists anew when the server no longer knows the version. Listeners run synchronously. */
export class KeptList<T extends ObjectMetaHolder> implements Informer<T> {
  readonly synced: Promise<void>
  readonly #source: Source<T>
  readonly #namespaces = new Map<string, Map<string, T>>()
  readonly #arrays = new Map<string, readonly T[]>()
  readonly #listeners = new Set<(event: Change<T>) => void>()
  #markSynced!: () => void

  constructor(source: Source<T>) {
    this.#source = source
    this.synced = new Promise((resolve) => {
      this.#markSynced = resolve
    })
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#namespaces.get(namespace ?? '')?.get(name)
  }

  list(namespace?: string): readonly T[] {
    const id = namespace ?? '*'
    const known = this.#arrays.get(id)
    if (known) return known
    const made = namespace === undefined ? this.#everything() : [...(this.#namespaces.get(namespace)?.values() ?? none)]
    this.#arrays.set(id, made)
    return made
  }

  on(listener: (event: Change<T>) => void): () => void {
    // A wrapper of its own, so that the same function given twice is two listeners.
    const entry = (event: Change<T>): void => listener(event)
    this.#listeners.add(entry)
    for (const object of this.#everything()) this.#deliver(entry, { type: 'ADDED', object })
    return () => this.#listeners.delete(entry)
  }

  start(): void {
    void this.#run()
  }

  async #run(): Promise<void> {
    const { client, kind, log, clock, signal } = this.#source
    let version: string | undefined
    let failures = 0
    while (!signal.aborted) {
      try {
        if (version === undefined) {
          const list: { items: T[]; resourceVersion: string } = await client.list(kind)
          this.#replace(list.items)
          version = list.resourceVersion
          this.#markSynced()
        }
        for await (const event of client.watch(kind, { resourceVersion: version, signal, bookmarks: true })) {
          failures = 0
          if (event.type === 'BOOKMARK') version = event.resourceVersion
          else {
            version = event.object.metadata.resourceVersion ?? version
            this.#take(event)
          }
        }
      } catch (error) {
        if (signal.aborted) return
        if (isError(error, 'expired')) version = undefined
        else log.warn('watch broke', { resource: kind.plural, error: messageOf(error) })
      }
      if (signal.aborted) return
      const wait = failures === 0 ? 0 : Math.min(30_000, 50 * 2 ** Math.min(failures, 10)) * (0.5 + clock.random())
      failures++
      await clock.sleep(wait, signal).catch(() => {})
    }
  }

  #take(event: Change<T>): void {
    const { namespace = '', name = '' } = event.object.metadata
    const objects = this.#namespaces.get(namespace)
    const known = objects?.get(name)
    this.#arrays.delete(namespace)
    this.#arrays.delete('*')
    if (event.type === 'DELETED') {
      objects?.delete(name)
      if (objects?.size === 0) this.#namespaces.delete(namespace)
      if (!known) return
      this.#tell(event)
      return
    }
    if (objects) objects.set(name, event.object)
    else this.#namespaces.set(namespace, new Map([[name, event.object]]))
    if (known && known.metadata.uid !== event.object.metadata.uid) this.#tell({ type: 'DELETED', object: known })
    const replaced = known?.metadata.uid === event.object.metadata.uid
    if (known && replaced && known.metadata.resourceVersion === event.object.metadata.resourceVersion) return
    this.#tell({ type: replaced && known ? 'MODIFIED' : 'ADDED', object: event.object })
  }

  /** Makes the index equal to a fresh list and tells the difference. */
  #replace(items: readonly T[]): void {
    const fresh = new Set(items.map((item) => `${item.metadata.namespace ?? ''}/${item.metadata.name}`))
    for (const object of this.#everything()) {
      const { namespace = '', name } = object.metadata
      if (!fresh.has(`${namespace}/${name}`)) this.#take({ type: 'DELETED', object })
    }
    for (const object of items) this.#take({ type: 'MODIFIED', object })
  }

  #everything(): T[] {
    return [...this.#namespaces.values()].flatMap((objects) => [...objects.values()])
  }

  #tell(event: Change<T>): void {
    for (const listener of [...this.#listeners]) this.#deliver(listener, event)
  }

  // One listener's mistake must not end the watch of all others.
  #deliver(listener: (event: Change<T>) => void, event: Change<T>): void {
    try {
      listener(event)
    } catch (error) {
      const { kind, log } = this.#source
      log.error('informer listener failed', { resource: kind.plural, error: messageOf(error) })
    }
  }
}
