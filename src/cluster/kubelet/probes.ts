/**
 * Probes of running containers. Each container has at most three; startup gates the others. Results live in memory only: a
 * restarted daemon keeps a pod's last stored readiness until the first answer (see ProbeBoard.seed).
 *
 * Faster than the letter, never stricter: until a probe has succeeded for the first time it is also tried between its
 * periods, but only scheduled tries count as failures. So a pod becomes ready when it is, not at the next period.
 */
import type { Clock } from '../../lib/clock.ts'
import type { Container, Probe } from '../../spec/kube/generated/types.ts'
import type { ProbeTimings } from '../../spec/kube/runtime-annotation.ts'
import { attempt, type ProbeOutcome } from './probe-handlers.ts'
import type { ProbeResults } from './types.ts'

export type ProbeKind = 'startup' | 'readiness' | 'liveness'
export interface ProbeTarget {
  containerId: string
  container: Container
  podIP: () => string | undefined
  exec: (command: string[], timeoutMs: number, signal: AbortSignal) => Promise<{ exitCode: number; output: string }>
  /** Exact periods in ms where Compose gave them (the annotation slipway.dev/runtime); else whole seconds of the probe. */
  timing?: ProbeTimings | undefined
}
interface ProbeListener {
  /** started or ready changed. */
  changed(containerId: string): void
  failed(containerId: string, kind: ProbeKind, output: string): void
  /** The liveness or startup probe has failed often enough: kill it. */
  fatal(containerId: string, kind: ProbeKind, output: string): void
}

export class ProbeBoard {
  #watched = new Map<string, { results: ProbeResults; stop: AbortController; gated: boolean }>()
  #clock: Clock
  #listener: ProbeListener

  constructor(clock: Clock, listener: ProbeListener) {
    this.#clock = clock
    this.#listener = listener
  }

  results(): ReadonlyMap<string, ProbeResults> {
    return new Map([...this.#watched].map(([id, w]) => [id, w.results]))
  }

  /** Begins to probe a container that runs; `seed` is what was known of it before a restart of the daemon. */
  watch(target: ProbeTarget, seed?: ProbeResults): void {
    if (this.#watched.has(target.containerId)) return
    const { startupProbe, readinessProbe, livenessProbe } = target.container
    const results: ProbeResults = seed ?? { started: !startupProbe, ready: !startupProbe && !readinessProbe }
    const stop = new AbortController()
    this.#watched.set(target.containerId, { results, stop, gated: readinessProbe !== undefined })
    const both = target.timing?.same === true && readinessProbe !== undefined && livenessProbe !== undefined
    const loop = async (): Promise<void> => {
      if (startupProbe && !results.started) await this.#run(target, ['startup'], startupProbe, results, stop.signal)
      if (stop.signal.aborted || !results.started) return // not started: it is going to be killed
      await Promise.all([
        readinessProbe &&
          this.#run(target, both ? ['readiness', 'liveness'] : ['readiness'], readinessProbe, results, stop.signal),
        livenessProbe && !both && this.#run(target, ['liveness'], livenessProbe, results, stop.signal),
      ])
    }
    loop().catch(() => {}) // only the stop signal ends it
  }

  forget(containerId: string): void {
    this.#watched.get(containerId)?.stop.abort()
    this.#watched.delete(containerId)
  }

  close(): void {
    for (const id of [...this.#watched.keys()]) this.forget(id)
  }

  /** `kinds`: one, or readiness and liveness where one run serves both. */
  async #run(
    target: ProbeTarget,
    kinds: readonly ProbeKind[],
    probe: Probe,
    results: ProbeResults,
    signal: AbortSignal,
  ): Promise<void> {
    const exact = target.timing?.[kinds[0]!]
    const periodMs = exact?.periodMs ?? (probe.periodSeconds ?? 10) * 1000
    const timeoutMs = exact?.timeoutMs ?? (probe.timeoutSeconds ?? 1) * 1000
    const delayMs = (probe.initialDelaySeconds ?? 0) * 1000
    const { readinessProbe, livenessProbe, startupProbe } = target.container
    const thresholds = { readiness: readinessProbe, liveness: livenessProbe, startup: startupProbe }
    if (delayMs > 0) await this.#clock.sleep(delayMs, signal)
    const failures = new Map<ProbeKind, number>()
    let successes = 0
    let everGood = kinds[0] === 'liveness' || (kinds[0] === 'readiness' && results.ready)
    let scheduled = this.#clock.now()
    let eager = Math.min(100, periodMs)
    while (!signal.aborted) {
      const outcome = await attempt(target, probe, timeoutMs, signal)
      if (signal.aborted) return
      const counts = this.#clock.now() >= scheduled
      if (counts) scheduled = Math.max(scheduled + periodMs, this.#clock.now())
      if (outcome.ok) {
        failures.clear()
        if (++successes >= (probe.successThreshold ?? 1)) {
          everGood = true
          for (const kind of kinds) this.#good(target.containerId, kind, results)
          if (kinds[0] === 'startup') return
        }
      } else {
        successes = 0
        if (counts && kinds.some((kind) => this.#failed(target, kind, thresholds[kind], failures, results, outcome)))
          return
      }
      eager = Math.min(eager * 1.5, 1000)
      const wait = everGood ? scheduled - this.#clock.now() : Math.min(eager, scheduled - this.#clock.now())
      await this.#clock.sleep(Math.max(wait, 10), signal)
    }
  }

  /** Counts one failure; true when probing is over. */
  #failed(
    target: ProbeTarget,
    kind: ProbeKind,
    probe: Probe | undefined,
    failures: Map<ProbeKind, number>,
    results: ProbeResults,
    { output }: ProbeOutcome,
  ): boolean {
    const count = (failures.get(kind) ?? 0) + 1
    failures.set(kind, count)
    this.#listener.failed(target.containerId, kind, output)
    return count >= (probe?.failureThreshold ?? 3) && this.#bad(target.containerId, kind, results, output)
  }

  #good(id: string, kind: ProbeKind, results: ProbeResults): void {
    const before = { ...results }
    if (kind === 'startup') {
      results.started = true
      // With a readiness probe, having started is not being ready.
      if (!this.#watched.get(id)?.gated) results.ready = true
    }
    if (kind === 'readiness') results.ready = true
    if (before.started !== results.started || before.ready !== results.ready) this.#listener.changed(id)
  }

  /** True when probing is over: the container is going to be killed. */
  #bad(id: string, kind: ProbeKind, results: ProbeResults, output: string): boolean {
    if (kind === 'readiness') {
      if (results.ready) {
        results.ready = false
        this.#listener.changed(id)
      }
      return false
    }
    this.#listener.fatal(id, kind, output)
    return true
  }
}
