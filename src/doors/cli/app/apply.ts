/** Brings the objects of a project into a cluster: server-side apply, in order, and takes away what is no longer wanted. */
import { isError, SlipwayError } from '../../../errors.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { besideFile, fieldManager, hashedLabel, selectorOf, serviceLabel } from './labels.ts'
import { isStopped, startWorkload } from './stop.ts'
import { isWorkload } from './workloads.ts'

/** Every kind a project can consist of, in apply order. */
export const projectKinds: readonly kinds.Kind[] = [
  kinds.Namespace,
  kinds.ServiceAccount,
  kinds.ConfigMap,
  kinds.Secret,
  kinds.PersistentVolume,
  kinds.PersistentVolumeClaim,
  kinds.Service,
  kinds.NetworkPolicy,
  kinds.Deployment,
  kinds.StatefulSet,
  kinds.DaemonSet,
  kinds.Job,
  kinds.CronJob,
  kinds.PodDisruptionBudget,
  kinds.HorizontalPodAutoscaler,
  kinds.Ingress,
] as unknown as kinds.Kind[]

export const kindOf = (object: kinds.KubeObject): kinds.Kind => {
  const found = projectKinds.find((k) => k.kind === object.kind && kinds.apiVersionOf(k) === object.apiVersion)
  if (!found) throw new SlipwayError('internal', `no kind ${object.apiVersion} ${object.kind} to apply`)
  return found
}

export type Applied = 'created' | 'configured' | 'unchanged' | 'recreated'

interface ApplyOptions {
  signal?: AbortSignal | undefined
  /** Leave it alone if it is there. */
  keep?: boolean
  /** Start what `stop` has stopped, and a Job that has failed. */
  resume?: boolean
}

export const applyObject = async (
  client: ObjectClient,
  object: kinds.KubeObject,
  { signal, keep = false, resume = false }: ApplyOptions = {},
): Promise<Applied> => {
  const kind = kindOf(object)
  const key = { namespace: object.metadata.namespace, name: object.metadata.name! }
  const before = await client.get(kind, key)
  if (before && keep) return 'unchanged'
  const wanted = await withAutoscaledReplicas(client, object, before)
  const options = { fieldManager, force: true, ...(signal ? { signal } : {}) }
  try {
    if (before && resume && (await resumed(client, kind, before))) {
      const after = await client.apply(kind, wanted, options)
      return after.kind === 'Job' && hasFailed(before) ? 'recreated' : 'configured'
    }
    const after = await client.apply(kind, wanted, options)
    if (!before) return 'created'
    return after.metadata.resourceVersion === before.metadata.resourceVersion ? 'unchanged' : 'configured'
  } catch (error) {
    // A Job's template and a StatefulSet's claims never change: as `docker compose up` does with containers, make it anew.
    if (!before || !isError(error, 'invalid') || !['Job', 'StatefulSet'].includes(object.kind!)) throw error
    await client.delete(kind, key, { propagation: object.kind === 'StatefulSet' ? 'Orphan' : 'Background' })
    await gone(client, kind, key)
    await client.apply(kind, wanted, options)
    return 'recreated'
  }
}

const hasFailed = (object: kinds.KubeObject): boolean =>
  ((object.status as { conditions?: { type: string; status: string }[] } | undefined)?.conditions ?? []).some(
    (c) => c.type === 'Failed' && c.status === 'True',
  )

/** `stop` is no part of what is applied, so applying does not take it back. True when there was something to take back. */
const resumed = async (client: ObjectClient, kind: kinds.Kind, before: kinds.KubeObject): Promise<boolean> => {
  if (!isWorkload(kind.kind)) return false
  const { namespace, name } = before.metadata
  if (kind.kind === 'Job' && hasFailed(before)) {
    await client.delete(kind, { namespace, name: name! }, { propagation: 'Background' })
    await gone(client, kind, { namespace, name: name! })
    return true
  }
  const workload = { service: name!, kind: kind.kind, namespace: namespace!, name: name!, object: before as never }
  if (!isStopped(workload)) return false
  await startWorkload(client, workload)
  return true
}

/**
 * An autoscaler owns the number of replicas: what it has chosen stays. The field is not left out either, because a field that
 * its owner applies no longer goes back to its default, which is one replica.
 */
