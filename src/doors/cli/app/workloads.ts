/** The workloads and pods of a project in a cluster, by Compose service. */
import { labelValue } from '../../../compose/index.ts'
import { SlipwayError } from '../../../errors.ts'
import { nearest } from '../../../lib/nearest.ts'
import type { Project, Service } from '../../../spec/compose/project.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { DaemonSet, Deployment, Job, Pod, StatefulSet } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { selectorOf, serviceLabel } from './labels.ts'

type WorkloadKind = 'Deployment' | 'StatefulSet' | 'DaemonSet' | 'Job'
export interface Workload {
  service: string
  kind: WorkloadKind
  namespace: string
  name: string
  object: Deployment | StatefulSet | DaemonSet | Job
}
export const workloadKinds: Record<WorkloadKind, kinds.Kind<Deployment | StatefulSet | DaemonSet | Job>> = {
  Deployment: kinds.Deployment as never,
  StatefulSet: kinds.StatefulSet as never,
  DaemonSet: kinds.DaemonSet as never,
  Job: kinds.Job as never,
}

export const isWorkload = (kind: string | undefined): kind is WorkloadKind =>
  kind !== undefined && Object.hasOwn(workloadKinds, kind)

/** A project as its file names it; without a file, no services are known. */
export interface ProjectNames {
  name: string
  services: readonly string[]
  /** By service: what it depends on. */
  dependsOn: Readonly<Record<string, readonly string[]>>
}

/** Sorted by service name. */
export const listWorkloads = async (client: ObjectClient, project: string): Promise<Workload[]> => {
  const found = await Promise.all(
    (Object.keys(workloadKinds) as WorkloadKind[]).map(async (kind) => {
      const { items } = await client.list(workloadKinds[kind], { labels: selectorOf(project) })
      return items.map(
        (object): Workload => ({
          service: object.metadata.labels?.[serviceLabel] ?? object.metadata.name!,
          kind,
          namespace: object.metadata.namespace!,
          name: object.metadata.name!,
          object,
        }),
      )
    }),
  )
  return found.flat().sort((a, b) => a.service.localeCompare(b.service))
}

/**
 * Those named, or all. A name that neither they nor the file (`known`) have: 'not-found' with the nearest; one that only the
 * file has does not run: 'conflict'.
 */
export const pickServices = <T extends { service: string }>(
  all: readonly T[],
  wanted: readonly string[],
  known: readonly string[] = [],
): T[] => {
  if (wanted.length === 0) return [...all]
  return wanted.flatMap((name) => {
    const found = all.filter((w) => w.service === labelValue(name))
    if (found.length > 0) return found
    if (known.includes(name))
      throw new SlipwayError('conflict', `service "${name}" is not running`, { hint: `Start it: slipway up ${name}` })
    const names = [...new Set([...known, ...all.map((w) => w.service)])].sort()
    const close = nearest(name, names)
    const others = names.length > 0 ? `There are: ${names.join(', ')}.` : 'The project is not running: slipway up'
    throw new SlipwayError('not-found', `no such service: ${name}`, { hint: close ? `Did you mean ${close}?` : others })
  })
}

/** Pods of the project's services, in the order of their names; `index` counts from 1 within a service, as compose does. */
export interface ServicePod {
  service: string
  index: number
  pod: Pod
}
export const listPods = async (client: ObjectClient, project: string): Promise<ServicePod[]> => {
  const { items } = await client.list(kinds.Pod, { labels: selectorOf(project) })
  const age = (pod: Pod): string => `${pod.metadata.creationTimestamp ?? ''}/${pod.metadata.name}`
  const pods = items.filter((p) => p.metadata.labels?.[serviceLabel]).sort((a, b) => age(a).localeCompare(age(b)))
  const counts = new Map<string, number>()
  return pods
    .map((pod) => {
      const service = pod.metadata.labels![serviceLabel]!
      const index = (counts.get(service) ?? 0) + 1
      counts.set(service, index)
      return { service, index, pod }
    })
    .sort((a, b) => a.service.localeCompare(b.service) || a.index - b.index)
}

/** The pod an exec goes to: running, the first or the one of `index`. */
export const pickPod = async (
  client: ObjectClient,
  { name: project, services: known }: ProjectNames,
  service: string,
  index?: number,
): Promise<Pod> => {
  const all = await listPods(client, project)
  const mine = all.filter((p) => p.service === labelValue(service) && !p.pod.metadata.deletionTimestamp)
  if (mine.length === 0) {
    pickServices(await listWorkloads(client, project), [service], known)
    throw new SlipwayError('conflict', `service "${service}" is not running`, {
      hint: `Start it: slipway start ${service}`,
    })
  }
  const pod =
    index === undefined
      ? (mine.find((p) => p.pod.status?.phase === 'Running') ?? mine[0])
      : mine.find((p) => p.index === index)
  if (!pod)
    throw new SlipwayError('not-found', `service "${service}" is not running container #${index}`, {
      hint: `It has ${mine.length}.`,
    })
  if (pod.pod.status?.phase !== 'Running')
    throw new SlipwayError('conflict', `service "${service}" is not running`, {
      hint: `It is ${pod.pod.status?.phase ?? 'Pending'}: slipway ps`,
    })
  return pod.pod
}

/** The container of a pod that is the Compose service itself. */
export const mainContainer = (pod: Pod): string =>
  pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'] ?? pod.spec!.containers[0]!.name

/** Runs `work` on all, each after those that depend on it are through. */
export const dependentsFirst = async <T extends { service: string }>(
  all: readonly T[],
  dependsOn: ProjectNames['dependsOn'],
  work: (one: T) => Promise<void>,
): Promise<void> => {
  const begun = new Map<T, Promise<void>>()
  const begin = (one: T): Promise<void> => {
    let run = begun.get(one)
    if (!run) {
      const dependents = all.filter(
        (o) => o !== one && (dependsOn[o.service] ?? []).some((name) => labelValue(name) === one.service),
      )
      run = Promise.all(dependents.map(begin)).then(() => work(one))
      begun.set(one, run)
    }
    return run
  }
  await Promise.all(all.map(begin))
}

/** The named services and what they depend on, or all. */
export const wantedServices = (project: Project, names: readonly string[], noDeps: boolean): Service[] => {
  const all = Object.values(project.services)
  if (names.length === 0) return all
  const picked = new Set<string>()
  const visit = (name: string): void => {
    const service = project.services[name]
    if (picked.has(name) || !service) return
    picked.add(name)
    if (!noDeps) for (const dependency of Object.keys(service.depends_on ?? {})) visit(dependency)
  }
  for (const { service } of pickServices(
    all.map((s) => ({ service: s.name })),
    names,
  ))
    visit(service)
  return all.filter((s) => picked.has(s.name))
}
