/** Pod status from what is there: a pure function (rules of the kubelet's generateAPIPodStatus). */
import { timestamp } from '../../lib/timestamp.ts'
import type { Container, ContainerStatus, Pod, PodCondition, PodStatus } from '../../spec/kube/generated/types.ts'
import { containerStatus } from './container-status.ts'
import { isPastDeadline } from './plan.ts'
import { hasEnded } from './tries.ts'
import { isSidecar, type Observed } from './types.ts'

interface StatusContext {
  hostIP: string
  podIPs: string[]
  qosClass: string
}

/** The whole status to store. Conditions of others (readiness gates, PodScheduled) are kept as they are. */
export const podStatus = (seen: Observed, context: StatusContext): PodStatus => {
  const { pod } = seen
  const spec = pod.spec!
  const initStatuses = (spec.initContainers ?? []).map((c) => containerStatus(seen, c, 'PodInitializing'))
  const began = spec.containers.some((c) => seen.tries.has(c.name))
  const initialized = began || (spec.initContainers ?? []).every((c, i) => initDone(c, initStatuses[i]!))
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
  const unready = [
    ...initStatuses.filter((s, i) => isSidecar(spec.initContainers![i]!) && !s.ready),
    ...statuses.filter((s) => !s.ready),
  ].map((s) => s.name)
  const gates = (spec.readinessGates ?? []).every(
    (g) => pod.status?.conditions?.find((c) => c.type === g.conditionType)?.status === 'True',
  )
  const old = pod.status ?? {}
  return {
    ...(old.nominatedNodeName ? { nominatedNodeName: old.nominatedNodeName } : {}),
    ...(over ? endReason(seen) : {}),
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
    startTime: old.startTime ?? timestamp(seen.now),
    ...(initStatuses.length > 0 ? { initContainerStatuses: initStatuses } : {}),
    containerStatuses: statuses,
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
    qosClass: context.qosClass,
  }
}

/** Why a pod ended that did not end by itself. */
const endReason = ({ pod, now }: Observed): Pick<PodStatus, 'reason' | 'message'> => {
  if (pod.status?.reason) return { reason: pod.status.reason, message: pod.status.message }
  return isPastDeadline(pod, now) && pod.status?.phase !== 'Succeeded' ? deadlineExceeded : {}
}
export const deadlineExceeded = {
  reason: 'DeadlineExceeded',
  message: 'Pod was active on the node longer than the specified deadline',
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
    const lastTransitionTime = before?.status === verdict.status ? before.lastTransitionTime : timestamp(seen.now)
    return { type, observedGeneration: seen.pod.metadata.generation, lastTransitionTime, ...verdict }
  })
  return [...made, ...kept]
}

const initDone = (c: Container, status: ContainerStatus): boolean =>
  isSidecar(c) ? status.started === true : status.state?.terminated?.exitCode === 0

const phaseOf = (seen: Observed, statuses: ContainerStatus[], inits: ContainerStatus[]): string => {
  const { pod } = seen
  const before = pod.status?.phase
  if (before === 'Succeeded' || before === 'Failed') return before
  const runs = [...statuses, ...inits].some((s) => s.state?.running)
  if (isPastDeadline(pod, seen.now) && !runs) return 'Failed'
  const policy = pod.spec?.restartPolicy ?? 'Always'
  const failedInit = inits.some(
    (s, i) => !isSidecar(pod.spec!.initContainers![i]!) && (s.state?.terminated?.exitCode ?? 0) !== 0,
  )
  if (policy === 'Never' && failedInit && !runs) return 'Failed'
  const deleted = pod.metadata.deletionTimestamp !== undefined
  if (!runs && statuses.every((s) => s.state?.terminated) && (seen.over || deleted))
    return statuses.every((s) => s.state!.terminated!.exitCode === 0) ? 'Succeeded' : 'Failed'
  const began = statuses.some(
    (s) => s.state?.running || s.state?.terminated || s.lastState?.terminated || hasEnded(seen.tries.get(s.name)?.[0]),
  )
  return began ? 'Running' : 'Pending'
}

/** Guaranteed, Burstable or BestEffort (by requests and limits of all containers). */
export const qosClass = (pod: Pod): string => {
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
  const pairs = all.flatMap((c) =>
    ['cpu', 'memory'].map((r) => [c.resources?.requests?.[r], c.resources?.limits?.[r]] as const),
  )
  if (pairs.every(([request, limit]) => !request && !limit)) return 'BestEffort'
  return pairs.every(([request, limit]) => limit && (!request || request === limit)) ? 'Guaranteed' : 'Burstable'
}
