/**
 * The end of a pod, in the order that loses no request: out of every load-balancing rule first, then preStop, then SIGTERM,
 * and SIGKILL when the grace period is over. Sidecars follow the main containers, last started first.
 */
import { messageOf } from '../../errors.ts'
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import { runHook } from './hooks.ts'
import { isSidecar, type KubeletDeps, type Tries } from './types.ts'

/** How long a pod may wait for the rules at most; a proxy in trouble must not keep pods alive. */
const drainLimitMs = 5_000

export interface Termination {
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
  const alive = (c: Container): boolean =>
    ['running', 'paused', 'restarting'].includes(end.tries.get(c.name)?.[0]?.status ?? '')
  const mains = [...end.pod.spec!.containers, ...((end.pod.spec!.ephemeralContainers ?? []) as Container[])].filter(
    alive,
  )
  const inits = (end.pod.spec!.initContainers ?? []).filter(alive)
  if (end.graceMs > 0 && mains.length > 0) await drained(deps, end)
  await Promise.all(mains.map((c) => endContainer(deps, end, c, deadline)))
  for (const c of inits.toReversed()) await endContainer(deps, end, c, isSidecar(c) ? deadline : deps.clock.now())
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

const endContainer = async (deps: Deps, end: Termination, c: Container, deadline: number): Promise<void> => {
  const id = end.tries.get(c.name)![0]!.id
  const left = (): number => (end.signal.aborted ? 0 : Math.max(0, deadline - deps.clock.now()))
  deps.record(end.pod as never, 'Normal', 'Killing', `Stopping container ${c.name}`)
  if (c.lifecycle?.preStop && left() > 0) {
    const at = { containerId: id, container: c, podIP: end.podIP, timeoutMs: left(), signal: end.signal }
    await runHook(c.lifecycle.preStop, at, deps.engine.containers, deps.clock).catch((error) => {
      if (!end.signal.aborted)
        deps.record(end.pod as never, 'Warning', 'FailedPreStopHook', `PreStopHook failed: ${messageOf(error)}`)
    })
  }
  // Kubernetes gives at least two seconds after a preStop hook that used all of the grace period.
  const grace = end.signal.aborted ? 0 : Math.max(left(), c.lifecycle?.preStop && end.graceMs > 0 ? 2000 : 0)
  await deps.engine.containers.stop(id, { timeoutMs: grace })
}
