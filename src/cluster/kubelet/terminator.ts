/**
 * The end of a pod, in the order that loses no request: out of every load-balancing rule first, then preStop, then SIGTERM,
 * and SIGKILL when the grace period is over. Sidecars follow the main containers, last started first.
 */
import { messageOf } from '../../errors.ts'
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import { runHook } from './hooks.ts'
import { isRunning } from './tries.ts'
import { isSidecar, type KubeletDeps, type Tries } from './types.ts'

/** How long a pod may wait for the rules at most; a proxy in trouble must not keep pods alive. */
const drainLimitMs = 5_000
/** Kubernetes gives at least this after a preStop hook that used all of the grace period. */
const leastGraceMs = 2_000

interface Termination {
  pod: Pod
  tries: ReadonlyMap<string, Tries>
  graceMs: number
  podIP: string | undefined
  /** Aborted when the grace period is cut short. */
  signal: AbortSignal
}

type Deps = Pick<KubeletDeps, 'engine' | 'proxy' | 'clock' | 'record' | 'log'>

export const terminatePod = async (deps: Deps, end: Termination): Promise<void> => {
  const deadline = deps.clock.now() + end.graceMs
  const { spec } = end.pod
  const alive = (c: Container): boolean => isRunning(end.tries.get(c.name)?.[0])
  const inits = (spec!.initContainers ?? []).filter(alive)
  const mains = [
    ...[...spec!.containers, ...((spec!.ephemeralContainers ?? []) as Container[])].filter(alive),
    ...inits.filter((c) => !isSidecar(c)),
  ]
  if (end.graceMs > 0 && mains.length > 0) await drained(deps, end)
  const stop = (c: Container): Promise<void> =>
    endContainer(deps, {
      pod: end.pod,
      container: c,
      id: end.tries.get(c.name)![0]!.id,
      message: `Stopping container ${c.name}`,
      deadline,
      podIP: end.podIP,
      signal: end.signal,
    })
  await Promise.all(mains.map(stop))
  for (const c of inits.filter(isSidecar).toReversed()) await stop(c)
}

const drained = async (deps: Deps, end: Termination): Promise<void> => {
  const limit = AbortSignal.any([end.signal, AbortSignal.timeout(Math.min(drainLimitMs, end.graceMs))])
  try {
    await deps.proxy.drained(end.pod.metadata.uid!, limit)
  } catch (error) {
    if (!end.signal.aborted)
      deps.log.warn('pod stops before the load balancing rules have let go of it', {
        pod: end.pod.metadata.name,
        error: messageOf(error),
      })
  }
}

interface ContainerEnd {
  pod: Pod
  container: Container
  id: string
  /** For the event. */
  message: string
  /** When it is killed (ms since the epoch). */
  deadline: number
  podIP: string | undefined
  /** Aborted when the grace period is cut short. */
  signal: AbortSignal
}

/** preStop, the stop signal, and SIGKILL at the deadline. Resolves when the container has ended. */
export const endContainer = async (deps: Omit<Deps, 'proxy'>, end: ContainerEnd): Promise<void> => {
  const { pod, container, id } = end
  const { containers } = deps.engine
  const left = (): number => (end.signal.aborted ? 0 : Math.max(0, end.deadline - deps.clock.now()))
  deps.record(pod as never, 'Normal', 'Killing', end.message)
  const graceful = left() > 0
  const hook = container.lifecycle?.preStop
  if (hook && graceful) {
    // A container that ends by itself meanwhile ends its hook too.
    const over = new AbortController()
    containers.wait(id, 'not-running', over.signal).then(
      () => over.abort(),
      () => {},
    )
    const signal = AbortSignal.any([end.signal, over.signal])
    const at = { containerId: id, container, podIP: end.podIP, timeoutMs: left(), signal }
    await runHook(hook, at, containers, deps.clock).catch((error) => {
      if (!signal.aborted)
        deps.record(pod as never, 'Warning', 'FailedPreStopHook', `PreStopHook failed: ${messageOf(error)}`)
    })
    over.abort()
  }
  const graceMs = end.signal.aborted ? 0 : Math.max(left(), hook && graceful ? leastGraceMs : 0)
  // Whoever cuts the grace period short does not wait for the rest of it.
  const kill = (): void => void containers.kill(id, 'SIGKILL').catch(() => {}) // it may have ended just now
  end.signal.addEventListener('abort', kill, { once: true })
  await containers.stop(id, { timeoutMs: graceMs }).finally(() => end.signal.removeEventListener('abort', kill))
}
