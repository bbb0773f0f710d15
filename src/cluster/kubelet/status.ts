/** Pod status from what is there: a pure function (rules of the kubelet's generateAPIPodStatus). */
import type { Container as EngineContainer } from '../../engine/index.ts'
import type {
  Container,
  ContainerState,
  ContainerStatus,
  Pod,
  PodCondition,
  PodStatus,
} from '../../spec/kube/generated/types.ts'
import { nextStart } from './backoff.ts'
import { isOver, recordedRestarts } from './plan.ts'
import { isSidecar, type Observed, type Tries } from './types.ts'

const time = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')

export interface StatusContext {
  hostIP: string
  podIPs: string[]
  qosClass: string
}

/** The whole status to store. Conditions of others (readiness gates, PodScheduled) are kept as they are. */
export const podStatus = (seen: Observed, context: StatusContext): PodStatus => {
  const { pod } = seen
  const spec = pod.spec!
  const initStatuses = (spec.initContainers ?? []).map((c) => containerStatus(seen, c, 'PodInitializing'))
  const initialized = (spec.initContainers ?? []).every((c, i) => initDone(c, initStatuses[i]!))
  const waitReason = spec.initContainers?.length && !initialized ? 'PodInitializing' : 'ContainerCreating'
  const statuses = spec.containers.map((c) => containerStatus(seen, c, waitReason))
  const ephemeral = (spec.ephemeralContainers ?? []).map((c) =>
    containerStatus(seen, c as Container, 'ContainerCreating'),
  )
  const phase = phaseOf(seen, statuses, initStatuses)
  const over = phase === 'Succeeded' || phase === 'Failed'
  const terminating = pod.metadata.deletionTimestamp !== undefined
  const sidecarsReady = initStatuses.every((s, i) => !isSidecar(spec.initContainers![i]!) || s.ready)
  const containersReady = !over && initialized && sidecarsReady && statuses.every((s) => s.ready)
  const unready = statuses.filter((s) => !s.ready).map((s) => s.name)
  const gates = (spec.readinessGates ?? []).every(
    (g) => pod.status?.conditions?.find((c) => c.type === g.conditionType)?.status === 'True',
  )
  const old = pod.status ?? {}
  return {
    ...(old.nominatedNodeName ? { nominatedNodeName: old.nominatedNodeName } : {}),
    ...(old.reason && over ? { reason: old.reason, message: old.message } : {}),
    phase,
    observedGeneration: pod.metadata.generation,
    conditions: conditions(seen, {
      PodReadyToStartContainers: cond(seen.sandboxReady),
      Initialized:
        over && phase === 'Succeeded'
          ? cond(true, 'PodCompleted')
          : cond(
              initialized,
              'ContainersNotInitialized',
              'containers with incomplete status: ' +
                listed(initStatuses.filter((s, i) => !initDone(spec.initContainers![i]!, s)).map((s) => s.name)),
            ),
      ContainersReady: readyCondition(containersReady, phase, unready),
      Ready:
        terminating && containersReady
          ? cond(true)
          : containersReady && !gates
            ? cond(
                false,
                'ReadinessGatesNotReady',
                'corresponding condition of pod readiness gate does not exist or is not "True".',
              )
            : readyCondition(containersReady, phase, unready),
    }),
    hostIP: context.hostIP,
    hostIPs: [{ ip: context.hostIP }],
    ...(context.podIPs.length > 0 ? { podIP: context.podIPs[0], podIPs: context.podIPs.map((ip) => ({ ip })) } : {}),
    startTime: old.startTime ?? time(seen.now),
    ...(initStatuses.length > 0 ? { initContainerStatuses: initStatuses } : {}),
    containerStatuses: statuses,
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
    qosClass: context.qosClass,
  }
}

const listed = (names: string[]): string => `[${names.join(' ')}]`
interface Verdict {
  status: 'True' | 'False'
  reason?: string
  message?: string
}
const cond = (good: boolean, reason?: string, message?: string): Verdict =>
  good
    ? { status: 'True', ...(reason === 'PodCompleted' ? { reason } : {}) }
    : { status: 'False', ...(reason ? { reason } : {}), ...(message ? { message } : {}) }

const readyCondition = (ready: boolean, phase: string, unready: string[]): Verdict => {
  if (phase === 'Succeeded') return cond(false, 'PodCompleted')
  if (phase === 'Failed') return cond(false, 'PodFailed')
  return cond(ready, 'ContainersNotReady', 'containers with unready status: ' + listed(unready))
}

const conditions = (seen: Observed, mine: Record<string, Verdict>): PodCondition[] => {
  const old = seen.pod.status?.conditions ?? []
  const kept = old.filter((c) => !(c.type in mine))
  const made = Object.entries(mine).map(([type, verdict]): PodCondition => {
    const before = old.find((c) => c.type === type)
    const lastTransitionTime = before?.status === verdict.status ? before.lastTransitionTime : time(seen.now)
    return { type, observedGeneration: seen.pod.metadata.generation, lastTransitionTime, ...verdict }
  })
  return [...made, ...kept]
}

const initDone = (c: Container, status: ContainerStatus): boolean =>
  isSidecar(c) ? status.started === true : status.state?.terminated?.exitCode === 0

