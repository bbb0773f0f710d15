/**
 * One pod on this node: looks at what should be and what is, performs the plan's steps, writes the status, and looks again
 * when something changed. Long steps (a start with its image pull, a kill with its grace period) run beside the loop, at
 * most one a container.
 */
import type { Container as EngineContainer } from '../../engine/index.ts'
import { isError, messageOf } from '../../errors.ts'
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { streakAfter } from './backoff.ts'
import { podName } from './container-status.ts'
import type { Node } from './kubelet.ts'
import { lastWords } from './last-words.ts'
import { isOver, isPastDeadline, plan, type Step } from './plan.ts'
import { podPlaces } from './pod-volumes.ts'
import { startContainer } from './starter.ts'
import { deadlineExceeded, podStatus, qosClass } from './status.ts'
import { StatusWriter } from './status-writer.ts'
import { endContainer, terminatePod } from './terminator.ts'
import { endedTry, hasEnded, isRunning } from './tries.ts'
import { label, type Observed, type ProbeResults } from './types.ts'

interface Waiting {
  reason: string
  message: string
  /** No new try before this time (ms since the epoch). */
  retryAt: number
}
/** Key of what the pod as a whole waits for. */
const wholePod = ''
const retryMs = 5_000

export class PodWorker {
  readonly uid: string
  readonly key: { namespace: string; name: string }
  #node: Node
  #pod: Pod
  #writer: StatusWriter
  /** Containers at work on, and what is done to them. */
  #busy = new Map<string, 'start' | 'kill'>()
  #waiting = new Map<string, Waiting>()
  #condemned = new Map<string, { message: string; graceSeconds?: number | undefined }>()
  #lastWords = new Map<string, string>()
  /** Containers whose back-off has been told, by the id of the try before. */
  #toldBackoff = new Set<string>()
  #stopping = new AbortController()
  /** Aborted when no grace is left to anybody. */
  #cut = new AbortController()
  #termination: { graceSeconds: number } | undefined
  #dismantled: Promise<void> | undefined
  #dirty = false
  #running: Promise<void> | undefined
  #timer: { at: number; handle: NodeJS.Timeout } | undefined
  #gone = false

  constructor(node: Node, pod: Pod) {
    this.#node = node
    this.#pod = pod
    this.uid = pod.metadata.uid!
    this.key = { namespace: pod.metadata.namespace!, name: pod.metadata.name! }
    this.#writer = new StatusWriter(node.deps.client)
  }

