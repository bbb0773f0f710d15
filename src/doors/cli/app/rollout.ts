/** Waits until a workload is what its specification says, or knows that it will not be. */
import { labelValue } from '../../../compose/index.ts'
import { SlipwayError } from '../../../errors.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type {
  ContainerStatus,
  DaemonSet,
  Deployment,
  Job,
  Pod,
  StatefulSet,
} from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import type { Progress } from '../progress/progress.ts'
import { diagnose, isStuck } from './diagnose.ts'
import { serviceLabel } from './labels.ts'
import { type Workload, workloadKinds } from './workloads.ts'

export type Goal = 'started' | 'ready' | 'completed'
interface RolloutState {
  done: boolean
  /** "2/3 ready" */
  text: string
  /** Set when the cluster itself has given up. */
  failed?: string | undefined
}

type Judge = (object: never, goal: Goal) => RolloutState
const behind = (o: {
  metadata: { generation?: number | undefined }
  status?: { observedGeneration?: number | undefined } | undefined
}): boolean => (o.status?.observedGeneration ?? 0) < (o.metadata.generation ?? 0)

/** The rules of `kubectl rollout status`. */
const judges: Record<Workload['kind'], Judge> = {
  Deployment: ((o: Deployment, goal: Goal): RolloutState => {
    const want = o.spec?.replicas ?? 1
    const s = o.status ?? {}
    const progressing = s.conditions?.find((c) => c.type === 'Progressing')
    const updated = s.updatedReplicas ?? 0
    const available = Math.min(s.availableReplicas ?? 0, want)
    const text = `${available}/${want} ready`
    if (behind(o)) return { done: false, text: 'Waiting' }
    if (progressing?.reason === 'ProgressDeadlineExceeded')
      return { done: false, text, failed: progressing.message ?? 'exceeded its progress deadline' }
    if (goal === 'started') return { done: updated >= want, text }
    return {
      done: updated >= want && (s.replicas ?? 0) <= updated && (s.availableReplicas ?? 0) >= want,
      text: updated < want ? `${updated}/${want} updated` : text,
    }
  }) as Judge,
  StatefulSet: ((o: StatefulSet, goal: Goal): RolloutState => {
    const want = o.spec?.replicas ?? 1
    const s = o.status
    const ready = Math.min(s?.readyReplicas ?? 0, want)
    if (behind(o)) return { done: false, text: 'Waiting' }
    const current = s?.updateRevision === s?.currentRevision || (s?.updatedReplicas ?? 0) >= want
    if (goal === 'started') return { done: (s?.replicas ?? 0) >= want && current, text: `${ready}/${want} ready` }
    return { done: ready >= want && current && (s?.replicas ?? 0) === want, text: `${ready}/${want} ready` }
  }) as Judge,
  DaemonSet: ((o: DaemonSet): RolloutState => {
    const s = o.status
    const want = s?.desiredNumberScheduled ?? 0
    if (behind(o)) return { done: false, text: 'Waiting' }
    return {
      done: (s?.updatedNumberScheduled ?? 0) >= want && (s?.numberAvailable ?? 0) >= want,
      text: `${s?.numberReady ?? 0}/${want} ready`,
    }
  }) as Judge,
  Job: ((o: Job, goal: Goal): RolloutState => {
    const s = o.status ?? {}
    const failed = s.conditions?.find((c) => c.type === 'Failed' && c.status === 'True')
    const complete = s.conditions?.some((c) => c.type === 'Complete' && c.status === 'True') ?? false
    if (failed) return { done: false, text: 'Failed', failed: failed.message ?? 'the job failed' }
    if (complete) return { done: true, text: 'Exited' }
    return {
      done: goal !== 'completed' && ((s.active ?? 0) > 0 || (s.succeeded ?? 0) > 0),
      text: (s.active ?? 0) > 0 ? 'Running' : 'Waiting',
    }
  }) as Judge,
}

export const judge = (kind: Workload['kind'], object: Workload['object'], goal: Goal): RolloutState =>
  judges[kind](object as never, goal)

