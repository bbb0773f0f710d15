/** A container's status from its tries: pure (rules of the kubelet's convertToAPIContainerStatuses). */
import type { Container as EngineContainer } from '../../engine/index.ts'
import { timestamp } from '../../lib/timestamp.ts'
import type { Container, ContainerState, ContainerStatus, Pod } from '../../spec/kube/generated/types.ts'
import { delay, goDuration, nextStart, streakAfter } from './backoff.ts'
import { recordedRestarts } from './plan.ts'
import { attemptOf, endedTry, hasEnded, hasSucceeded, isRunning } from './tries.ts'
import { isSidecar, type Observed } from './types.ts'

export const containerStatus = (seen: Observed, c: Container, waitReason: string): ContainerStatus => {
  const newest = seen.tries.get(c.name)?.[0]
  const recorded = recordedStatus(seen.pod, c.name)
  const state = stateOf(seen, c, newest, waitReason)
  const results = newest ? seen.probes.get(newest.id) : undefined
  const started = state.running !== undefined && (results?.started ?? !c.startupProbe)
  const ready = started && (results?.ready ?? !c.readinessProbe)
  const initIsDone = state.terminated?.exitCode === 0 && isInit(seen.pod, c.name)
  const containerID = newest ? idOf(newest) : recorded?.containerID
  return {
    name: c.name,
    state,
    lastState: lastStateOf(seen, c.name, state, recorded),
    ready: ready || initIsDone,
    restartCount: newest ? attemptOf(newest) : Math.max(0, recordedRestarts(seen.pod, c.name) - 1),
    image: c.image ?? '',
    imageID: newest?.imageId ?? recorded?.imageID ?? '',
    ...(containerID ? { containerID } : {}),
    started,
  }
}

/** The message of a container in back-off, as `kubectl describe` shows it. */
const backoffMessage = (pod: Pod, name: string, newest: EngineContainer): string =>
  `back-off ${goDuration(delay(streakAfter(endedTry(newest))))} restarting failed container=${name} pod=${podName(pod)}`

/** As Kubernetes names a pod in messages: name_namespace(uid). */
export const podName = ({ metadata }: Pod): string => `${metadata.name}_${metadata.namespace}(${metadata.uid})`

const idOf = (t: EngineContainer): string => `slipway://${t.id}`

const isInit = (pod: Pod, name: string): boolean => pod.spec?.initContainers?.some((c) => c.name === name) ?? false

const recordedStatus = (pod: Pod, name: string): ContainerStatus | undefined =>
  [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.ephemeralContainerStatuses ?? []),
  ].find((s) => s.name === name)

const stateOf = (
  seen: Observed,
  c: Container,
  newest: EngineContainer | undefined,
  waitReason: string,
): ContainerState => {
  if (isRunning(newest)) return { running: { startedAt: timestamp(newest!.startedAt ?? seen.now) } }
  const waiting = seen.waiting.get(c.name)
  if (waiting && !seen.over) return { waiting: { reason: waiting.reason, message: waiting.message } }
  if (!newest) {
    const recorded = recordedStatus(seen.pod, c.name)?.state?.terminated
    return recorded && seen.over ? { terminated: recorded } : { waiting: { reason: waitReason } }
  }
  if (willRestart(seen, c, newest) && nextStart(endedTry(newest)) > seen.now)
    return { waiting: { reason: 'CrashLoopBackOff', message: backoffMessage(seen.pod, c.name, newest) } }
  return { terminated: terminatedOf(seen, newest) }
}

const willRestart = (seen: Observed, c: Container, newest: EngineContainer): boolean => {
  const { pod } = seen
  if (pod.metadata.deletionTimestamp || seen.over || !hasEnded(newest)) return false
  if (pod.spec?.ephemeralContainers?.some((e) => e.name === c.name)) return false
  const policy = isSidecar(c) ? 'Always' : (pod.spec?.restartPolicy ?? 'Always')
  if (isInit(pod, c.name) && !isSidecar(c)) return policy !== 'Never' && !hasSucceeded(newest)
  return policy === 'Always' || (policy === 'OnFailure' && !hasSucceeded(newest))
}

/** How the try before this one ended; while waiting for the next one that is the newest there is. */
const lastStateOf = (
  seen: Observed,
  name: string,
  state: ContainerState,
  recorded: ContainerStatus | undefined,
): ContainerState => {
  const [newest, before] = seen.tries.get(name) ?? []
  const last = state.waiting && hasEnded(newest) ? newest : before
  if (last) return { terminated: terminatedOf(seen, last) }
  const ended = recorded?.state?.terminated
  // Its container has been removed since, with the sandbox it was in.
  if (ended && ended.containerID !== (newest && idOf(newest)) && !state.terminated) return { terminated: ended }
  return recorded?.lastState ?? {}
}

const terminatedOf = (seen: Observed, t: EngineContainer): NonNullable<ContainerState['terminated']> => {
  const neverRan = t.startedAt === undefined
  const message = neverRan ? t.error : seen.lastWords.get(t.id)
  return {
    // Every runtime of Kubernetes says 128 when the program could not be started.
    exitCode: neverRan ? 128 : t.exitCode,
    reason: t.oomKilled ? 'OOMKilled' : neverRan ? 'StartError' : t.exitCode === 0 ? 'Completed' : 'Error',
    ...(message ? { message } : {}),
    startedAt: timestamp(t.startedAt ?? t.createdAt),
    finishedAt: timestamp(t.finishedAt ?? t.createdAt),
    containerID: idOf(t),
  }
}
