/**
 * A project to Kubernetes objects. Pure: the same project and options give the same objects, byte for byte. What cannot be
 * said is reported, never dropped.
 */
import { createHash } from 'node:crypto'
import type { Project, Service } from '../../spec/compose/project.ts'
import { type KubeObject, Namespace } from '../../spec/kube/kinds.ts'
import type { LowerOptions, LowerResult, Wave } from '../types.ts'
import { Lowering } from './context.ts'
import { ingress, refuseSharedPorts, services as serviceObjects } from './network.ts'
import { byKey, type Piece } from './piece.ts'
import { policies } from './policies.ts'
import { lowerService } from './service.ts'
import { levels, withDependencies } from './waves.ts'
import { podTemplate, workload, workloadKind } from './workload.ts'

export const lower = (project: Project, options: LowerOptions): LowerResult => {
  const lowering = new Lowering(project, options)
  const names = options.services?.length ? options.services : Object.keys(project.services)
  const chosen = withDependencies(names, project)
  const leaders = new Map(chosen.map((name) => [name, leaderOf(name, lowering)]))
  const pieces = new Map(chosen.map((name) => [name, lowerService(project.services[name]!, lowering)]))
  refuseSharedPorts(
    chosen.map((name) => project.services[name]!),
    lowering,
  )
  const templates = new Map<string, string>()
  const waves: Wave[][] = []
  const order = [...levels(chosen, leaders, project)]
  for (const level of order) {
    const wave: Wave[] = []
    for (const name of level) {
      const leader = leaders.get(name)!
      const members = chosen.filter((other) => leaders.get(other) === leader)
      wave.push(lowerWave(name, leader, members, pieces, templates, lowering))
    }
    waves.push(wave)
  }
  const namespace = lowering.object(Namespace, lowering.namespace, {}, { annotations: namespaceAnnotations(lowering) })
  const shared = [
    namespace,
    ...policies(
      chosen.map((name) => project.services[name]!),
      lowering,
    ),
  ]
  const objects = [...shared, ...waves.flat().flatMap((w) => w.objects)]
  return { objects: inApplyOrder(objects), shared, waves, losses: uniqueLosses(lowering) }
}

const uniqueLosses = (lowering: Lowering): LowerResult['losses'] =>
  byKey(lowering.losses, (l) => `${l.path}|${l.message}`)

/** Where the project came from, for `ls`; a cluster does not care. */
const namespaceAnnotations = (lowering: Lowering): Record<string, string> => ({
  'slipway.dev/project-name': lowering.project.name,
  ...(lowering.local && {
    'com.docker.compose.project.working_dir': lowering.project.workingDir,
    'com.docker.compose.project.config_files': lowering.project.composeFiles.join(','),
  }),
})

/** The service in whose pod this one runs: itself, or the one whose namespaces it shares. */
const leaderOf = (name: string, lowering: Lowering, trail: string[] = []): string => {
  const service = lowering.project.services[name]!
  const modes = ['network_mode', 'ipc', 'pid'] as const
  for (const key of modes) {
    const target = service[key]?.startsWith('service:') ? service[key]!.slice('service:'.length) : undefined
    if (target === undefined || trail.includes(target)) continue
    if (key !== 'network_mode' && service.network_mode === undefined)
      lowering.warn(
        name,
        key,
        `sharing the ${key} namespace means sharing the pod with "${target}", and its network too`,
        'Set network_mode to the same.',
      )
    return leaderOf(target, lowering, [...trail, name])
  }
  return name
}

const lowerWave = (
  name: string,
  leader: string,
  members: string[],
  pieces: Map<string, Piece>,
  templates: Map<string, string>,
  lowering: Lowering,
): Wave => {
  const { project } = lowering
  const lead = project.services[leader]!
  const shared = members.length > 1
  const ordered = [leader, ...members.filter((m) => m !== leader)].map((m) => ({
    service: project.services[m]!,
    piece: pieces.get(m)!,
  }))
  const template = podTemplate(
    lead,
    ordered,
    {
      annotations: restartsWith(
        ordered.map((m) => m.service),
        members,
        templates,
      ),
    },
    lowering,
  )
  if (shared && ordered.some((m) => m.service.pid?.startsWith('service:'))) template.spec!.shareProcessNamespace = true
  templates.set(name, createHash('sha256').update(JSON.stringify(template)).digest('hex').slice(0, 16))
  const { kind, objects } = workload(lead, template, lowering)
  const configuration = ordered.flatMap((m) => m.piece.objects ?? [])
  const reached = ordered.flatMap((m) =>
    workloadKind(lead, lowering) === 'Job' && !m.service.ports?.length && !m.service.expose?.length
      ? []
      : serviceObjects(m.service, lead, lowering),
  )
  const routes = ordered.flatMap((m) => ingress(m.service, lowering))
  const waitsFor = new Map<string, Wave['waitsFor'][number]>()
  for (const { service } of ordered)
    for (const [target, { condition, required }] of Object.entries(service.depends_on ?? {}))
      if (!members.includes(target) && project.services[target])
        waitsFor.set(target, { service: target, condition, required })
  if (shared && name === leader)
    for (const { service } of ordered)
      if (lowering.replicas(service) !== lowering.replicas(lead))
        lowering.warn(
          service.name,
          'scale',
          `shares the pod of "${leader}", so there are as many of it`,
          `Set the same number for both.`,
        )
  return {
    service: name,
    workload: { kind, name: lowering.nameOf(leader) },
    objects: inApplyOrder(byKey([...configuration, ...objects, ...reached, ...routes], identity)),
    waitsFor: [...waitsFor.values()],
  }
}
const identity = (o: KubeObject): string => `${o.kind}/${o.metadata.name}`

/** `depends_on … restart: true`: a change of the dependency's pods is a change of these. */
const restartsWith = (
  services: Service[],
  members: string[],
  templates: Map<string, string>,
): Record<string, string> => {
  const hashes = services.flatMap((service) =>
    Object.entries(service.depends_on ?? {}).flatMap(([target, { restart }]) =>
      restart && !members.includes(target) && templates.has(target) ? [`${target}:${templates.get(target)}`] : [],
    ),
  )
  return hashes.length ? { 'slipway.dev/restarts-with': hashes.sort().join(',') } : {}
}

const applyOrder = [
  'Namespace',
  'ConfigMap',
  'Secret',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'ServiceAccount',
  'StatefulSet',
  'DaemonSet',
  'Deployment',
  'Job',
  'HorizontalPodAutoscaler',
  'PodDisruptionBudget',
  'Service',
  'NetworkPolicy',
  'Ingress',
]
/** What others need comes first; otherwise as they were. */
const inApplyOrder = (objects: KubeObject[]): KubeObject[] =>
  byKey(objects, identity)
    .map((object, i) => ({ object, i, rank: applyOrder.indexOf(object.kind ?? '') }))
    .sort((a, b) => a.rank - b.rank || a.i - b.i)
    .map(({ object }) => object)
