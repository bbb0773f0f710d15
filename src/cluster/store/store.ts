import type { DatabaseSync } from 'node:sqlite'
import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { migrate, readTable, transaction } from '../../lib/database.ts'
import { deepFreeze } from '../../lib/json.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { expired, History, type HistoryLimits } from './history.ts'

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
  history?: HistoryLimits | undefined
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

class Shelves extends Map<string, Shelf> {
  of(resource: string): Shelf {
    let found = this.get(resource)
    if (!found) this.set(resource, (found = new Shelf()))
    return found
  }
  /** Returns the highest revision there is; 1 when there is nothing. */
  load(db: DatabaseSync, sealed: <T>(value: T) => T): number {
    let revision = 1
    readTable(db, 'objects', ['resource', 'key'], ({ resource, key, json, revision: at }) => {
      this.of(resource as string).set(key as string, sealed(JSON.parse(json as string) as KubeObject))
      revision = Math.max(revision, at as number)
    })
    return revision
  }
}

export const openStore = ({ db, clock, freeze, history: limits }: StoreOptions): ObjectStore => {
  migrate(db, 'cluster', migrations)
  const sealed = freeze ? deepFreeze : <T>(value: T): T => value

  const put = db.prepare(
    `INSERT INTO objects (resource, key, revision, json) VALUES (?, ?, ?, ?)
     ON CONFLICT (resource, key) DO UPDATE SET revision = excluded.revision, json = excluded.json`,
  )
  const remove = db.prepare('DELETE FROM objects WHERE resource = ? AND key = ?')
  const shelves = new Shelves()
  const shelf = (resource: string): Shelf => shelves.of(resource)
  let revision = shelves.load(db, sealed)
  const history = new History(db, clock, limits, sealed, revision)
  revision = history.last

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
      history.record({ revision: next, time, type, resource, key }, json)
    })
    revision = next
    if (type === 'DELETED') at.delete(key)
    else at.set(key, object)
    const change: Change = { revision, time, type, resource, key, object, previous }
    history.push(change)
    for (const listener of [...at.listeners]) listener(change)
    return object
  }

  return {
    get revision() {
      return revision
    },
    get: (resource, namespace, name) => shelves.get(resource)?.objects.get(keyOf(namespace, name)),
    list: (resource, namespace) => shelves.get(resource)?.list(namespace) ?? [],
    listAt: (resource, namespace, at) => listedThen(shelf(resource), namespace, history.since(resource, at)),
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
    changesSince: (resource, from) => history.since(resource, from),
    subscribe(resource, listener) {
      const { listeners } = shelf(resource)
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    setting: (name, make) => settingOf(db, name, make),
    compact: () => history.compact(),
  }
}

/** What was listed before these changes. */
const listedThen = (shelf: Shelf, namespace: string, later: Change[]): KubeObject[] => {
  if (later.length === 0) return shelf.list(namespace)
  const then = new Map(shelf.objects)
  for (const change of later.reverse()) {
    if (change.type === 'ADDED') then.delete(change.key)
    else if (change.previous) then.set(change.key, change.previous)
    else throw expired(`The provided continue parameter is too old to display a consistent list result.`)
  }
  const prefix = `${namespace}/`
  const keys = [...then.keys()].filter((key) => !namespace || key.startsWith(prefix)).sort()
  return keys.map((key) => then.get(key)!)
}

const settingOf = (db: DatabaseSync, name: string, make: () => string): string => {
  const row = db.prepare('SELECT value FROM object_settings WHERE name = ?').get(name) as { value: string } | undefined
  if (row) return row.value
  const value = make()
  db.prepare('INSERT INTO object_settings (name, value) VALUES (?, ?)').run(name, value)
  return value
}
