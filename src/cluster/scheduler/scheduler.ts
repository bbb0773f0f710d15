import { isError, messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { timestamp } from '../../lib/timestamp.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { PodCondition, Pod as PodObject } from '../../spec/kube/generated/types.ts'
import type { Kind, KubeObject, ObjectMetaHolder } from '../../spec/kube/kinds.ts'
import {
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  StorageClass,
} from '../../spec/kube/kinds.ts'
import type { Recorder } from '../controllers/index.ts'
import type { Informers } from '../types.ts'
import { type Cluster, type Decision, decide } from './decide.ts'
import { Nodes } from './nodes.ts'
import type { Preemption } from './preemption.ts'
import { isBound, selectedNodeKey } from './volumes.ts'

interface SchedulerDeps {
  client: ObjectClient
  informers: Informers
  recorder: Recorder
  log: Log
  clock: Clock
  signal: AbortSignal
}
interface Waiting {
  pod: PodObject
  attempts: number
  /** Not before, in ms since the epoch. */
  notBefore: number
}

const name = 'default-scheduler'
const isOurs = (pod: PodObject): boolean =>
  !pod.spec?.nodeName &&
  (pod.spec?.schedulerName ?? name) === name &&
  pod.metadata.deletionTimestamp === undefined &&
  pod.status?.phase !== 'Succeeded' &&
  pod.status?.phase !== 'Failed'
// A pod that does not fit is tried again with each change that might help, but not more often than this.
const spacing = (attempts: number): number => (attempts <= 3 ? 0 : Math.min(10_000, 50 * 2 ** (attempts - 3)))

/** Binds pods to nodes. Works only when something has changed: on the next turn of the event loop, for all changes at once. */
export class Scheduler {
  readonly #deps: SchedulerDeps
  readonly #nodes = new Nodes()
  readonly #active = new Map<string, Waiting>()
  readonly #stuck = new Map<string, Waiting>()
  readonly #binding = new Set<string>()
  #wake: { at: number; cancel: AbortController } | undefined
  #turn: 'none' | 'planned' | 'running' = 'none'

  constructor(deps: SchedulerDeps) {
    this.#deps = deps
  }

  async start(): Promise<void> {
    const { informers, signal } = this.#deps
    const kinds: Kind<ObjectMetaHolder>[] = [
      Node,
      PersistentVolumeClaim,
      PersistentVolume,
      StorageClass,
      Namespace,
      Pod,
    ]
    await Promise.all(kinds.map((kind) => informers.of(kind).synced))
    if (signal.aborted) return
    const retry = (): void => this.#retryStuck('now')
    const off = [
      informers.of(Node).on(({ type, object }) => {
        if (type === 'DELETED') this.#nodes.removeNode(object.metadata.name!)
        else if (this.#nodes.setNode(object)) retry()
      }),
      informers.of(PersistentVolumeClaim).on(retry),
      informers.of(PersistentVolume).on(retry),
      informers.of(StorageClass).on(retry),
      informers.of(Namespace).on(retry),
      informers.of(Pod).on(({ type, object }) => this.#onPod(object, type === 'DELETED')),
    ]
    const end = (): void => {
      for (const stop of off) stop()
    }
    signal.addEventListener('abort', end, { once: true })
  }

  #onPod(pod: PodObject, deleted: boolean): void {
    const uid = pod.metadata.uid!
    const before = this.#nodes.has(uid)
    if (deleted) this.#nodes.removePod(uid)
    const change = deleted ? (before ? 'freed' : 'same') : this.#nodes.setPod(pod)
    if (change === 'freed') this.#retryStuck('now')
    else if (change === 'placed') this.#retryStuck('later')
    if (deleted || !isOurs(pod)) {
      this.#active.delete(uid)
      this.#stuck.delete(uid)
      this.#binding.delete(uid)
      return
    }
    if (this.#binding.has(uid)) return
    const known = this.#stuck.get(uid) ?? this.#active.get(uid)
    // Its status is what we have written ourselves; only a change of the pod itself is a reason to look again.
    if (known && sameWishes(known.pod, pod)) {
      known.pod = pod
      return
    }
    this.#stuck.delete(uid)
    this.#active.set(uid, { pod, attempts: 0, notBefore: 0 })
    this.#plan()
  }

  /** 'later': not before the spacing of those that were tried in vain before. */
  #retryStuck(when: 'now' | 'later'): void {
    if (this.#stuck.size === 0) return
    for (const [uid, waiting] of this.#stuck) {
      this.#active.set(uid, when === 'now' ? { ...waiting, notBefore: 0 } : waiting)
    }
    this.#stuck.clear()
    this.#plan()
  }

  #plan(): void {
    if (this.#turn !== 'none' || this.#deps.signal.aborted) return
    this.#turn = 'planned'
    setImmediate(() => {
      this.#turn = 'running'
      this.#run()
        .catch((error) => this.#deps.log.error('scheduling failed', { error: messageOf(error) }))
        .finally(() => {
          this.#turn = 'none'
          if ([...this.#active.values()].some((waiting) => waiting.notBefore <= this.#deps.clock.now())) this.#plan()
        })
    })
  }

  async #run(): Promise<void> {
    const { clock, signal } = this.#deps
    const now = clock.now()
    const due = [...this.#active.values()].filter((waiting) => waiting.notBefore <= now)
    this.#wakeLater(now)
    due.sort((a, b) => (b.pod.spec?.priority ?? 0) - (a.pod.spec?.priority ?? 0))
    const binds: Promise<void>[] = []
    for (const waiting of due) {
      if (signal.aborted) return
      const uid = waiting.pod.metadata.uid!
      if (!this.#active.delete(uid)) continue
      binds.push(this.#schedule(waiting))
    }
    await Promise.all(binds)
  }

  /** Those whose time has not come yet are looked at when it has. */
  #wakeLater(now: number): void {
    const times = [...this.#active.values()].map(({ notBefore }) => notBefore).filter((at) => at > now)
    if (times.length === 0) return
    const at = Math.min(...times)
    if (this.#wake && this.#wake.at <= at) return
    this.#wake?.cancel.abort()
    const wake = { at, cancel: new AbortController() }
    this.#wake = wake
    this.#deps.clock.sleep(at - now + 1, AbortSignal.any([wake.cancel.signal, this.#deps.signal])).then(
      () => {
        this.#wake = undefined
        this.#plan()
      },
      () => {},
    )
  }

  async #schedule(waiting: Waiting): Promise<void> {
    const { pod } = waiting
    if (pod.spec?.schedulingGates?.length) {
      this.#stuck.set(pod.metadata.uid!, { ...waiting, attempts: 0 })
      const message = 'Scheduling is blocked due to non-empty scheduling gates'
      return this.#condition(pod, { type: 'PodScheduled', status: 'False', reason: 'SchedulingGated', message })
    }
    const decision = decide(pod, this.#cluster())
    try {
      if (decision.to === 'bind') await this.#bind(pod, decision.node)
      else if (decision.to === 'provision') await this.#provision(waiting, decision)
      else await this.#wait(waiting, decision)
    } catch (error) {
      this.#nodes.removePod(pod.metadata.uid!)
      this.#binding.delete(pod.metadata.uid!)
      if (isError(error, 'not-found')) return
      this.#deps.log.warn('pod not bound', { pod: pod.metadata.name, error: messageOf(error) })
      this.#again(waiting, Math.max(50, spacing(waiting.attempts + 4)))
    }
  }

  async #bind(pod: PodObject, node: string): Promise<void> {
    const { client, recorder } = this.#deps
    const { namespace, name: podName, uid } = pod.metadata
    this.#binding.add(uid!)
    this.#nodes.assume(pod, node)
    const binding: KubeObject = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { namespace, name: podName, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: node },
    }
    await client.createSubresource(Pod, { namespace, name: podName! }, 'binding', binding)
    // A new neighbour matters to pods that want one.
    this.#retryStuck('later')
    const message = `Successfully assigned ${namespace}/${podName} to ${node}`
    recorder.event(Pod, pod, 'Normal', 'Scheduled', message, { action: 'Binding' })
  }

  /** Tells the claims the node; their binding brings the pod back. */
  async #provision(waiting: Waiting, { node, claims }: Extract<Decision, { to: 'provision' }>): Promise<void> {
    this.#stuck.set(waiting.pod.metadata.uid!, waiting)
    for (const { metadata } of claims.filter((claim) => !isBound(claim))) {
      if (metadata.annotations?.[selectedNodeKey] === node) continue
      const body = { metadata: { annotations: { [selectedNodeKey]: node } } }
      const key = { namespace: metadata.namespace, name: metadata.name! }
      await this.#deps.client.patch(PersistentVolumeClaim, key, { type: 'merge', body })
    }
  }

  async #wait(waiting: Waiting, { message, preempt }: Extract<Decision, { to: 'wait' }>): Promise<void> {
    const { clock, recorder } = this.#deps
    const { pod } = waiting
    const attempts = waiting.attempts + 1
    this.#stuck.set(pod.metadata.uid!, { pod, attempts, notBefore: clock.now() + spacing(attempts) })
    if (preempt) await this.#preempt(pod, preempt)
    const before = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')
    if (before?.status === 'False' && before.message === message) return
    recorder.event(Pod, pod, 'Warning', 'FailedScheduling', message, { action: 'Scheduling' })
    await this.#condition(pod, { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message })
  }

  /** Asks the victims to leave; their going brings the pod back. */
  async #preempt(pod: PodObject, { node, victims }: Preemption): Promise<void> {
    const { client, recorder, clock } = this.#deps
    const status = { nominatedNodeName: node }
    await client.patch(Pod, keyOf(pod), { type: 'merge', body: { status } }, { subresource: 'status' })
    for (const victim of victims) {
      const condition: PodCondition = {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'PreemptionByScheduler',
        message: 'default-scheduler: preempting to accommodate a higher priority pod',
        lastTransitionTime: timestamp(clock.now()),
      }
      const body = { status: { conditions: [condition] } }
      await client.patch(Pod, keyOf(victim), { type: 'strategic', body }, { subresource: 'status' })
      const message = `Preempted by pod ${pod.metadata.uid} on node ${node}`
      recorder.event(Pod, victim, 'Normal', 'Preempted', message, { action: 'Preempting' })
      await client.delete(Pod, keyOf(victim), { preconditions: { uid: victim.metadata.uid! } })
    }
  }

  #again(waiting: Waiting, ms: number): void {
    const { clock } = this.#deps
    const entry = { ...waiting, attempts: waiting.attempts + 1, notBefore: clock.now() + ms }
    this.#active.set(waiting.pod.metadata.uid!, entry)
    this.#wakeLater(clock.now())
  }

  async #condition(pod: PodObject, condition: PodCondition): Promise<void> {
    const { client, clock } = this.#deps
    const before = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')
    const { status, reason, message } = condition
    if (before?.status === status && before.reason === reason && before.message === message) return
    const same = before?.status === status && before.lastTransitionTime
    const made = { ...condition, lastTransitionTime: same || timestamp(clock.now()) }
    const body = { status: { conditions: [made] } }
    const key = { namespace: pod.metadata.namespace, name: pod.metadata.name! }
    // Strategic: conditions merge by type, so the kubelet's own stay.
    await client.patch(Pod, key, { type: 'strategic', body }, { subresource: 'status' })
  }

  #cluster(): Cluster {
    const { informers } = this.#deps
    return {
      nodes: this.#nodes.all(),
      namespaces: { labelsOf: (namespace) => informers.of(Namespace).get(undefined, namespace)?.metadata.labels },
      budgets: informers.of(PodDisruptionBudget).list(),
      volumes: {
        claim: (namespace, claim) => informers.of(PersistentVolumeClaim).get(namespace, claim),
        volume: (volume) => informers.of(PersistentVolume).get(undefined, volume),
        storageClass: (storage) => informers.of(StorageClass).get(undefined, storage),
      },
    }
  }
}

const keyOf = ({ metadata }: PodObject) => ({ namespace: metadata.namespace, name: metadata.name! })

const sameWishes = (a: PodObject, b: PodObject): boolean =>
  JSON.stringify([a.spec, a.metadata.labels]) === JSON.stringify([b.spec, b.metadata.labels])
