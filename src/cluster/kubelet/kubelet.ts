/** The node: which pods are to run here, and everything that their workers share. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Container as EngineContainer } from '../../engine/index.ts'
import { messageOf } from '../../errors.ts'
import { equalJson } from '../../lib/json.ts'
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { hostResolver } from './host.ts'
import { PodImages } from './images.ts'
import { PodIndex } from './pod-index.ts'
import { PodVolumes, podPlaces } from './pod-volumes.ts'
import { PodWorker } from './pod-worker.ts'
import { ProbeBoard, type ProbeKind } from './probes.ts'
import { podRuntime, withPodRuntime } from './runtime.ts'
import { sandboxSpec } from './sandbox-spec.ts'
import { type KubeletDeps, label, type ProbeResults } from './types.ts'

const gatherMs = 500
const tokenLookMs = 60_000

/** "namespace/name" of every ConfigMap and Secret a pod has mounted. */
const configsOf = (pod: Pod): string[] => {
  const names = (pod.spec?.volumes ?? []).flatMap((v) => [
    v.configMap?.name,
    v.secret?.secretName,
    ...(v.projected?.sources ?? []).flatMap((s) => [s.configMap?.name, s.secret?.name]),
  ])
  return names.filter((name) => name !== undefined).map((name) => `${pod.metadata.namespace}/${name}`)
}

/** Does a volume show labels or annotations, and have they changed? */
const showsChange = (before: Pod, now: Pod): boolean =>
  (now.spec?.volumes ?? []).some((v) => v.downwardAPI || v.projected?.sources?.some((s) => s.downwardAPI)) &&
  !(
    equalJson(before.metadata.labels ?? {}, now.metadata.labels ?? {}) &&
    equalJson(before.metadata.annotations ?? {}, now.metadata.annotations ?? {})
  )

export class Node {
  readonly deps: KubeletDeps
  readonly index: PodIndex
  readonly images: PodImages
  readonly board: ProbeBoard
  readonly volumes: PodVolumes
  #workers = new Map<string, PodWorker>()
  #ends: (() => void)[] = []
  #refresh: NodeJS.Timeout | undefined
  /** "namespace/name" of ConfigMaps and Secrets that have changed since the last rewrite. */
  #changed = new Set<string>()
  #end = new AbortController()

  constructor(deps: KubeletDeps) {
    this.deps = deps
    this.index = new PodIndex(deps.engine.containers)
    this.images = new PodImages(deps.engine.images, deps.clock)
    this.volumes = new PodVolumes(deps)
    this.board = new ProbeBoard(deps.clock, {
      changed: (id) => this.#workerOf(id)?.poke(),
      failed: (id, kind, output) =>
        this.#probeEvent(id, `${kind[0]!.toUpperCase()}${kind.slice(1)} probe failed: ${output}`),
      fatal: (id, kind) => this.#probeFatal(id, kind),
    })
  }

