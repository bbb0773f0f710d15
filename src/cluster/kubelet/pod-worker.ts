/**
 * One pod on this node: looks at what should be and what is, performs the plan's steps, writes the status, and looks again
 * when something changed. Long steps (a start with its image pull, a kill with its grace period) run beside the loop, at
 * most one a container.
 */
import { isError, messageOf } from '../../errors.ts'
import { equalJson } from '../../lib/json.ts'
import type { Container, Pod, PodStatus } from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { plan, type Step } from './plan.ts'
import { mountVolumes, startContainer } from './starter.ts'
import { podStatus, qosClass } from './status.ts'
import { terminatePod } from './terminator.ts'
import type { Observed, ProbeResults } from './types.ts'
import type { Node } from './kubelet.ts'

interface Waiting {
  reason: string
  message: string
  /** No new try before this time (ms since the epoch). */
  retryAt: number
}

export class PodWorker {
  readonly uid: string
  readonly key: { namespace: string; name: string }
  #node: Node
  #pod: Pod
  #busy = new Set<string>()
  #waiting = new Map<string, Waiting>()
  #stopping = new AbortController()
  #termination: { cut: AbortController; graceSeconds: number; done: boolean } | undefined
  #dirty = false
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #written: PodStatus | undefined
  #gone = false

  constructor(node: Node, pod: Pod) {
    this.#node = node
    this.#pod = pod
    this.uid = pod.metadata.uid!
    this.key = { namespace: pod.metadata.namespace!, name: pod.metadata.name! }
  }

  get pod(): Pod {
    return this.#pod
  }
  get podIP(): string | undefined {
    return this.#addresses()[0]
  }