const withAutoscaledReplicas = async (
  client: ObjectClient,
  object: kinds.KubeObject,
  before: kinds.KubeObject | undefined,
): Promise<kinds.KubeObject> => {
  if (object.kind !== 'Deployment' && object.kind !== 'StatefulSet') return object
  const spec = object.spec as { replicas?: number }
  const current = (before?.spec as { replicas?: number } | undefined)?.replicas
  if (!current) return object // new, or stopped
  const owned = spec.replicas === undefined || (await isAutoscaled(client, object))
  return owned ? { ...object, spec: { ...spec, replicas: current } } : object
}

const isAutoscaled = async (client: ObjectClient, object: kinds.KubeObject): Promise<boolean> => {
  const { items } = await client.list(kinds.HorizontalPodAutoscaler, { namespace: object.metadata.namespace })
  return items.some(
    ({ spec }) => spec?.scaleTargetRef.kind === object.kind && spec?.scaleTargetRef.name === object.metadata.name,
  )
}

export const gone = async (
  client: ObjectClient,
  kind: kinds.Kind,
  key: { namespace?: string | undefined; name: string },
  limitMs = 60_000,
  signal?: AbortSignal,
): Promise<void> => {
  const deadline = Date.now() + limitMs
  for (let wait = 5; await client.get(kind, key); wait = Math.min(wait * 2, 200)) {
    if (signal?.aborted) throw new SlipwayError('cancelled', 'canceled')
    if (Date.now() > deadline)
      throw new SlipwayError('timeout', `${kind.kind} ${key.name} is still there after ${limitMs / 1000}s`)
    await new Promise((go) => setTimeout(go, wait))
  }
}

/** Objects of the project in the cluster, by kind. */
export const listProject = async (
  client: ObjectClient,
  project: string,
): Promise<{ kind: kinds.Kind; object: kinds.KubeObject }[]> => {
  const found = await Promise.all(
    projectKinds.map(async (kind) =>
      (await client.list(kind, { labels: selectorOf(project) })).items.map((object) => ({
        kind,
        object: { ...object, kind: kind.kind },
      })),
    ),
  )
  return found.flat()
}

const identity = (o: kinds.KubeObject): string => `${o.kind}/${o.metadata.namespace ?? ''}/${o.metadata.name}`

/** In the cluster, made by an earlier `up`, no longer among `wanted`. Claims and the namespace are never among them. */
export const leftovers = (
  there: { kind: kinds.Kind; object: kinds.KubeObject }[],
  wanted: readonly kinds.KubeObject[],
): { kind: kinds.Kind; object: kinds.KubeObject }[] => {
  const names = new Set(wanted.map(identity))
  const services = new Set(wanted.map((o) => o.metadata.labels?.[serviceLabel]))
  const keep = new Set(['Namespace', 'PersistentVolumeClaim', 'PersistentVolume'])
  const kept = ({ metadata: { labels } }: kinds.KubeObject): boolean =>
    labels?.[besideFile] !== undefined && services.has(labels[serviceLabel])
  return there.filter(
    ({ object }) =>
      !keep.has(object.kind!) &&
      !names.has(identity(object)) &&
      !object.metadata.ownerReferences?.length &&
      !kept(object),
  )
}

/** Hashed ConfigMaps and Secrets that no revision of any workload refers to any more: undo never needs them. */
export const unreferenced = (
  old: { kind: kinds.Kind; object: kinds.KubeObject }[],
  templates: readonly unknown[],
): { kind: kinds.Kind; object: kinds.KubeObject }[] => {
  const text = JSON.stringify(templates)
  return old.filter(
    ({ object }) => object.metadata.labels?.[hashedLabel] && !text.includes(JSON.stringify(object.metadata.name)),
  )
}

/** Pod templates of all revisions that can still be gone back to. */
export const keptTemplates = async (client: ObjectClient, namespace: string): Promise<unknown[]> => {
  const kept = [
    kinds.Deployment,
    kinds.ReplicaSet,
    kinds.StatefulSet,
    kinds.ControllerRevision,
    kinds.DaemonSet,
    kinds.Job,
    kinds.Pod,
  ] as unknown as kinds.Kind[]
  const lists = await Promise.all(kept.map((kind) => client.list(kind, { namespace })))
  return lists.flatMap((l) => l.items.map((o) => o.spec ?? o.data))
}
