/**
 * What to do next for a running pod: a pure function of its specification and what is there. The worker performs the steps
 * and looks again; nothing is remembered between two looks.
 */
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import { nextStart } from './backoff.ts'
import { attemptOf, endedTry, hasEnded, hasSucceeded, isRunning, newestOf } from './tries.ts'
import { type ContainerRole, isSidecar, label, type Observed, type Tries } from './types.ts'

export type Step =
  | { do: 'start-sandbox' }
  | { do: 'start-container'; name: string; role: ContainerRole; attempt: number }
  | { do: 'kill-container'; name: string; message: string; graceSeconds?: number | undefined }
  | { do: 'stop-sandbox' }
  /** Nothing to do before this time (ms since the epoch). `backoff`: the container that crashed too often. */
  | { do: 'look-again'; at: number; backoff?: string }

const restartPolicy = (pod: Pod): string => pod.spec?.restartPolicy ?? 'Always'

/** Attempt numbers never repeat, also when old tries have been removed. */
const nextAttempt = (tries: Tries | undefined, recorded: number): number =>
  tries?.[0] ? attemptOf(tries[0]) + 1 : recorded

const mayRestart = (policy: string, tries: Tries | undefined): boolean =>
  !hasEnded(tries?.[0]) || policy === 'Always' || (policy === 'OnFailure' && !hasSucceeded(tries?.[0]))

/** When a pod with activeDeadlineSeconds has to end (ms since the epoch). */
const deadlineOf = (pod: Pod): number | undefined => {
  const seconds = pod.spec?.activeDeadlineSeconds
  const start = pod.status?.startTime
  return seconds === undefined || start === undefined ? undefined : Date.parse(start) + seconds * 1000
}
export const isPastDeadline = (pod: Pod, now: number): boolean => now >= (deadlineOf(pod) ?? Number.POSITIVE_INFINITY)

/** Is the pod over: every main container ended and none will run again, or an init container failed for good? */
export const isOver = (pod: Pod, tries: Observed['tries'], now: number): boolean => {
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return true
  if (isPastDeadline(pod, now)) return true
  const policy = restartPolicy(pod)
  const inits = (pod.spec?.initContainers ?? []).filter((c) => !isSidecar(c))
  if (policy === 'Never' && inits.some((c) => hasFailed(newestOf(tries, c.name)))) return true
  return (pod.spec?.containers ?? []).every(
    (c) => hasEnded(newestOf(tries, c.name)) && !mayRestart(policy, tries.get(c.name)),
  )
}
const hasFailed = (newest: Tries[number] | undefined): boolean => hasEnded(newest) && !hasSucceeded(newest)

export const plan = (seen: Observed): Step[] => {
  const { pod, tries } = seen
  if (isOver(pod, tries, seen.now)) return stopEverything(pod, tries, seen.sandboxReady)
  if (!seen.sandboxReady) return [{ do: 'start-sandbox' }]
  return [...planPod(seen), ...planDeadline(pod)]
}

const planDeadline = (pod: Pod): Step[] => {
  const at = deadlineOf(pod)
  return at === undefined ? [] : [{ do: 'look-again', at }]
}

const planPod = (seen: Observed): Step[] => {
  const { pod } = seen
  const ephemeral = (pod.spec?.ephemeralContainers ?? []).flatMap((c) =>
    planOne(seen, c as Container, 'ephemeral', 'Never'),
  )
  const inits = planInits(seen)
  if (inits !== 'done') return [...ephemeral, ...inits]
  return [
    ...ephemeral,
    ...(pod.spec?.initContainers ?? []).filter(isSidecar).flatMap((c) => planOne(seen, c, 'init', 'Always')),
    ...(pod.spec?.containers ?? []).flatMap((c) => planOne(seen, c, 'main', restartPolicy(pod))),
  ]
}

/** Init containers run one after another; a sidecar lets the next one begin once it has started. */
const planInits = (seen: Observed): Step[] | 'done' => {
  const { pod, tries, probes } = seen
  if ((pod.spec?.containers ?? []).some((c) => tries.has(c.name))) return 'done'
  const sidecars: Step[] = []
  for (const c of pod.spec?.initContainers ?? []) {
    const newest = newestOf(tries, c.name)
    if (isSidecar(c)) {
      sidecars.push(...planOne(seen, c, 'init', 'Always'))
      if (isRunning(newest) && (!c.startupProbe || probes.get(newest!.id)?.started)) continue
      return sidecars
    }
    if (hasSucceeded(newest)) continue
    return [...sidecars, ...planOne(seen, c, 'init', restartPolicy(pod) === 'Never' ? 'Never' : 'OnFailure')]
  }
  return 'done'
}

const planOne = (seen: Observed, c: Container, role: ContainerRole, policy: string): Step[] => {
  const tries = seen.tries.get(c.name)
  const newest = tries?.[0]
  if (isRunning(newest)) {
    const condemned = seen.condemned.get(newest!.id)
    if (condemned) return [{ do: 'kill-container', name: c.name, ...condemned }]
    if ((newest!.spec.labels[label.image] ?? c.image) === c.image || role === 'ephemeral') return []
    return [
      { do: 'kill-container', name: c.name, message: `Container ${c.name} definition changed, will be restarted` },
    ]
  }
  if (!mayRestart(policy, tries)) return []
  const at = newest ? nextStart(endedTry(newest)) : 0
  if (at > seen.now) return [{ do: 'look-again', at, backoff: c.name }]
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

/** Sidecars serve the others to the end: they go when nobody else is left, last first. */
const stopEverything = (pod: Pod, tries: Observed['tries'], sandboxReady: boolean): Step[] => {
  const alive = [...tries].filter(([, t]) => isRunning(t[0])).map(([name]) => name)
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => isSidecar(c) && alive.includes(c.name))
  const others = alive.filter((name) => !sidecars.some((c) => c.name === name))
  const next = others.length > 0 ? others : sidecars.slice(-1).map((c) => c.name)
  if (next.length > 0)
    return next.map((name) => ({ do: 'kill-container', name, message: `Stopping container ${name}` }))
  return sandboxReady ? [{ do: 'stop-sandbox' }] : []
}