  /** Takes over the pods that run already, drops what belongs to no pod, then follows the API. */
  async start(): Promise<void> {
    const pods = this.deps.informers.of(kinds.Pod)
    const kindsInUse = [
      kinds.ConfigMap,
      kinds.Secret,
      kinds.Service,
      kinds.PersistentVolumeClaim,
      kinds.PersistentVolume,
    ] as const
    await Promise.all([pods.synced, ...kindsInUse.map((k) => this.deps.informers.of(k as kinds.Kind).synced)])
    this.#ends.push(
      pods.on(({ type, object }) => {
        if (object.spec?.nodeName !== this.deps.node.name) return
        if (type === 'DELETED') this.#workers.get(object.metadata.uid!)?.vanish()
        else this.#follow(object)
      }),
    )
    for (const k of [kinds.ConfigMap, kinds.Secret] as const)
      this.#ends.push(
        this.deps.informers
          .of(k as kinds.Kind)
          .on(({ object }) => this.#configChanged(object.metadata.namespace!, object.metadata.name!)),
      )
    for (const k of [kinds.PersistentVolumeClaim] as const)
      this.#ends.push(this.deps.informers.of(k).on(({ object }) => this.#pokeWaiting(object.metadata.namespace!)))
    await this.#dropOrphans()
    this.#renewTokens().catch(() => {}) // only the end of the node ends it
  }

  /** An engine container was created, started or has ended. */
  containerChanged(container: EngineContainer): void {
    const uid = container.spec.labels[label.uid]
    if (!uid) return
    this.index.add(container)
    this.#workers.get(uid)?.poke()
  }

  close(): void {
    for (const end of this.#ends) end()
    clearTimeout(this.#refresh)
    this.#end.abort()
    this.board.close()
    for (const worker of this.#workers.values()) worker.detach()
  }

  worker(uid: string): PodWorker | undefined {
    return this.#workers.get(uid)
  }
  workers(): IterableIterator<PodWorker> {
    return this.#workers.values()
  }

  dismissed(worker: PodWorker): void {
    this.images.forget(worker.uid)
    this.volumes.forget(worker.uid)
    if (this.#workers.get(worker.uid) === worker) this.#workers.delete(worker.uid)
  }

  async startSandbox(pod: Pod): Promise<void> {
    const { engine, dns, network } = this.deps
    const runtime = podRuntime(pod, () => {})
    const spec = withPodRuntime(sandboxSpec(pod, { network, dns, host: hostResolver() }), runtime)
    if (!engine.sandboxes.get(spec.id)) await engine.sandboxes.create(spec)
    await engine.sandboxes.start(spec.id)
  }

  async removeSandbox(uid: string): Promise<void> {
    const { engine, sys } = this.deps
    if (engine.sandboxes.get(uid)) {
      await engine.sandboxes.stop(uid)
      await engine.sandboxes.remove(uid)
    }
    const places = podPlaces(this.deps, uid)
    for (const place of [places.memory, places.disk]) {
      for (const mount of sys.mounts.below(place).toReversed()) sys.mounts.unmount(mount.target, { detach: true })
      await rm(place, { recursive: true, force: true })
    }
  }

  watchProbes(worker: PodWorker, container: Container, containerId: string, seed: ProbeResults | undefined): void {
    const timings = podRuntime(worker.pod, () => {})?.containers[container.name]?.probes
    this.board.watch(
      {
        containerId,
        container,
        podIP: () => worker.podIP,
        exec: (command, timeoutMs, signal) =>
          this.deps.engine.containers.execOnce(containerId, command, { timeoutMs, signal, maxOutput: 10_240 }),
        ...(timings ? { timing: timings } : {}),
      },
      seed,
    )
  }

  #follow(pod: Pod): void {
    const uid = pod.metadata.uid!
    let worker = this.#workers.get(uid)
    if (!worker) {
      worker = new PodWorker(this, pod)
      this.#workers.set(uid, worker)
    }
    const changed = showsChange(worker.pod, pod)
    worker.poke(pod)
    if (changed)
      this.#rewriteVolumes((one) => one.metadata.uid === uid).catch((error) =>
        this.deps.log.error('updating projected volumes failed', { error: messageOf(error) }),
      )
  }

  #workerOf(containerId: string): PodWorker | undefined {
    const uid = this.index.podOf(containerId)
    return uid ? this.#workers.get(uid) : undefined
  }

  #probeEvent(containerId: string, message: string): void {
    const worker = this.#workerOf(containerId)
    if (worker && !worker.terminating) this.deps.record(worker.pod as never, 'Warning', 'Unhealthy', message)
  }

  #probeFatal(containerId: string, kind: ProbeKind): void {
    const worker = this.#workerOf(containerId)
    if (!worker || worker.terminating) return
    const name = this.deps.engine.containers.get(containerId)?.spec.labels[label.container] ?? ''
    const container = [...worker.pod.spec!.containers, ...(worker.pod.spec!.initContainers ?? [])].find(
      (c) => c.name === name,
    )
    const probe = kind === 'startup' ? container?.startupProbe : container?.livenessProbe
    const message = `Container ${name} failed ${kind} probe, will be restarted`
    worker.condemn(containerId, message, probe?.terminationGracePeriodSeconds)
  }

  /** What pods of the namespace wait for may be there now. */
  #pokeWaiting(namespace: string): void {
    for (const worker of this.#workers.values())
      if (worker.key.namespace === namespace && !worker.terminating) worker.retry()
  }

  /** ConfigMaps and Secrets that running pods have mounted are written anew, gathered over half a second. */
  #configChanged(namespace: string, name: string): void {
    this.#changed.add(`${namespace}/${name}`)
    this.#refresh ??= setTimeout(() => {
      this.#refresh = undefined
      const changed = this.#changed
      this.#changed = new Set()
      this.#rewriteVolumes((pod) => configsOf(pod).some((one) => changed.has(one))).catch((error) =>
        this.deps.log.error('updating projected volumes failed', { error: messageOf(error) }),
      )
      for (const namespace of new Set([...changed].map((key) => key.split('/')[0]!))) this.#pokeWaiting(namespace)
    }, gatherMs).unref()
  }

  /** Tokens are renewed before they run out. */
  async #renewTokens(): Promise<void> {
    while (!this.#end.signal.aborted) {
      await this.deps.clock.sleep(tokenLookMs, this.#end.signal)
      await this.#rewriteVolumes((pod) => this.volumes.tokenDue(pod))
    }
  }

  async #rewriteVolumes(concerned: (pod: Pod) => boolean): Promise<void> {
    for (const worker of this.#workers.values()) {
      const { pod } = worker
      if (worker.terminating || pod.status?.phase !== 'Running' || !concerned(pod)) continue
      await this.volumes
        .mount(pod, worker.podIP)
        .catch((error: unknown) => this.deps.record(pod as never, 'Warning', 'FailedMount', messageOf(error)))
    }
  }

  async #dropOrphans(): Promise<void> {
    const { engine, log } = this.deps
    for (const uid of this.index.pods()) {
      if (this.#workers.has(uid)) continue
      log.info('removing containers of a pod that is gone', { uid })
      for (const one of this.index.all(uid)) await engine.containers.remove(one.id, { force: true, volumes: true })
      await this.removeSandbox(uid)
      this.index.forget(uid)
    }
    for (const sandbox of engine.sandboxes.list()) {
      const uid = sandbox.spec.labels[label.uid]
      if (uid && !this.#workers.has(uid)) await this.removeSandbox(uid)
    }
    const { stateDir, runDir } = this.deps
    for (const root of [join(stateDir, 'pods'), join(runDir, 'pods')])
      for (const uid of await readdir(root).catch(() => [])) if (!this.#workers.has(uid)) await this.removeSandbox(uid)
  }
}
