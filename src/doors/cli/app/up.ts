/** `up`: load, build or pull, lower, apply in waves, wait for each, and say where it is. */
import {
  type Loss,
  type LowerResult,
  labelValue,
  lower,
  refuseLosses,
  renderLosses,
  type Wave,
} from '../../../compose/index.ts'
import { SlipwayError } from '../../../errors.ts'
import type { Project } from '../../../spec/compose/project.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { KubeObject } from '../../../spec/kube/kinds.ts'
import type { Progress } from '../progress/progress.ts'
import { type Applied, applyObject, gone, keptTemplates, leftovers, listProject, unreferenced } from './apply.ts'
import type { ServiceImage } from './images.ts'
import { hashedLabel, serviceLabel, stoppedAnnotation, stoppedNode } from './labels.ts'
import { checkPorts, waitForPorts } from './ports.ts'
import { waitUntilReachable } from './reachable.ts'
import { type Goal, settled, waitForWorkload } from './rollout.ts'
import { isWorkload, pickServices } from './workloads.ts'

interface UpWish {
  project: Project
  destination: 'local' | 'cluster'
  client: ObjectClient
  images: Record<string, ServiceImage>
  services: string[]
  /** Of `services` only, not what they depend on. */
  noDeps: boolean
  scale: Record<string, number>
  /** Paths in the file whose loss is accepted, or 'all'. */
  allowLoss: string[]
  removeOrphans: boolean
  /** Wait for everything to be ready, not only for what others depend on. */
  wait: boolean
  forceRecreate: boolean
  /** Services that exist stay as they are. */
  noRecreate: boolean
  noStart: boolean
  waitTimeoutMs: number | undefined
  signal: AbortSignal
}

const applied: Record<Applied, string> = {
  created: 'Created',
  configured: 'Configured',
  unchanged: 'Unchanged',
  recreated: 'Recreated',
}

/** Rejects with the reason when something does not come up; what did come up stays. */
export const bringUp = async (wish: UpWish, progress: Progress): Promise<LowerResult> => {
  const lowered = await lowerProject(wish, progress)
  const waves = wish.noDeps
    ? lowered.waves.map((wave) => wave.filter((one) => wish.services.includes(one.service)))
    : lowered.waves
  if (wish.destination === 'local')
    await checkPorts(
      wish.client,
      waves.flat().flatMap((w) => w.objects),
    )
  const there = await listProject(wish.client, wish.project.name)
  for (const object of lowered.shared) await applyOne(wish, object, progress)
  const done = new Map<string, Promise<void>>()
  const limit = wish.waitTimeoutMs === undefined ? undefined : AbortSignal.timeout(wish.waitTimeoutMs)
  const failures: unknown[] = []
  for (const wave of waves) {
    await Promise.all(
      wave.map(async (one) => {
        if (!wish.noDeps)
          await Promise.all(one.waitsFor.map((d) => waitForDependency(wish, lowered, one, d, progress, limit)))
        let changed = false
        for (const object of one.objects) {
          const result = await applyOne(wish, restamped(wish, object), progress)
          if (isWorkload(object.kind) && result !== 'unchanged') changed = true
        }
        if (wish.noStart) return
        done.set(one.service, ready(wish, one, changed, progress, limit))
        done.get(one.service)!.catch((error: unknown) => failures.push(error))
      }),
    )
  }
  if (wish.wait) await Promise.allSettled(done.values())
  if (failures.length > 0) throw failures[0]
  await removeLeftovers(wish, there, lowered.objects, progress)
  return lowered
}

const unknownScale = (wish: UpWish): void => {
  const names = Object.keys(wish.project.services)
  pickServices(
    names.map((service) => ({ service: labelValue(service) })),
    Object.keys(wish.scale),
  )
}

const lowerProject = async (wish: UpWish, progress: Progress): Promise<LowerResult> => {
  unknownScale(wish)
  const lowered = await lower(wish.project, {
    destination: wish.destination,
    images: wish.images,
    scale: wish.scale,
    ...(wish.services.length > 0 ? { services: wish.services } : {}),
  })
  reportLosses(lowered.losses, { allowed: wish.allowLoss }, (line) => progress.print(line))
  return lowered
}

