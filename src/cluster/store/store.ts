import type { DatabaseSync } from 'node:sqlite'
import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { migrate, transaction } from '../../lib/database.ts'
import { deepFreeze } from '../../lib/json.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'

/** One committed write. `previous` is absent for ADDED, and for changes whose predecessor was compacted before a restart. */
export interface Change {
  revision: number
  time: number
  type: 'ADDED' | 'MODIFIED' | 'DELETED'
  /** "pods", "deployments.apps" */
  resource: string
  key: string
  object: KubeObject
  previous: KubeObject | undefined
}

/**
 * Objects of all kinds under one increasing revision. Everything is synchronous: what a caller reads and writes in one go
 * cannot interleave with anyone else's. A write is committed to SQLite before it can be seen; reads come from memory.
 * Objects are shared, never copied: treat them as immutable.
 */
export interface ObjectStore {
  readonly revision: number
  get(resource: string, namespace: string, name: string): KubeObject | undefined
  /** In order of namespace and name. '' lists all namespaces. */
  list(resource: string, namespace: string): KubeObject[]
  /** The list as it was at an earlier revision; throws 'expired' when that is no longer known. */
  listAt(resource: string, namespace: string, revision: number): KubeObject[]
  create(resource: string, object: KubeObject): KubeObject
  update(resource: string, object: KubeObject): KubeObject
  /** Removes it; `last` replaces the final state that watchers see. */
  delete(resource: string, namespace: string, name: string, last?: KubeObject): KubeObject | undefined
  /** Changes after `revision`, oldest first; throws 'expired' when they are no longer all known. */
  changesSince(resource: string, revision: number): Change[]
  /** Called after each commit, synchronously. */
  subscribe(resource: string, listener: (change: Change) => void): () => void
  /** Small things that belong with the objects (signing keys, cluster id). */
  setting(name: string, make: () => string): string
  /** Forgets history beyond the limits now (it happens by itself every few hundred writes). */
  compact(): void
}

interface StoreOptions {
  db: DatabaseSync
  clock: Clock
  /** Freeze all objects, so that a reader that writes fails loudly. */
  freeze: boolean
  /** How much history is kept for watches: at least `least` changes, all younger than `age` ms, never more than `most`. */
  history?: { least: number; most: number; age: number } | undefined
}

const migrations = [
  `CREATE TABLE objects (
     resource TEXT NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL, json TEXT NOT NULL,
     PRIMARY KEY (resource, key)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE object_changes (
     revision INTEGER PRIMARY KEY, time INTEGER NOT NULL, type TEXT NOT NULL, resource TEXT NOT NULL,
     key TEXT NOT NULL, json TEXT NOT NULL
   ) STRICT;
   CREATE TABLE object_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`,
]

const keyOf = (namespace: string | undefined, name: string): string => `${namespace ?? ''}/${name}`

/** The objects of one resource, with their keys in order while nothing was added or removed. */
class Shelf {
  readonly objects = new Map<string, KubeObject>()
  readonly listeners = new Set<(change: Change) => void>()
  #sorted: string[] | undefined

