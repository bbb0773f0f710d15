/** Stopping keeps the objects and lets go of the pods; starting brings back as many as there were. */
import { SlipwayError } from '../../../errors.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import type { Progress } from '../progress/progress.ts'
import { selectorOf, stoppedAnnotation, stoppedNode } from './labels.ts'
import {
  dependentsFirst,
  listWorkloads,
  type ProjectNames,
  pickServices,
  type Workload,
  workloadKinds,
} from './workloads.ts'

interface StopWish {
  /** Instead of each container's own grace period. */
  timeoutMs: number | undefined
  /** Aborted when the user will not wait any longer: what is left is killed. */
  force?: AbortSignal | undefined
  /** Aborted when the user does not care for the end: 'cancelled'. */
  signal?: AbortSignal | undefined
  progress: Progress
}

/** Scales to nothing and remembers how many there were; Jobs are suspended. Waits until the pods are gone; dependents stop first. */
export const stopProject = async (
  client: ObjectClient,
  project: ProjectNames,
  services: readonly string[],
  wish: StopWish,
): Promise<void> => {
  const all = pickServices(await listWorkloads(client, project.name), services, project.services)
  await dependentsFirst(all, project.dependsOn, async (w) => {
    const id = `Service ${w.service}`
    wish.progress.update({ id, state: 'working', text: 'Stopping' })
    await stopWorkload(client, w)
    await untilNoPods(client, project.name, w, wish)
    wish.progress.update({ id, state: 'done', text: 'Stopped' })
  })
}

interface Stoppable {
  replicas?: number
  suspend?: boolean
  template?: { spec?: { nodeSelector?: Record<string, string> } }
}
const specOf = (w: Pick<Workload, 'object'>): Stoppable => (w.object.spec ?? {}) as Stoppable

/** Was it stopped, by us or by scaling to nothing? */
export const isStopped = (w: Pick<Workload, 'kind' | 'object'>): boolean => {
  const spec = specOf(w)
  if (w.kind === 'Job') return spec.suspend === true
  if (w.kind === 'DaemonSet') return spec.template?.spec?.nodeSelector?.[stoppedNode] !== undefined
  return spec.replicas === 0
}

/** How many instances `start` brings back. */
export const stoppedCount = (w: Pick<Workload, 'kind' | 'object'>): number =>
  isStopped(w) ? Number(w.object.metadata.annotations?.[stoppedAnnotation] ?? 1) : 0

const patchOf = (w: Workload, stop: boolean): unknown => {
  if (w.kind === 'Job') return { spec: { suspend: stop } }
  if (w.kind === 'DaemonSet')
    return { spec: { template: { spec: { nodeSelector: { [stoppedNode]: stop ? 'true' : null } } } } }
  const replicas = specOf(w).replicas ?? 1
  return stop
    ? { metadata: { annotations: { [stoppedAnnotation]: String(replicas) } }, spec: { replicas: 0 } }
    : { metadata: { annotations: { [stoppedAnnotation]: null } }, spec: { replicas: stoppedCount(w) } }
}

const finished = (w: Workload): boolean =>
  w.kind === 'Job' &&
  ((w.object.status as { conditions?: { type: string; status: string }[] } | undefined)?.conditions ?? []).some(
    (c) => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True',
  )

const stopWorkload = async (client: ObjectClient, w: Workload): Promise<void> => {
  if (isStopped(w) || finished(w)) return
  const key = { namespace: w.namespace, name: w.name }
  await client.patch(workloadKinds[w.kind], key, { type: 'merge', body: patchOf(w, true) })
}

/** Does nothing to one that is not stopped. */
export const startWorkload = async (client: ObjectClient, w: Workload): Promise<void> => {
  if (!isStopped(w)) return
  if ((w.kind === 'Deployment' || w.kind === 'StatefulSet') && !w.object.metadata.annotations?.[stoppedAnnotation])
    return // scaled to nothing: that is how many there are to be
  const key = { namespace: w.namespace, name: w.name }
  await client.patch(workloadKinds[w.kind], key, { type: 'merge', body: patchOf(w, false) })
}

const untilNoPods = async (client: ObjectClient, project: string, w: Workload, wish: StopWish): Promise<void> => {
  const labels = selectorOf(project, w.service)
  const graceSeconds = wish.timeoutMs === undefined ? undefined : Math.ceil(wish.timeoutMs / 1000)
  let asked: number | undefined
  for (let wait = 20; ; wait = Math.min(wait * 1.5, 300)) {
    const { items } = await client.list(kinds.Pod, { namespace: w.namespace, labels })
    // What has ended stays if it is a Job's; what is being deleted is still shown by `ps`.
    const left = items.filter(
      ({ metadata, status }) =>
        metadata.deletionTimestamp !== undefined || (status?.phase !== 'Succeeded' && status?.phase !== 'Failed'),
    )
    if (left.length === 0) return
    const grace = wish.force?.aborted ? 0 : graceSeconds
    if (grace !== undefined && asked !== grace) {
      asked = grace
      for (const { metadata } of left)
        await client.delete(
          kinds.Pod,
          { namespace: metadata.namespace, name: metadata.name! },
          { gracePeriodSeconds: grace },
        )
    }
    if (wish.signal?.aborted) throw new SlipwayError('cancelled', 'canceled')
    await new Promise((go) => setTimeout(go, wait))
  }
}