/** Warnings are printed; refusals end it, unless the user has said that they may be lost. */
export const reportLosses = (
  losses: Loss[],
  options: { allowed: string[]; strict?: boolean },
  print: (line: string) => void,
): void => {
  refuseLosses(losses, options)
  const text = renderLosses(losses)
  if (text !== '') print(text.trimEnd())
}

/** --force-recreate: a changed annotation on the template rolls it out anew. */
const restamped = (wish: UpWish, object: KubeObject): KubeObject => {
  const spec = object.spec as { template?: { metadata?: { annotations?: Record<string, string> } } } | undefined
  if (!wish.forceRecreate || !spec?.template || object.kind === 'Job') return object
  const template = structuredClone(spec.template)
  template.metadata = {
    ...template.metadata,
    annotations: { ...template.metadata?.annotations, 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() },
  }
  return { ...object, spec: { ...spec, template } }
}

const quietKinds = new Set(['ServiceAccount', 'PodDisruptionBudget', 'NetworkPolicy', 'Service', 'ConfigMap', 'Secret'])

const applyOne = async (wish: UpWish, object: KubeObject, progress: Progress): Promise<Applied> => {
  const result = await applyObject(wish.client, wish.noStart ? notStarted(object) : object, {
    signal: wish.signal,
    keep: wish.noRecreate && isWorkload(object.kind),
    resume: !wish.noStart,
  })
  const name = object.metadata.labels?.['com.docker.compose.volume'] ?? object.metadata.name
  if (quietKinds.has(object.kind!)) return result
  const workload = isWorkload(object.kind)
  const id = workload
    ? `Service ${object.metadata.labels?.[serviceLabel] ?? name}`
    : `${object.kind === 'PersistentVolumeClaim' ? 'Volume' : object.kind} ${name}`
  progress.update({
    id,
    state: workload && !wish.noStart ? 'working' : 'done',
    text: workload && result === 'unchanged' ? 'Running' : applied[result],
  })
  return result
}

/** --no-start: everything there, nothing running; `start` begins with as many as the file says. */
const notStarted = (object: KubeObject): KubeObject => {
  const spec = (object.spec ?? {}) as { replicas?: number; template?: { spec?: object } }
  const { metadata } = object
  switch (object.kind) {
    case 'Deployment':
    case 'StatefulSet': {
      const annotations = { ...metadata.annotations, [stoppedAnnotation]: String(spec.replicas ?? 1) }
      return { ...object, metadata: { ...metadata, annotations }, spec: { ...spec, replicas: 0 } }
    }
    case 'Job':
      return { ...object, spec: { ...spec, suspend: true } }
    case 'DaemonSet': {
      const pod = { ...spec.template?.spec, nodeSelector: { [stoppedNode]: 'true' } }
      return { ...object, spec: { ...spec, template: { ...spec.template, spec: pod } } }
    }
    default:
      return object
  }
}

const goalOf = (one: Wave): Goal => (one.workload.kind === 'Job' ? 'started' : 'ready')
const targetOf = (one: Wave) => ({
  service: one.service,
  kind: one.workload.kind,
  name: one.workload.name,
  namespace: one.objects.find((o) => o.kind === one.workload.kind)!.metadata.namespace!,
})

const waitFor = async (
  wish: UpWish,
  one: Wave,
  goal: Goal,
  progress: Progress,
  limit: AbortSignal | undefined,
  changed = false,
): Promise<void> => {
  const id = `Service ${one.service}`
  const signal = limit ? AbortSignal.any([wish.signal, limit]) : wish.signal
  try {
    const last = await waitForWorkload(wish.client, targetOf(one), {
      goal,
      signal,
      progress: (s) => !s.done && progress.update({ id, state: 'working', text: s.text }),
    })
    // Without a health check it counts as ready from its first instant: one that ends at once is not.
    if (changed && goal === 'ready') await settled(wish.client, targetOf(one), one.objects, signal)
    progress.update({
      id,
      state: 'done',
      text: goal === 'completed' ? 'Exited' : one.workload.kind === 'Job' ? 'Started' : `Ready (${last.text})`,
    })
  } catch (error) {
    progress.update({ id, state: 'error', text: wish.signal.aborted ? 'Interrupted' : 'Failed' })
    if (limit?.aborted && !wish.signal.aborted)
      throw new SlipwayError('timeout', `service ${one.service} was not ready after ${wish.waitTimeoutMs! / 1000}s`, {
        hint: `See "slipway ps" and "slipway logs ${one.service}".`,
      })
    throw error
  }
}

