/**
 * What to do next for a running pod: a pure function of its specification and what is there. The worker performs the steps
 * and looks again; nothing is remembered between two looks.
 */
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import { nextStart } from './backoff.ts'
import { type ContainerRole, isSidecar, type Observed, type Tries } from './types.ts'

export type Step =
  | { do: 'start-sandbox' }
  | { do: 'start-container'; name: string; role: ContainerRole; attempt: number }
  | { do: 'kill-container'; name: string; reason: string }
  | { do: 'stop-sandbox' }
  /** Nothing to do before this time (ms since the epoch). */
  | { do: 'look-again'; at: number }

const restartPolicy = (pod: Pod): string => pod.spec?.restartPolicy ?? 'Always'
const running = (tries: Tries | undefined): boolean =>
  tries?.[0]?.status === 'running' || tries?.[0]?.status === 'paused'
const ended = (tries: Tries | undefined): boolean => tries?.[0] !== undefined && !running(tries)
const succeeded = (tries: Tries | undefined): boolean => ended(tries) && tries![0]!.exitCode === 0 && !tries![0]!.error

/** Attempt numbers never repeat, also when old tries have been removed. */
export const nextAttempt = (tries: Tries | undefined, recorded: number): number =>
  tries?.[0] ? Number(tries[0].spec.labels['io.kubernetes.container.attempt'] ?? 0) + 1 : recorded

const mayRestart = (policy: string, tries: Tries | undefined): boolean =>
  !ended(tries) || policy === 'Always' || (policy === 'OnFailure' && !succeeded(tries))

/** Is the pod over: every main container ended and none will run again, or an init container failed for good? */
export const isOver = (pod: Pod, tries: Observed['tries']): boolean => {
  const policy = restartPolicy(pod)
  const inits = (pod.spec?.initContainers ?? []).filter((c) => !isSidecar(c))
  if (policy === 'Never' && inits.some((c) => ended(tries.get(c.name)) && !succeeded(tries.get(c.name)))) return true
  return (pod.spec?.containers ?? []).every((c) => ended(tries.get(c.name)) && !mayRestart(policy, tries.get(c.name)))
}

export const plan = (seen: Observed): Step[] => {
  const { pod, tries } = seen
  if (isOver(pod, tries)) return stopEverything(pod, tries, seen.sandboxReady)
  if (!seen.sandboxReady) return [{ do: 'start-sandbox' }]
  const inits = planInits(seen)
  if (inits !== 'done') return inits
  const steps = [
    ...(pod.spec?.initContainers ?? []).filter(isSidecar).flatMap((c) => planOne(seen, c, 'init', 'Always')),
    ...(pod.spec?.containers ?? []).flatMap((c) => planOne(seen, c, 'main', restartPolicy(pod))),
    ...(pod.spec?.ephemeralContainers ?? []).flatMap((c) => planOne(seen, c as Container, 'ephemeral', 'Never')),
  ]
  return steps
}

/** Init containers run one after another; a sidecar lets the next one begin once it has started. */
const planInits = (seen: Observed): Step[] | 'done' => {
  const { pod, tries, probes } = seen
  const mainBegan = (pod.spec?.containers ?? []).some((c) => tries.has(c.name))
  for (const c of pod.spec?.initContainers ?? []) {
    const mine = tries.get(c.name)
    if (isSidecar(c)) {
      if (running(mine) && (!c.startupProbe || probes.get(mine![0]!.id)?.started || mainBegan)) continue
      if (mainBegan) continue
      return planOne(seen, c, 'init', 'Always')
    }
    if (succeeded(mine) || mainBegan) continue
    return planOne(seen, c, 'init', restartPolicy(pod) === 'Never' ? 'Never' : 'OnFailure')
  }
  return 'done'
}

const planOne = (seen: Observed, c: Container, role: ContainerRole, policy: string): Step[] => {
  const tries = seen.tries.get(c.name)
  if (running(tries)) return []
  if (!mayRestart(policy, tries)) return []
  const at = nextStart(
    (tries ?? []).map((t) => ({ startedAt: t.startedAt ?? t.createdAt, finishedAt: t.finishedAt ?? t.createdAt })),
  )
  if (at > seen.now) return [{ do: 'look-again', at }]
  const recorded = recordedRestarts(seen.pod, c.name)
  return [{ do: 'start-container', name: c.name, role, attempt: nextAttempt(tries, recorded) }]
}

/** What the API remembers: containers of ours that are gone must not make the count start over. */
export const recordedRestarts = (pod: Pod, name: string): number => {
  const all = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.ephemeralContainerStatuses ?? []),
  ]
  const status = all.find((s) => s.name === name)
  return status?.containerID ? status.restartCount + 1 : 0
}

const stopEverything = (pod: Pod, tries: Observed['tries'], sandboxReady: boolean): Step[] => {
  const alive = [...tries].filter(([, t]) => running(t))
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter(isSidecar).map((c) => c.name))
  if (alive.length > 0)
    return alive.map(([name]) => ({
      do: 'kill-container',
      name,
      reason: sidecars.has(name) ? 'all main containers have ended' : 'the pod has ended',
    }))
  return sandboxReady ? [{ do: 'stop-sandbox' }] : []
}