  get pod(): Pod {
    return this.#pod
  }
  get podIP(): string | undefined {
    return this.#addresses()[0]
  }
  get terminating(): boolean {
    return this.#termination !== undefined || this.#gone
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

  /** What failed before may work now: nothing waits any longer. */
  retry(): void {
    for (const [name, waiting] of this.#waiting)
      if (/Config|FailedMount/.test(waiting.reason)) this.#waiting.set(name, { ...waiting, retryAt: 0 })
    this.poke()
  }

  /** The object has vanished from the API: end everything at once. */
  vanish(): void {
    this.#termination ??= { graceSeconds: 0 }
    this.#gone = true
    this.#stopping.abort()
    this.#cut.abort()
    this.#running = (this.#running ?? Promise.resolve())
      .then(() => this.#dismantle())
      .catch((error) => this.#trouble('removing the pod', error))
  }

  /** Lets go without touching the pod: the daemon is going down. */
  detach(): void {
    this.#gone = true
    this.#stopping.abort()
    clearTimeout(this.#timer?.handle)
  }

  /** A probe says the container must go. */
  condemn(containerId: string, message: string, graceSeconds?: number): void {
    this.#condemned.set(containerId, { message, graceSeconds })
    this.poke()
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
    this.#node.deps.log.error(`${what} failed`, {
      pod: `${this.key.namespace}/${this.key.name}`,
      error: messageOf(error),
    })
  }

  #observe(): Observed {
    const { index, board, deps } = this.#node
    const tries = index.tries(this.uid)
    // One that is being started does not count before its postStart hook is through.
    for (const [name, what] of this.#busy) {
      const list = tries.get(name)
      if (what !== 'start' || !list || !isRunning(list[0])) continue
      if (list.length > 1) tries.set(name, list.slice(1))
      else tries.delete(name)
    }
    const now = deps.clock.now()
    return {
      pod: this.#pod,
      now,
      over: isOver(this.#pod, tries, now),
      sandboxReady: deps.engine.sandboxes.get(this.uid)?.state === 'ready',
      tries,
      probes: board.results(),
      waiting: this.#waiting,
      condemned: this.#condemned,
      lastWords: this.#lastWords,
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
      if (!again || this.#gone) break
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
        if (step.backoff) this.#tellBackoff(step.backoff)
        this.#lookAgain(step.at)
        return false
      case 'start-container':
        this.#begin(step.name, 'start', () => this.#start(step))
        return false
      case 'kill-container':
        this.#begin(step.name, 'kill', () => this.#kill(step))
        return false
    }
  }

  /** The earliest wish counts; each look makes the later ones anew. */
  #lookAgain(at: number): void {
    const { clock } = this.#node.deps
    if (this.#timer && this.#timer.at <= at && this.#timer.at > clock.now()) return
    clearTimeout(this.#timer?.handle)
    const handle = setTimeout(
      () => {
        this.#timer = undefined
        this.poke()
      },
      Math.min(Math.max(10, at - clock.now()), 2 ** 31 - 1),
    )
    this.#timer = { at, handle: handle.unref() }
  }

  #begin(name: string, what: 'start' | 'kill', task: () => Promise<void>): void {
    if (this.#busy.has(name)) return
    // The first that runs makes the process namespace, the others join it.
    if (this.#pod.spec?.shareProcessNamespace && [...this.#busy.values()].includes('start')) return
    const waiting = this.#waiting.get(name)
    if (what === 'start' && waiting && waiting.retryAt > this.#node.deps.clock.now()) {
      this.#lookAgain(waiting.retryAt)
      return
    }
    this.#busy.set(name, what)
    task()
      .catch((error) => {
        this.#trouble(`container ${name}`, error)
        this.#lookAgain(this.#node.deps.clock.now() + 1000)
      })
      .finally(() => {
        this.#busy.delete(name)
        this.poke()
      })
  }

  #tellBackoff(name: string): void {
    const newest = this.#node.index.tries(this.uid).get(name)?.[0]
    if (!newest || this.#toldBackoff.has(newest.id)) return
    this.#toldBackoff.clear()
    this.#toldBackoff.add(newest.id)
    const message = `Back-off restarting failed container ${name} in pod ${podName(this.#pod)}`
    this.#node.deps.record(this.#pod as never, 'Warning', 'BackOff', message)
  }

  async #startSandbox(): Promise<boolean> {
    const { deps, volumes } = this.#node
    const waiting = this.#waiting.get(wholePod)
    if (waiting && waiting.retryAt > deps.clock.now()) {
      this.#lookAgain(waiting.retryAt)
      return false
    }
    try {
      await this.#dropTries()
      // Claims must be bound and configuration there before addresses are taken.
      await volumes.mount(this.#pod, undefined)
      await this.#node.startSandbox(this.#pod)
      this.#waiting.delete(wholePod)
      return true
    } catch (error) {
      const reason =
        (isError(error) && (error.details as { reason?: string } | undefined)?.reason) || 'FailedCreatePodSandBox'
      const message = reason === 'FailedMount' ? messageOf(error) : `Failed to create pod sandbox: ${messageOf(error)}`
      if (waiting?.message !== message) deps.record(this.#pod as never, 'Warning', reason, message)
      const retryAt = deps.clock.now() + (waiting ? 2000 : 200)
      this.#waiting.set(wholePod, { reason, message, retryAt })
      this.#lookAgain(retryAt)
      return false
    }
  }

  /** Containers of a sandbox that is gone (the machine was rebooted): the pod begins anew, init containers first. */
  async #dropTries(): Promise<void> {
    const { deps, index, board } = this.#node
    const old = index.all(this.uid)
    if (old.length === 0) return
    await this.#writeStatus() // what is known of them stays known
    deps.record(
      this.#pod as never,
      'Normal',
      'SandboxChanged',
      'Pod sandbox changed, it will be killed and re-created.',
    )
    for (const one of old) {
      board.forget(one.id)
      await deps.engine.containers.remove(one.id, { force: true, volumes: true })
    }
  }

  async #start(step: Extract<Step, { do: 'start-container' }>): Promise<void> {
    const { deps, index, images, volumes } = this.#node
    const container = this.#container(step.name)
    if (!container) return
    const [newest] = index.tries(this.uid).get(step.name) ?? []
    // One ended try is kept, for its log; half-made ones of a daemon that was killed go.
    for (const one of index.all(this.uid))
      if (one.spec.labels[label.container] === step.name && one.id !== newest?.id)
        await deps.engine.containers.remove(one.id, { force: true, volumes: true })
    try {
      const { id, failed } = await startContainer(
        { deps, images, volumes },
        {
          pod: this.#pod,
          container,
          role: step.role,
          attempt: step.attempt,
          streak: newest ? streakAfter(endedTry(newest)) : 0,
          target: this.#target(container),
          podIP: this.podIP,
          signal: this.#stopping.signal,
        },
      )
      this.#waiting.delete(step.name)
      index.add(deps.engine.containers.must(id))
      if (failed) this.#condemned.set(id, { message: failed })
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      const details = isError(error) ? (error.details as { reason?: string; retryAt?: number } | undefined) : undefined
      const reason = details?.reason ?? 'CreateContainerError'
      // A failed pull is told for a moment, then the back-off: whose end the images know.
      const retryAt =
        reason === 'ErrImagePull' ? deps.clock.now() + 1000 : details?.retryAt || deps.clock.now() + retryMs
      this.#waiting.set(step.name, { reason, message: messageOf(error), retryAt })
    }
  }

  /** The engine container whose processes an ephemeral container wants to see. */
  #target(container: Container): string | undefined {
    const name = (container as { targetContainerName?: string }).targetContainerName
    const newest = name ? this.#node.index.tries(this.uid).get(name)?.[0] : undefined
    return isRunning(newest) ? newest!.id : undefined
  }

  /** Ends one container with its hook and the pod's grace; the plan decides what comes after. */
  async #kill(step: Extract<Step, { do: 'kill-container' }>): Promise<void> {
    const { deps, index, board } = this.#node
    const newest = index.tries(this.uid).get(step.name)?.[0]
    const container = this.#container(step.name)
    if (!isRunning(newest) || !container) return
    if (isPastDeadline(this.#pod, deps.clock.now()) && this.#pod.status?.reason !== deadlineExceeded.reason)
      deps.record(this.#pod as never, 'Normal', deadlineExceeded.reason, deadlineExceeded.message)
    board.forget(newest!.id)
    const graceSeconds = step.graceSeconds ?? this.#pod.spec?.terminationGracePeriodSeconds ?? 30
    await endContainer(deps, {
      pod: this.#pod,
      container,
      id: newest!.id,
      message: step.message,
      deadline: deps.clock.now() + graceSeconds * 1000,
      podIP: this.podIP,
      signal: this.#cut.signal,
    })
    this.#condemned.delete(newest!.id)
  }

  #container(name: string): Container | undefined {
    const { initContainers = [], containers, ephemeralContainers = [] } = this.#pod.spec!
    return [...containers, ...initContainers, ...(ephemeralContainers as Container[])].find((c) => c.name === name)
  }

  #watchProbes(seen: Observed): void {
    for (const [name, tries] of seen.tries) {
      const newest = tries[0]!
      for (const t of tries) if (!isRunning(t)) this.#node.board.forget(t.id)
      const container = this.#container(name)
      if (!container || newest.status !== 'running' || this.#busy.has(name) || this.#condemned.has(newest.id)) continue
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
      if (graceSeconds >= this.#termination.graceSeconds) return
      this.#termination.graceSeconds = graceSeconds
      setTimeout(() => this.#cut.abort(), graceSeconds * 1000).unref()
      return
    }
    this.#termination = { graceSeconds }
    this.#stopping.abort() // no pull, start or hook goes on
    this.#endPod(graceSeconds).catch((error) => {
      this.#trouble('ending the pod', error)
      this.#termination = undefined
      this.#lookAgain(this.#node.deps.clock.now() + 1000)
    })
  }

  /** What is left of the grace period: the deletion's time is its end, also for a daemon that was restarted meanwhile. */
  #graceLeftMs(graceSeconds: number): number {
    if (graceSeconds === 0) return 0
    const until = Date.parse(this.#pod.metadata.deletionTimestamp!) - this.#node.deps.clock.now()
    return Math.min(graceSeconds * 1000, Math.max(until, 2000))
  }

  async #endPod(graceSeconds: number): Promise<void> {
    const { deps, index, board } = this.#node
    while (this.#busy.size > 0) await deps.clock.sleep(10)
    const tries = index.tries(this.uid)
    await terminatePod(deps, {
      pod: this.#pod,
      tries,
      graceMs: this.#graceLeftMs(graceSeconds),
      podIP: this.podIP,
      signal: this.#cut.signal,
    })
    for (const list of tries.values()) for (const t of list) board.forget(t.id)
    await this.#writeStatus()
    await this.#dismantle()
    await deps.client.delete(kinds.Pod, this.key, { gracePeriodSeconds: 0, preconditions: { uid: this.uid } })
  }

  /** Everything of the pod that is on this machine goes. Once, also when its end and its vanishing meet. */
  async #dismantle(): Promise<void> {
    this.#dismantled ??= this.#removeAll().catch((error) => {
      this.#dismantled = undefined
      throw error
    })
    await this.#dismantled
    if (this.#gone) this.#node.dismissed(this)
  }

  async #removeAll(): Promise<void> {
    const { deps, index, board } = this.#node
    clearTimeout(this.#timer?.handle)
    while (this.#busy.size > 0) await deps.clock.sleep(10)
    for (const one of index.all(this.uid)) {
      board.forget(one.id)
      await deps.engine.containers.remove(one.id, { force: true, volumes: true })
    }
    await this.#node.removeSandbox(this.uid)
    index.forget(this.uid)
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
    await this.#hearLastWords()
    const seen = this.#observe()
    const addresses = this.#addresses()
    const kept = addresses.length > 0 ? addresses : (this.#pod.status?.podIPs ?? []).map((p) => p.ip!)
    const status = podStatus(seen, {
      hostIP: deps.node.address,
      podIPs: kept,
      qosClass: this.#pod.status?.qosClass ?? qosClass(this.#pod),
    })
    const written = await this.#writer.write(this.#pod, status)
    if (written)
      this.#pod = { ...written, ...(this.#pod.metadata.deletionTimestamp ? { metadata: this.#pod.metadata } : {}) }
  }

  async #hearLastWords(): Promise<void> {
    const { deps, index } = this.#node
    const { disk } = podPlaces(deps, this.uid)
    const kept = new Set<string>()
    for (const [name, tries] of index.tries(this.uid)) {
      const container = this.#container(name)
      for (const t of tries.filter((one: EngineContainer) => hasEnded(one))) {
        kept.add(t.id)
        if (container && !this.#lastWords.has(t.id))
          this.#lastWords.set(t.id, await lastWords(disk, container, t, deps.engine.containers).catch(() => ''))
      }
    }
    for (const id of this.#lastWords.keys()) if (!kept.has(id)) this.#lastWords.delete(id)
  }
}