  /** Something about the pod has changed; cheap, may be called at any rate. */
  poke(pod?: Pod): void {
    if (pod) this.#pod = pod
    this.#dirty = true
    this.#running ??= this.#loop().finally(() => {
      this.#running = undefined
      if (this.#dirty && !this.#gone) this.poke()
    })
  }

  /** The object has vanished from the API: end everything at once. */
  vanish(): void {
    this.#termination ??= { cut: new AbortController(), graceSeconds: 0, done: false }
    this.#termination.cut.abort()
    this.#gone = true
    this.#running = (this.#running ?? Promise.resolve())
      .then(() => this.#dismantle())
      .catch((error) => this.#trouble('removing the pod', error))
  }

  /** Lets go without touching the pod: the daemon is going down. */
  detach(): void {
    this.#gone = true
    this.#stopping.abort()
    clearTimeout(this.#timer)
  }

  async #loop(): Promise<void> {
    while (this.#dirty && !this.#gone) {
      this.#dirty = false
      try {
        await this.#sync()
      } catch (error) {
        this.#trouble('sync', error)
        this.#lookAgain(this.#node.deps.clock.now() + 1000)
      }
    }
  }

  #trouble(what: string, error: unknown): void {
    if (this.#stopping.signal.aborted) return
    this.#node.deps.log.error(`${what} failed`, {
      pod: `${this.key.namespace}/${this.key.name}`,
      error: messageOf(error),
    })
  }

  #observe(): Observed {
    const { index, board, deps } = this.#node
    const tries = index.tries(this.uid)
    for (const name of this.#busy)
      if (tries.get(name)?.[0]?.status === 'created') tries.set(name, tries.get(name)!.slice(1))
    for (const [name, list] of tries) if (list.length === 0) tries.delete(name)
    return {
      pod: this.#pod,
      now: deps.clock.now(),
      sandboxReady: deps.engine.sandboxes.get(this.uid)?.state === 'ready',
      tries,
      probes: board.results(),
      waiting: this.#waiting,
    }
  }

  async #sync(): Promise<void> {
    if (this.#pod.metadata.deletionTimestamp) {
      this.#terminate()
      await this.#writeStatus()
      return
    }
    for (let round = 0; round < 20; round++) {
      const seen = this.#observe()
      this.#watchProbes(seen)
      let again = false
      for (const step of plan(seen)) again = (await this.#perform(step)) || again
      if (!again) break
    }
    await this.#writeStatus()
  }

  /** True when what there is has changed and the plan must be made anew. */
  async #perform(step: Step): Promise<boolean> {
    switch (step.do) {
      case 'start-sandbox':
        return this.#startSandbox()
      case 'stop-sandbox':
        await this.#node.deps.engine.sandboxes.stop(this.uid)
        return false
      case 'look-again':
        this.#lookAgain(step.at)
        return false
      case 'start-container':
        this.#begin(step.name, () => this.#start(step))
        return false
      case 'kill-container':
        this.#begin(step.name, () => this.kill(step.name, step.reason))
        return false
    }
  }

  #lookAgain(at: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.poke(), Math.max(10, at - this.#node.deps.clock.now()))
    this.#timer.unref()
  }

  #begin(name: string, task: () => Promise<void>): void {
    if (this.#busy.has(name)) return
    const waiting = this.#waiting.get(name)
    if (waiting && waiting.retryAt > this.#node.deps.clock.now()) {
      this.#lookAgain(waiting.retryAt)
      return
    }
    this.#busy.add(name)
    task()
      .catch((error) => this.#trouble(`container ${name}`, error))
      .finally(() => {
        this.#busy.delete(name)
        this.poke()
      })
  }

  async #startSandbox(): Promise<boolean> {
    const { deps } = this.#node
    const waiting = this.#waiting.get('')
    if (waiting && waiting.retryAt > deps.clock.now()) {
      this.#lookAgain(waiting.retryAt)
      return false
    }
    try {
      // Claims must be bound and configuration there before addresses are taken.
      await mountVolumes(deps, this.#pod, undefined)
      await this.#node.startSandbox(this.#pod)
      this.#waiting.delete('')
      return true
    } catch (error) {
      const reason =
        (isError(error) && (error.details as { reason?: string } | undefined)?.reason) || 'FailedCreatePodSandBox'
      const message = reason === 'FailedMount' ? messageOf(error) : `Failed to create pod sandbox: ${messageOf(error)}`
      if (waiting?.message !== message) deps.record(this.#pod as never, 'Warning', reason, message)
      this.#waiting.set('', { reason, message, retryAt: deps.clock.now() + (waiting ? 2000 : 200) })
      this.#lookAgain(deps.clock.now() + (waiting ? 2000 : 200))
      return false
    }
  }

  async #start(step: Extract<Step, { do: 'start-container' }>): Promise<void> {
    const { deps, index, images } = this.#node
    const container = this.#container(step.name)
    if (!container) return
    const old = index.tries(this.uid).get(step.name) ?? []
    for (const one of old.slice(1)) await deps.engine.containers.remove(one.id, { force: true, volumes: true })
    try {
      const request = {
        pod: this.#pod,
        container,
        role: step.role,
        attempt: step.attempt,
        podIP: this.podIP,
        signal: this.#stopping.signal,
      }
      const id = await startContainer(deps, images, request)
      this.#waiting.delete(step.name)
      index.add(deps.engine.containers.must(id))
    } catch (error) {
      const details = isError(error) ? (error.details as { reason?: string; retryAt?: number } | undefined) : undefined
      const reason = details?.reason ?? 'CreateContainerError'
      const now = deps.clock.now()
      this.#waiting.set(step.name, { reason, message: messageOf(error), retryAt: details?.retryAt || now + 5000 })
    }
  }

  /** Ends one container with the pod's grace; the plan decides what comes after. */
  async kill(name: string, reason: string): Promise<void> {
    const { deps, index } = this.#node
    const newest = index.tries(this.uid).get(name)?.[0]
    if (!newest) return
    deps.record(this.#pod as never, 'Normal', 'Killing', reason)
    this.#node.board.forget(newest.id)
    await deps.engine.containers.stop(newest.id, {
      timeoutMs: (this.#pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000,
    })
  }

  /** A probe says the container must go. */
  probeKill(containerId: string, reason: string): void {
    const name = [...this.#node.index.tries(this.uid)].find(([, t]) => t[0]?.id === containerId)?.[0]
    if (name) this.#begin(name, () => this.kill(name, reason))
  }

  #container(name: string): Container | undefined {
    const { initContainers = [], containers, ephemeralContainers = [] } = this.#pod.spec!
    return [...containers, ...initContainers, ...(ephemeralContainers as Container[])].find((c) => c.name === name)
  }

  #watchProbes(seen: Observed): void {
    for (const [name, tries] of seen.tries) {
      const newest = tries[0]!
      for (const t of tries) if (t.status !== 'running') this.#node.board.forget(t.id)
      const container = this.#container(name)
      if (!container || newest.status !== 'running' || this.#busy.has(name)) continue
      this.#node.watchProbes(this, container, newest.id, this.#seed(newest.id))
    }
  }

  /** Readiness as it was last stored: a restarted daemon must not take a serving pod out of the rotation. */
  #seed(containerId: string): ProbeResults | undefined {
    const all = [...(this.#pod.status?.containerStatuses ?? []), ...(this.#pod.status?.initContainerStatuses ?? [])]
    const status = all.find((s) => s.containerID === `slipway://${containerId}`)
    return status?.started ? { started: true, ready: status.ready } : undefined
  }

  #terminate(): void {
    const graceSeconds = this.#pod.metadata.deletionGracePeriodSeconds ?? 30
    if (this.#termination) {
      if (graceSeconds < this.#termination.graceSeconds) this.#termination.cut.abort()
      return
    }
    const mine = { cut: new AbortController(), graceSeconds, done: false }
    this.#termination = mine
    this.#stopping.abort() // no pull, start or hook goes on
    this.#endPod(mine).catch((error) => {
      this.#trouble('ending the pod', error)
      this.#termination = undefined
      this.#lookAgain(this.#node.deps.clock.now() + 1000)
    })
  }

  async #endPod(mine: { cut: AbortController; graceSeconds: number; done: boolean }): Promise<void> {
    const { deps, index, board } = this.#node
    while (this.#busy.size > 0) await deps.clock.sleep(10)
    const tries = index.tries(this.uid)
    await terminatePod(deps, {
      pod: this.#pod,
      tries,
      graceMs: mine.graceSeconds * 1000,
      podIP: this.podIP,
      signal: mine.cut.signal,
    })
    for (const list of tries.values()) for (const t of list) board.forget(t.id)
    await this.#writeStatus()
    mine.done = true
    await this.#dismantle()
    await deps.client.delete(kinds.Pod, this.key, { gracePeriodSeconds: 0, preconditions: { uid: this.uid } })
  }

  async #dismantle(): Promise<void> {
    const { deps, index } = this.#node
    clearTimeout(this.#timer)
    while (this.#busy.size > 0) await deps.clock.sleep(10)
    for (const tries of index.tries(this.uid).values())
      for (const t of tries) {
        this.#node.board.forget(t.id)
        await deps.engine.containers.remove(t.id, { force: true, volumes: true })
      }
    await this.#node.removeSandbox(this.uid)
    index.forget(this.uid)
    if (this.#gone) this.#node.dismissed(this)
  }

  #addresses(): string[] {
    if (this.#pod.spec?.hostNetwork) return [this.#node.deps.node.address]
    const sandbox = this.#node.deps.engine.sandboxes.get(this.uid)
    if (sandbox?.state !== 'ready') return []
    return sandbox.endpoints.flatMap((e) => [e.ipv4, e.ipv6]).filter((ip) => ip !== undefined)
  }

  async #writeStatus(): Promise<void> {
    if (this.#gone) return
    const { deps } = this.#node
    const seen = this.#observe()
    const addresses = this.#addresses()
    const kept = addresses.length > 0 ? addresses : (this.#pod.status?.podIPs ?? []).map((p) => p.ip!)
    const status = podStatus(seen, {
      hostIP: deps.node.address,
      podIPs: kept,
      qosClass: this.#pod.status?.qosClass ?? qosClass(this.#pod),
    })
    const before = this.#written ?? this.#pod.status
    if (equalJson(withoutUndefined(before), withoutUndefined(status))) return
    const removed = Object.keys(before ?? {}).filter((k) => !(k in status))
    const body = {
      metadata: { uid: this.uid },
      status: { ...status, ...Object.fromEntries(removed.map((k) => [k, null])) },
    }
    const written = await deps.client
      .patch(kinds.Pod, this.key, { type: 'merge', body }, { subresource: 'status' })
      .catch((error: unknown) => {
        if (isError(error, 'not-found', 'conflict')) return undefined // gone or replaced: the informer will say so
        throw error
      })
    if (written) {
      this.#written = status
      this.#pod = { ...written, ...(this.#pod.metadata.deletionTimestamp ? { metadata: this.#pod.metadata } : {}) }
    }
  }
}

const withoutUndefined = <T>(value: T): T => (value === undefined ? value : JSON.parse(JSON.stringify(value)))