const phaseOf = (seen: Observed, statuses: ContainerStatus[], inits: ContainerStatus[]): string => {
  const before = seen.pod.status?.phase
  if (before === 'Succeeded' || before === 'Failed') return before
  const policy = seen.pod.spec?.restartPolicy ?? 'Always'
  const failedInit = inits.some(
    (s, i) => !isSidecar(seen.pod.spec!.initContainers![i]!) && (s.state?.terminated?.exitCode ?? 0) !== 0,
  )
  if (policy === 'Never' && failedInit) return 'Failed'
  const deleted = seen.pod.metadata.deletionTimestamp !== undefined
  const allEnded = statuses.every((s) => s.state?.terminated)
  if (allEnded && (isOver(seen.pod, seen.tries) || deleted))
    return statuses.every((s) => s.state!.terminated!.exitCode === 0) ? 'Succeeded' : 'Failed'
  const began = statuses.some((s) => s.state?.running || s.state?.terminated || s.lastState?.terminated)
  return began ? 'Running' : 'Pending'
}

export const containerStatus = (seen: Observed, c: Container, waitReason: string): ContainerStatus => {
  const tries = seen.tries.get(c.name) ?? []
  const newest = tries[0]
  const recorded = previousStatus(seen.pod, c.name)
  const restartCount = newest
    ? Number(newest.spec.labels['io.kubernetes.container.attempt'] ?? 0)
    : Math.max(0, recordedRestarts(seen.pod, c.name) - 1)
  const state = stateOf(seen, c, tries, waitReason)
  const results = newest ? seen.probes.get(newest.id) : undefined
  const started = state.running !== undefined && (results?.started ?? !c.startupProbe)
  const ready = started && (results?.ready ?? !c.readinessProbe)
  const initDoneReady = state.terminated?.exitCode === 0 && isInit(seen.pod, c.name)
  return {
    name: c.name,
    state,
    lastState: lastStateOf(tries, state, recorded),
    ready: ready || initDoneReady,
    restartCount,
    image: c.image ?? '',
    imageID: newest?.imageId ?? recorded?.imageID ?? '',
    ...(newest
      ? { containerID: `slipway://${newest.id}` }
      : recorded?.containerID
        ? { containerID: recorded.containerID }
        : {}),
    started,
  }
}

const isInit = (pod: Pod, name: string): boolean => pod.spec?.initContainers?.some((c) => c.name === name) ?? false

const previousStatus = (pod: Pod, name: string): ContainerStatus | undefined =>
  [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find((s) => s.name === name)

const stateOf = (seen: Observed, c: Container, tries: Tries, waitReason: string): ContainerState => {
  const newest = tries[0]
  if (newest?.status === 'running' || newest?.status === 'paused')
    return { running: { startedAt: time(newest.startedAt ?? seen.now) } }
  const waiting = seen.waiting.get(c.name)
  if (waiting) return { waiting }
  if (!newest) return { waiting: { reason: waitReason } }
  if (newest.status === 'created') return { waiting: { reason: waitReason } }
  const next = nextStart(
    tries.map((t) => ({ startedAt: t.startedAt ?? t.createdAt, finishedAt: t.finishedAt ?? t.createdAt })),
  )
  const restarts = willRestart(seen.pod, c, newest)
  if (restarts && next > seen.now) {
    const back = Math.round((next - (newest.finishedAt ?? seen.now)) / 1000)
    const message = `back-off ${back >= 60 && back % 60 === 0 ? `${back / 60}m0s` : `${back}s`} restarting failed container=${c.name} pod=${seen.pod.metadata.name}_${seen.pod.metadata.namespace}(${seen.pod.metadata.uid})`
    return { waiting: { reason: 'CrashLoopBackOff', message } }
  }
  return { terminated: terminatedOf(newest) }
}

const willRestart = (pod: Pod, c: Container, newest: EngineContainer): boolean => {
  if (pod.metadata.deletionTimestamp) return false
  const policy = isSidecar(c) ? 'Always' : (pod.spec?.restartPolicy ?? 'Always')
  if (isInit(pod, c.name) && !isSidecar(c)) return policy !== 'Never' && newest.exitCode !== 0
  return policy === 'Always' || (policy === 'OnFailure' && newest.exitCode !== 0)
}

const lastStateOf = (tries: Tries, state: ContainerState, recorded: ContainerStatus | undefined): ContainerState => {
  const before = state.terminated ? tries[1] : state.waiting && tries[0]?.finishedAt ? tries[0] : tries[1]
  if (before) return { terminated: terminatedOf(before) }
  return recorded?.lastState ?? {}
}

const terminatedOf = (t: EngineContainer): NonNullable<ContainerState['terminated']> => ({
  exitCode: t.exitCode,
  reason: t.oomKilled ? 'OOMKilled' : t.error ? 'StartError' : t.exitCode === 0 ? 'Completed' : 'Error',
  ...(t.error ? { message: t.error } : {}),
  startedAt: time(t.startedAt ?? t.createdAt),
  finishedAt: time(t.finishedAt ?? t.createdAt),
  containerID: `slipway://${t.id}`,
})

/** Guaranteed, Burstable or BestEffort (by requests and limits of all containers). */
export const qosClass = (pod: Pod): string => {
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
  const pairs = all.flatMap((c) =>
    ['cpu', 'memory'].map((r) => [c.resources?.requests?.[r], c.resources?.limits?.[r]] as const),
  )
  if (pairs.every(([request, limit]) => !request && !limit)) return 'BestEffort'
  return pairs.every(([request, limit]) => limit && (!request || request === limit)) ? 'Guaranteed' : 'Burstable'
}
