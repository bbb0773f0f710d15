/**
 * Probes of running containers. Each container has at most three; startup gates the others. Results live in memory only: a
 * restarted daemon keeps a pod's last stored readiness until the first answer (see ProbeBoard.seed).
 *
 * Faster than the letter, never stricter: until a probe has succeeded for the first time it is also tried between its
 * periods, but only scheduled tries count as failures. So a pod becomes ready when it is, not at the next period.
 */
import { Agent, request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { isError, messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Container, Probe } from '../../spec/kube/generated/types.ts'
import type { ProbeTimings } from '../../spec/kube/runtime-annotation.ts'
import { grpcHealth } from './grpc-health.ts'
import type { ProbeResults } from './types.ts'

export type ProbeKind = 'startup' | 'readiness' | 'liveness'
export interface ProbeOutcome {
  ok: boolean
  /** What it said, for events and `describe`. */
  output: string
}
export interface ProbeTarget {
  containerId: string
  container: Container
  podIP: () => string | undefined
  exec: (command: string[], timeoutMs: number, signal: AbortSignal) => Promise<{ exitCode: number; output: string }>
  /** Exact periods in ms where Compose gave them (the annotation slipway.dev/runtime); else whole seconds of the probe. */
  timing?: Pick<ProbeTimings, ProbeKind> | undefined
}
export interface ProbeListener {
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
    const loop = async (): Promise<void> => {
      if (startupProbe && !results.started) await this.#run(target, 'startup', startupProbe, results, stop.signal)
      if (stop.signal.aborted) return
      await Promise.all([
        readinessProbe && this.#run(target, 'readiness', readinessProbe, results, stop.signal),
        livenessProbe && this.#run(target, 'liveness', livenessProbe, results, stop.signal),
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

  async #run(
    target: ProbeTarget,
    kind: ProbeKind,
    probe: Probe,
    results: ProbeResults,
    signal: AbortSignal,
  ): Promise<void> {
    const exact = target.timing?.[kind]
    const periodMs = exact?.periodMs ?? (probe.periodSeconds ?? 10) * 1000
    const timeoutMs = exact?.timeoutMs ?? (probe.timeoutSeconds ?? 1) * 1000
    const delayMs = (probe.initialDelaySeconds ?? 0) * 1000
    if (delayMs > 0) await this.#clock.sleep(delayMs, signal)
    let successes = 0
    let failures = 0
    let everGood = kind === 'liveness' || (kind === 'readiness' && results.ready)
    let scheduled = this.#clock.now()
    let eager = Math.min(100, periodMs)
    while (!signal.aborted) {
      const outcome = await attempt(target, probe, timeoutMs, signal)
      if (signal.aborted) return
      const counts = this.#clock.now() >= scheduled
      if (counts) scheduled = Math.max(scheduled + periodMs, this.#clock.now())
      if (outcome.ok) {
        failures = 0
        successes++
        if (successes >= (probe.successThreshold ?? 1)) {
          everGood = true
          this.#good(target.containerId, kind, results)
          if (kind === 'startup') return
        }
      } else if (counts) {
        successes = 0
        failures++
        this.#listener.failed(target.containerId, kind, outcome.output)
        if (failures >= (probe.failureThreshold ?? 3)) {
          failures = 0
          if (this.#bad(target.containerId, kind, results, outcome.output)) return
        }
      } else successes = 0
      eager = Math.min(eager * 1.5, 1000)
      const wait = everGood ? scheduled - this.#clock.now() : Math.min(eager, scheduled - this.#clock.now())
      await this.#clock.sleep(Math.max(wait, 10), signal)
    }
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

const attempt = async (
  target: ProbeTarget,
  probe: Probe,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ProbeOutcome> => {
  try {
    if (probe.exec) {
      const { exitCode, output } = await target.exec(probe.exec.command ?? [], timeoutMs, signal)
      return { ok: exitCode === 0, output }
    }
    const ip = target.podIP()
    if (!ip) return { ok: false, output: 'the pod has no address yet' }
    if (probe.httpGet) return await httpProbe(ip, target.container, probe.httpGet, timeoutMs)
    if (probe.tcpSocket)
      return await tcpProbe(probe.tcpSocket.host || ip, portOf(target.container, probe.tcpSocket.port), timeoutMs)
    if (probe.grpc) return await grpcHealth(ip, probe.grpc.port, probe.grpc.service ?? '', timeoutMs)
    return { ok: false, output: 'the probe has no handler' }
  } catch (error) {
    if (isError(error, 'timeout')) return { ok: false, output: `command timed out after ${timeoutMs / 1000}s` }
    return { ok: false, output: messageOf(error) }
  }
}

export const portOf = (container: Container, port: number | string): number => {
  if (typeof port === 'number') return port
  const named = container.ports?.find((p) => p.name === port)
  return named?.containerPort ?? Number(port)
}

const noKeepAlive = new Agent({ keepAlive: false })

export const httpProbe = (
  ip: string,
  container: Container,
  get: NonNullable<Probe['httpGet']>,
  timeoutMs: number,
): Promise<ProbeOutcome> =>
  new Promise((resolve) => {
    const https = get.scheme === 'HTTPS'
    const port = portOf(container, get.port)
    const headers = Object.fromEntries((get.httpHeaders ?? []).map((h) => [h.name, h.value]))
    const host = get.host || ip
    const path = get.path?.startsWith('/') ? get.path : `/${get.path ?? ''}`
    const url = `${https ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}${path}`
    const options = { headers: { 'User-Agent': 'kube-probe/1.33', Accept: '*/*', ...headers }, timeout: timeoutMs }
    const done = (ok: boolean, output: string): void => {
      clearTimeout(timer)
      resolve({ ok, output })
      req.destroy()
    }
    const req = https
      ? httpsRequest(url, { ...options, rejectUnauthorized: false, agent: false })
      : httpRequest(url, { ...options, agent: noKeepAlive })
    const timer = setTimeout(
      () => done(false, `Get "${url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`),
      timeoutMs,
    )
    req.on('response', (res) => {
      const code = res.statusCode ?? 0
      done(code >= 200 && code < 400, `HTTP probe failed with statuscode: ${code}`)
    })
    req.on('error', (error) => done(false, `Get "${url}": ${error.message}`))
    req.end()
  })

const tcpProbe = (host: string, port: number, timeoutMs: number): Promise<ProbeOutcome> =>
  new Promise((resolve) => {
    const socket = connect({ host, port })
    const done = (ok: boolean, output: string): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ ok, output })
    }
    const timer = setTimeout(() => done(false, `dial tcp ${host}:${port}: i/o timeout`), timeoutMs)
    socket.on('connect', () => done(true, ''))
    socket.on('error', (error) => done(false, `dial tcp ${host}:${port}: ${error.message}`))
  })