const ready = async (
  wish: UpWish,
  one: Wave,
  changed: boolean,
  progress: Progress,
  limit: AbortSignal | undefined,
): Promise<void> => {
  await waitFor(wish, one, goalOf(one), progress, limit, changed)
  if (wish.destination !== 'local') return
  await waitForPorts(wish.client, one.objects, wish.signal)
  if (one.workload.kind !== 'Job' && wish.scale[one.service] !== 0)
    await waitUntilReachable(wish.client, one.objects, wish.signal)
}

const waitForDependency = async (
  wish: UpWish,
  lowered: LowerResult,
  one: Wave,
  dependency: Wave['waitsFor'][number],
  progress: Progress,
  limit: AbortSignal | undefined,
): Promise<void> => {
  const other = lowered.waves.flat().find((w) => w.service === dependency.service)
  if (!other || wish.noStart) return
  const goal: Goal =
    dependency.condition === 'service_completed_successfully'
      ? 'completed'
      : dependency.condition === 'service_healthy'
        ? 'ready'
        : 'started'
  try {
    await waitFor(wish, other, goal, progress, limit)
  } catch (error) {
    if (dependency.required || wish.signal.aborted) throw error
    progress.print(`WARN: optional dependency "${dependency.service}" of "${one.service}" did not come up`)
  }
}

/**
 * Workloads of services that have left the file stay until --remove-orphans, as docker compose keeps their containers; other
 * objects of services that are still there go, and configuration that no revision refers to.
 */
const removeLeftovers = async (
  wish: UpWish,
  there: { kind: Parameters<ObjectClient['delete']>[0]; object: KubeObject }[],
  wanted: KubeObject[],
  progress: Progress,
): Promise<void> => {
  if (wish.services.length > 0) return
  const old = leftovers(there as never, wanted)
  const services = new Set(Object.keys(wish.project.services))
  const orphan = (o: KubeObject): boolean => {
    const service = o.metadata.labels?.[serviceLabel]
    return service !== undefined && !services.has(service)
  }
  const hashed = old.filter(({ object }) => object.metadata.labels?.[hashedLabel])
  const namespace = wanted.find((o) => o.metadata.namespace)?.metadata.namespace
  const unused = hashed.length > 0 && namespace ? unreferenced(hashed, await keptTemplates(wish.client, namespace)) : []
  const orphans = old.filter(({ object }) => !object.metadata.labels?.[hashedLabel] && orphan(object))
  const stale = old.filter(({ object }) => !object.metadata.labels?.[hashedLabel] && !orphan(object))
  const names = [...new Set(orphans.map(({ object }) => object.metadata.labels![serviceLabel]))]
  if (names.length > 0 && !wish.removeOrphans)
    progress.print(
      `WARN: Found orphan services (${names.join(', ')}) for this project. If you removed or renamed them in your compose file, you can run this command with the --remove-orphans flag to clean them up.`,
    )
  const going = [...stale, ...unused, ...(wish.removeOrphans ? orphans : [])]
  const remove = async ({ kind, object }: (typeof going)[number]): Promise<void> => {
    const { name, namespace, labels } = object.metadata
    const key = { namespace, name: name! }
    if (!isWorkload(object.kind))
      return await wish.client.delete(kind, key, { propagation: 'Background' }).then(() => {})
    const id = `Service ${labels?.[serviceLabel]}`
    progress.update({ id, state: 'working', text: 'Removing' })
    await wish.client.delete(kind, key, { propagation: 'Foreground' })
    await gone(wish.client, kind, key, 600_000, wish.signal)
    progress.update({ id, state: 'done', text: 'Removed' })
  }
  // What they used goes after them.
  await Promise.all(going.filter(({ object }) => isWorkload(object.kind)).map(remove))
  await Promise.all(going.filter(({ object }) => !isWorkload(object.kind)).map(remove))
}