interface WaitOptions {
  goal: Goal
  signal: AbortSignal
  progress: (state: RolloutState) => void
  /** Milliseconds a pod may be seen stuck before the wait is given up; it may be a passing state. */
  patienceMs?: number
}

/** Resolves with the final state; rejects with 'precondition' and the reason in words when it will not get there. */
export const waitForWorkload = async (
  client: ObjectClient,
  target: Pick<Workload, 'service' | 'kind' | 'namespace' | 'name'>,
  options: WaitOptions,
): Promise<RolloutState> => {
  const { goal, signal, progress, patienceMs = 4000 } = options
  const end = new AbortController()
  const watching = AbortSignal.any([signal, end.signal])
  const kind = workloadKinds[target.kind]
  const fields = `metadata.name=${target.name}`
  let stuckSince: number | undefined
  const checkPods = async (object: Workload['object']): Promise<void> => {
    const stuck = await stuckPod(client, target, object)
    stuckSince = stuck ? (stuckSince ?? Date.now()) : undefined
    if (stuck && Date.now() - stuckSince! >= patienceMs) throw await failure(client, target, undefined, stuck)
  }
  const look = async (object: Workload['object']): Promise<RolloutState | undefined> => {
    const state = judge(target.kind, object, goal)
    progress(state)
    if (state.done) return state
    if (state.failed) throw await failure(client, target, state.failed, await anyBadPod(client, target))
    return undefined
  }
  let newest: Workload['object'] | undefined
  const ticker = setInterval(() => {
    if (newest) checkPods(newest).catch((error) => end.abort(error))
  }, 1000)
  try {
    for await (const event of client.watch(kind, { namespace: target.namespace, fields, signal: watching })) {
      if (event.type === 'BOOKMARK') continue
      if (event.type === 'DELETED')
        throw new SlipwayError('not-found', `${target.kind} ${target.name} was deleted meanwhile`)
      newest = event.object
      const state = await look(event.object)
      if (state) return state
    }
  } catch (error) {
    if (end.signal.aborted) throw end.signal.reason
    if (signal.aborted) throw new SlipwayError('cancelled', 'canceled')
    throw error
  } finally {
    clearInterval(ticker)
    end.abort()
  }
  if (end.signal.aborted && end.signal.reason instanceof SlipwayError) throw end.signal.reason
  if (signal.aborted) throw new SlipwayError('cancelled', 'canceled')
  const again = await client.get(kind, { namespace: target.namespace, name: target.name })
  if (!again) throw new SlipwayError('not-found', `${target.kind} ${target.name} is gone`)
  return (await look(again)) ?? waitForWorkload(client, target, options)
}

/** Waits, showing how it goes. */
export const followWorkload = async (
  client: ObjectClient,
  w: Pick<Workload, 'service' | 'kind' | 'namespace' | 'name'>,
  { progress, signal, word }: { progress: Progress; signal: AbortSignal; word: string },
): Promise<void> => {
  const id = `Service ${w.service}`
  try {
    const last = await waitForWorkload(client, w, {
      goal: w.kind === 'Job' ? 'started' : 'ready',
      signal,
      progress: (s) => !s.done && progress.update({ id, state: 'working', text: s.text }),
    })
    progress.update({ id, state: 'done', text: `${word} (${last.text})` })
  } catch (error) {
    progress.update({ id, state: 'error', text: signal.aborted ? 'Interrupted' : 'Failed' })
    throw error
  }
}

const podsOf = async (client: ObjectClient, target: Pick<Workload, 'service' | 'namespace'>): Promise<Pod[]> =>
  (
    await client.list(kinds.Pod, {
      namespace: target.namespace,
      labels: `${serviceLabel}=${labelValue(target.service)}`,
    })
  ).items.filter((p) => !p.metadata.deletionTimestamp)

const settleMs = 500

