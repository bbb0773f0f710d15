import { isError, messageOf } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { Log } from '../../../lib/log.ts'
import { WorkQueue } from '../../../lib/work-queue.ts'
import type { Key, ObjectClient } from '../../../spec/kube/client.ts'
import type { Kind, ObjectMetaHolder } from '../../../spec/kube/kinds.ts'
import type { Informers } from '../../types.ts'
import type { ControllerOptions } from '../options.ts'
import { controllerOf, type Owned } from './owned.ts'
import type { Recorder } from './recorder.ts'
import { type AnyKind, type ControllerClient, Writes } from './writes.ts'

/** Come back by yourself after this many milliseconds; without it only changes bring a key back. */
export type Result = { requeueAfter?: number | undefined } | undefined

export interface Context {
  /** Writes through it; they are waited for before the key's next turn. */
  objects: ControllerClient
  /** Reads, as of the last event. Nothing of the key's own earlier writes is missing in them. */
  informers: Informers
  owned: Owned
  recorder: Recorder
  clock: Clock
  log: Log
  signal: AbortSignal
  options: ControllerOptions
}

interface Watch<W extends ObjectMetaHolder> {
  kind: Kind<W>
  /** The keys whose outcome may depend on `object`, or did on what it was before. */
  keys(object: W, context: WatchContext<W>): Key[]
}
export interface WatchContext<W> {
  informers: Informers
  type: 'ADDED' | 'MODIFIED' | 'DELETED'
  /** The object before this change. */
  before: W | undefined
}
/** Keeps the type of the watched kind inside one entry of a mixed list. */
export const watch = <W extends ObjectMetaHolder>(kind: Kind<W>, keys: Watch<W>['keys']): Watch<ObjectMetaHolder> =>
  ({ kind, keys }) as unknown as Watch<ObjectMetaHolder>

export interface Controller {
  /** As Kubernetes calls its service account, e.g. 'replicaset-controller'. */
  name: string
  for: AnyKind
  /** Kinds whose objects carry a controller reference to the `for` kind. */
  owns?: readonly AnyKind[]
  watches?: readonly Watch<ObjectMetaHolder>[]
  /** Reconciles running at once; 5 unless told. */
  workers?: number
  /** Brings the world nearer to what the object says. Level-based: it is never told what happened. */
  reconcile(key: Key, context: Context): Promise<Result>
}

/** Describes a controller; `runController` brings it to life. */
export const controller = (definition: Controller): Controller => definition

export const keyText = (key: Key): string => `${key.namespace ?? ''}/${key.name}`
const keyOf = (text: string): Key => {
  const slash = text.indexOf('/')
  return slash === 0 ? { name: text.slice(1) } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) }
}
/** The key of an object. */
export const keyFor = ({ metadata: { namespace, name } }: ObjectMetaHolder): Key =>
  namespace ? { namespace, name: name! } : { name: name! }

export interface Surroundings {
  client: ObjectClient
  informers: Informers
  owned: Owned
  recorder: Recorder
  clock: Clock
  log: Log
  signal: AbortSignal
  options: ControllerOptions
}

// How long a reconcile waits for its own writes to come back before it trusts the informers anyway.
const patience = 30_000

/** Starts the controller; it ends with the signal. Resolves when its informers are filled and its workers run. */
export const runController = async (definition: Controller, around: Surroundings): Promise<void> => {
  const { informers, clock, signal, log, client } = around
  const writes = new Writes(informers)
  const parked = new Set<string>()
  const work = async (text: string): Promise<void> => {
    if (!writes.seen(text, clock.now(), patience)) {
      parked.add(text)
      queue.addAfter(text, patience)
      return
    }
    parked.delete(text)
    const objects = writes.recording(client, text, () => clock.now(), 'kube-controller-manager')
    const result = await definition.reconcile(keyOf(text), { ...around, objects })
    if (result?.requeueAfter !== undefined) queue.addAfter(text, result.requeueAfter)
  }
  const queue = new WorkQueue({
    clock,
    signal,
    workers: definition.workers ?? 5,
    work,
    onError: (key, error) => {
      // Somebody else wrote first: normal, and the next turn sees it.
      const level = isError(error, 'conflict') ? 'debug' : 'warn'
      log[level]('reconcile failed', { controller: definition.name, key, error: messageOf(error) })
    },
  })
  const watched = [definition.for, ...(definition.owns ?? []), ...(definition.watches ?? []).map((w) => w.kind)]
  await Promise.all(watched.map((kind) => informers.of(kind).synced))
  if (signal.aborted) return
  for (const kind of watched) {
    writes.follow(kind, (key) => {
      if (parked.has(key)) queue.add(key)
    })
  }
  const add = (key: Key): void => queue.add(keyText(key))
  const off = [informers.of(definition.for).on(({ object }) => add(keyFor(object)))]
  for (const kind of definition.owns ?? []) off.push(followOwned(definition.for, kind, informers, add))
  for (const { kind, keys } of definition.watches ?? []) {
    const previous = new Map<string, ObjectMetaHolder>()
    const follow = ({ object, type }: { object: ObjectMetaHolder; type: 'ADDED' | 'MODIFIED' | 'DELETED' }): void => {
      const uid = object.metadata.uid ?? ''
      for (const key of keys(object, { informers, type, before: previous.get(uid) })) add(key)
      if (type === 'DELETED') previous.delete(uid)
      else previous.set(uid, object)
    }
    off.push(informers.of(kind).on(follow))
  }
  const end = (): void => {
    for (const stop of off) stop()
  }
  signal.addEventListener('abort', end, { once: true })
}

/** Brings the owner back with every change of what it owns, also when it loses it. */
const followOwned = (owner: AnyKind, kind: AnyKind, informers: Informers, add: (key: Key) => void): (() => void) => {
  const owners = new Map<string, string>()
  const ownerName = (object: ObjectMetaHolder): string | undefined => {
    const reference = controllerOf(object)
    const group = reference?.apiVersion.includes('/') ? reference.apiVersion.split('/')[0] : ''
    return reference?.kind === owner.kind && group === owner.group ? reference.name : undefined
  }
  return informers.of(kind).on(({ type, object }) => {
    const { uid = '', namespace } = object.metadata
    const before = owners.get(uid)
    const now = ownerName(object)
    const place = owner.namespaced ? { namespace } : {}
    if (before !== undefined && before !== now) add({ ...place, name: before })
    if (now !== undefined) add({ ...place, name: now })
    if (now === undefined || type === 'DELETED') owners.delete(uid)
    else owners.set(uid, now)
  })
}