  set(key: string, object: KubeObject): void {
    if (!this.objects.has(key)) this.#sorted = undefined
    this.objects.set(key, object)
  }
  delete(key: string): void {
    this.objects.delete(key)
    this.#sorted = undefined
  }
  list(namespace: string): KubeObject[] {
    this.#sorted ??= [...this.objects.keys()].sort()
    const found: KubeObject[] = []
    const prefix = `${namespace}/`
    for (const key of this.#sorted) if (!namespace || key.startsWith(prefix)) found.push(this.objects.get(key)!)
    return found
  }
}

const expired = (message: string): SlipwayError => new SlipwayError('expired', message)

export const openStore = ({ db, clock, freeze, history }: StoreOptions): ObjectStore => {
  migrate(db, 'cluster', migrations)
  const limits = history ?? { least: 1000, most: 10_000, age: 5 * 60_000 }
  const shelves = new Map<string, Shelf>()
  const shelf = (resource: string): Shelf => {
    let found = shelves.get(resource)
    if (!found) shelves.set(resource, (found = new Shelf()))
    return found
  }
  const sealed = freeze ? deepFreeze : <T>(value: T): T => value

  const put = db.prepare(
    `INSERT INTO objects (resource, key, revision, json) VALUES (?, ?, ?, ?)
     ON CONFLICT (resource, key) DO UPDATE SET revision = excluded.revision, json = excluded.json`,
  )
  const remove = db.prepare('DELETE FROM objects WHERE resource = ? AND key = ?')
  const record = db.prepare(
    'INSERT INTO object_changes (revision, time, type, resource, key, json) VALUES (?, ?, ?, ?, ?, ?)',
  )
  const forget = db.prepare('DELETE FROM object_changes WHERE revision <= ?')

  let revision = 1
  let log: Change[] = []
  let writes = 0

  const load = (): void => {
    for (const row of db.prepare('SELECT resource, key, revision, json FROM objects').iterate()) {
      const { resource, key, json } = row as { resource: string; key: string; json: string }
      shelf(resource).set(key, sealed(JSON.parse(json) as KubeObject))
      revision = Math.max(revision, row.revision as number)
    }
    const last = new Map<string, KubeObject>()
    for (const row of db.prepare('SELECT * FROM object_changes ORDER BY revision').iterate()) {
      const { json, ...rest } = row as unknown as Omit<Change, 'object' | 'previous'> & { json: string }
      const object = sealed(JSON.parse(json) as KubeObject)
      const id = `${rest.resource} ${rest.key}`
      log.push({ ...rest, object, previous: rest.type === 'ADDED' ? undefined : last.get(id) })
      last.set(id, object)
      revision = Math.max(revision, rest.revision)
    }
  }
  load()

  /** Changes after this revision are all in the log. */
  const floor = (): number => (log.length > 0 ? log[0]!.revision - 1 : revision)

  const compact = (): void => {
    writes = 0
    const young = clock.now() - limits.age
    let cut = Math.max(0, log.length - limits.most)
    while (cut < log.length - limits.least && log[cut]!.time < young) cut++
    if (cut === 0) return
    forget.run(log[cut - 1]!.revision)
    log = log.slice(cut)
  }

  const commit = (type: Change['type'], resource: string, key: string, given: KubeObject): KubeObject => {
    const at = shelf(resource)
    const previous = at.objects.get(key)
    const next = revision + 1
    const object = sealed({ ...given, metadata: { ...given.metadata, resourceVersion: String(next) } })
    const json = JSON.stringify(object)
    const time = clock.now()
    transaction(db, () => {
      if (type === 'DELETED') remove.run(resource, key)
      else put.run(resource, key, next, json)
      record.run(next, time, type, resource, key, json)
    })
    revision = next
    if (type === 'DELETED') at.delete(key)
    else at.set(key, object)
    const change: Change = { revision, time, type, resource, key, object, previous }
    log.push(change)
    if (++writes >= 256) compact()
    for (const listener of [...at.listeners]) listener(change)
    return object
  }

  /** The first entry of the log after `from`, by bisection. */
  const indexAfter = (from: number): number => {
    let low = 0
    let high = log.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (log[middle]!.revision <= from) low = middle + 1
      else high = middle
    }
    return low
  }
  const since = (resource: string, from: number): Change[] => {
    if (from < floor()) throw expired(`too old resource version: ${from} (${floor() + 1})`)
    const found: Change[] = []
    for (let i = indexAfter(from); i < log.length; i++) if (log[i]!.resource === resource) found.push(log[i]!)
    return found
  }

  return {
    get revision() {
      return revision
    },
    get: (resource, namespace, name) => shelves.get(resource)?.objects.get(keyOf(namespace, name)),
    list: (resource, namespace) => shelves.get(resource)?.list(namespace) ?? [],
    listAt(resource, namespace, at) {
      const later = since(resource, at)
      if (later.length === 0) return shelf(resource).list(namespace)
      const then = new Map(shelf(resource).objects)
      for (const change of later.reverse()) {
        if (change.type === 'ADDED') then.delete(change.key)
        else if (change.previous) then.set(change.key, change.previous)
        else throw expired(`The provided continue parameter is too old to display a consistent list result.`)
      }
      const prefix = `${namespace}/`
      const keys = [...then.keys()].filter((key) => !namespace || key.startsWith(prefix)).sort()
      return keys.map((key) => then.get(key)!)
    },
    create(resource, object) {
      const key = keyOf(object.metadata.namespace, object.metadata.name!)
      if (shelf(resource).objects.has(key))
        throw new SlipwayError('already-exists', `${resource} "${object.metadata.name}" already exists`)
      return commit('ADDED', resource, key, object)
    },
    update(resource, object) {
      const key = keyOf(object.metadata.namespace, object.metadata.name!)
      if (!shelf(resource).objects.has(key))
        throw new SlipwayError('not-found', `${resource} "${object.metadata.name}" not found`)
      return commit('MODIFIED', resource, key, object)
    },
    delete(resource, namespace, name, last) {
      const key = keyOf(namespace, name)
      const current = shelf(resource).objects.get(key)
      return current && commit('DELETED', resource, key, last ?? current)
    },
    changesSince: since,
    subscribe(resource, listener) {
      const { listeners } = shelf(resource)
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    setting(name, make) {
      const row = db.prepare('SELECT value FROM object_settings WHERE name = ?').get(name) as
        | { value: string }
        | undefined
      if (row) return row.value
      const value = make()
      db.prepare('INSERT INTO object_settings (name, value) VALUES (?, ?)').run(name, value)
      return value
    },
    compact,
  }
}