/** Resolves when the pods of a service without a health check have run for a moment; else as waitForWorkload rejects. */
export const settled = async (
  client: ObjectClient,
  target: Pick<Workload, 'service' | 'kind' | 'namespace' | 'name'>,
  objects: readonly kinds.KubeObject[],
  signal: AbortSignal,
): Promise<void> => {
  const probed = objects.some((o) =>
    (
      o.spec as { template?: { spec?: { containers?: { readinessProbe?: unknown }[] } } } | undefined
    )?.template?.spec?.containers?.some((c) => c.readinessProbe),
  )
  if (probed) return
  const before = new Map((await podsOf(client, target)).map((p) => [p.metadata.uid, restartsOf(p)]))
  for (const until = Date.now() + settleMs; Date.now() < until && !signal.aborted; ) {
    await new Promise((go) => setTimeout(go, 100))
    const ended = (await podsOf(client, target)).some(
      (p) =>
        p.status?.containerStatuses?.some((s) => s.state?.terminated) ||
        restartsOf(p) > (before.get(p.metadata.uid) ?? 0) ||
        (restartsOf(p) > 0 && Date.now() - Date.parse(p.metadata.creationTimestamp ?? '') < youngMs),
    )
    if (ended) return stayedUp(client, target, signal)
  }
}
const youngMs = 15_000
const restartsOf = (p: Pod): number => (p.status?.containerStatuses ?? []).reduce((sum, s) => sum + s.restartCount, 0)

/** It has ended once already: a second end is a crash loop, and ten seconds without one are not. */
const stayedUp = async (
  client: ObjectClient,
  target: Pick<Workload, 'service' | 'kind' | 'namespace' | 'name'>,
  signal: AbortSignal,
): Promise<void> => {
  for (const until = Date.now() + 10_000; Date.now() < until; ) {
    if (signal.aborted) throw new SlipwayError('cancelled', 'canceled')
    const looping = (await podsOf(client, target)).find((p) => p.status?.containerStatuses?.some((s) => crashes(s)))
    if (looping) throw await failure(client, target, undefined, looping)
    await new Promise((go) => setTimeout(go, 200))
  }
}
const crashes = (s: ContainerStatus): boolean =>
  s.restartCount >= 1 && (s.state?.terminated !== undefined || s.state?.waiting?.reason === 'CrashLoopBackOff')

/** A stuck pod of the newest revision. */
const stuckPod = async (
  client: ObjectClient,
  target: Pick<Workload, 'service' | 'kind' | 'namespace'>,
  object: Workload['object'],
): Promise<Pod | undefined> => {
  const stuck = (await podsOf(client, target)).filter(isStuck)
  const revision = target.kind === 'StatefulSet' ? (object as StatefulSet).status?.updateRevision : undefined
  return stuck
    .filter((p) => !revision || p.metadata.labels?.['controller-revision-hash'] === revision)
    .sort((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''))[0]
}

const anyBadPod = async (
  client: ObjectClient,
  target: Pick<Workload, 'service' | 'namespace'>,
): Promise<Pod | undefined> => {
  const unready = (await podsOf(client, target)).filter(
    (p) => p.status?.conditions?.find((c) => c.type === 'Ready')?.status !== 'True',
  )
  return unready.sort((a, b) =>
    (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''),
  )[0]
}

const failure = async (
  client: ObjectClient,
  target: Pick<Workload, 'service' | 'kind' | 'name'>,
  reason: string | undefined,
  pod: Pod | undefined,
): Promise<SlipwayError> => {
  const why = pod ? await diagnose(client, pod) : undefined
  const lines = [
    `service ${target.service} did not become ready${reason ? `: ${reason}` : ''}`,
    ...(why ? [`  ${why.summary}`, ...why.lines.map((l) => `    ${l}`)] : []),
  ]
  const ended = pod?.status?.containerStatuses?.map((s) => s.state?.terminated ?? s.lastState?.terminated)
  const finished = target.kind !== 'Job' && ended?.some((e) => e?.exitCode === 0) && !why?.lines[0]?.includes(' probe ')
  return new SlipwayError('precondition', lines.join('\n'), {
    hint: finished
      ? `It ends by itself, without an error. If it is to run once only, say so in the compose file: restart: "no".`
      : `What ran before keeps running. See "slipway logs ${target.service}"; fix it and run up again, or go back with "slipway rollout undo ${target.service}".`,
  })
}
