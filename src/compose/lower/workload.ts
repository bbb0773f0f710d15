/** The object that keeps a service running, and what goes with it. */
import type { Service } from '../../spec/compose/project.ts'
import type { Container, PodTemplateSpec } from '../../spec/kube/generated/types.ts'
import {
  DaemonSet,
  Deployment,
  HorizontalPodAutoscaler,
  Job,
  type KubeObject,
  PodDisruptionBudget,
  ServiceAccount,
  StatefulSet,
} from '../../spec/kube/kinds.ts'
import { type PodRuntime, runtimeAnnotation } from '../../spec/kube/runtime-annotation.ts'
import type { Wave } from '../types.ts'
import { isSingleWriter } from './claims.ts'
import type { Lowering } from './context.ts'
import { byKey, combine, type Piece } from './piece.ts'
import { strategy } from './update.ts'

export type WorkloadKind = Wave['workload']['kind']

const isAwaitedToComplete = (service: Service, lowering: Lowering): boolean =>
  Object.values(lowering.project.services).some(
    (s) => s.depends_on?.[service.name]?.condition === 'service_completed_successfully',
  )

/** deploy.restart_policy where given, else `restart`. */
const restartOf = (service: Service): { policy: 'always' | 'on-failure' | 'no'; attempts?: number | undefined } => {
  const deploy = service.deploy?.restart_policy
  if (deploy?.condition !== undefined || deploy?.max_attempts !== undefined) {
    const policy = deploy.condition === 'none' ? 'no' : deploy.condition === 'on-failure' ? 'on-failure' : 'always'
    return { policy, attempts: deploy.max_attempts }
  }
  const [policy, attempts] = (service.restart ?? 'always').split(':')
  if (policy === 'no') return { policy: 'no' }
  if (policy === 'on-failure')
    return { policy: 'on-failure', attempts: attempts === undefined ? undefined : Number(attempts) }
  return { policy: 'always' }
}

export const workloadKind = (service: Service, lowering: Lowering): WorkloadKind => {
  const mode = service.deploy?.mode ?? 'replicated'
  if (mode.endsWith('-job')) return 'Job'
  if (mode === 'global') return 'DaemonSet'
  if (restartOf(service).policy !== 'always' || isAwaitedToComplete(service, lowering)) return 'Job'
  return isSingleWriter(service, lowering) ? 'StatefulSet' : 'Deployment'
}

/** One pod for a service and those that share its namespaces. */
export const podTemplate = (
  leader: Service,
  members: { service: Service; piece: Piece }[],
  more: { annotations: Record<string, string> },
  lowering: Lowering,
): PodTemplateSpec => {
  const containers = members.map(({ service, piece }): Container => {
    const { securityContext, ...container } = piece.container ?? {}
    return {
      name: lowering.nameOf(service.name),
      image: lowering.image(service).reference,
      ...container,
      ...(securityContext && Object.values(securityContext).some((v) => v !== undefined) && { securityContext }),
      ...(piece.mounts?.length && { volumeMounts: piece.mounts }),
    }
  })
  // Of the pod as a whole, those who join it add host names and start-up steps; the rest is the leader's to say.
  const joining = members.slice(1).map(({ piece }) => ({ pod: pick(piece.pod ?? {}) }))
  const { securityContext, initContainers, ...pod } =
    combine([{ pod: members[0]!.piece.pod ?? {} }, ...joining]).pod ?? {}
  const volumes = byKey(
    members.flatMap(({ piece }) => piece.volumes ?? []),
    (v) => v.name,
  )
  const grace = Math.max(...members.map(({ piece }) => piece.pod?.terminationGracePeriodSeconds ?? 0))
  const runtime = runtimeOf(members, lowering)
  const annotations = {
    ...Object.assign({}, ...members.map(({ piece }) => piece.podAnnotations ?? {})),
    ...more.annotations,
    ...(runtime && { [runtimeAnnotation]: JSON.stringify(runtime) }),
  }
  const networks = Object.fromEntries(Object.keys(leader.networks ?? {}).map((n) => [networkLabel(n), 'true']))
  return {
    metadata: {
      labels: { ...lowering.labels(leader.name), ...networks },
      ...(Object.keys(annotations).length && { annotations }),
    },
    spec: {
      ...pod,
      serviceAccountName: lowering.nameOf(leader.name),
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: grace,
      ...(securityContext && Object.keys(securityContext).length && { securityContext }),
      ...(initContainers?.length && { initContainers }),
      containers,
      ...(volumes.length && { volumes }),
    },
  } as PodTemplateSpec
}
const pick = ({
  hostAliases,
  initContainers,
  securityContext,
}: NonNullable<Piece['pod']>): NonNullable<Piece['pod']> => ({
  hostAliases,
  initContainers,
  securityContext,
})
export const networkLabel = (network: string): string => `network.slipway.dev/${network}`

const runtimeOf = (members: { service: Service; piece: Piece }[], lowering: Lowering): PodRuntime | undefined => {
  if (!lowering.local) return undefined
  const containers = members.map(({ service, piece }) => {
    const labels = {
      'com.docker.compose.project': lowering.project.name,
      'com.docker.compose.service': service.name,
      ...service.labels,
    }
    const sorted = Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
    return [lowering.nameOf(service.name), { ...piece.runtime, labels: sorted }] as const
  })
  const pod = Object.assign({}, ...members.map(({ piece }) => piece.podRuntime ?? {}))
  return { version: 1, containers: Object.fromEntries(containers), ...pod }
}

/** The workload and its companions: account before it, autoscaler and disruption budget after it. */
export const workload = (
  service: Service,
  template: PodTemplateSpec,
  lowering: Lowering,
): { kind: WorkloadKind; objects: KubeObject[] } => {
  const kind = workloadKind(service, lowering)
  const name = lowering.nameOf(service.name)
  const autoscale = service['x-slipway']?.autoscale
  const replicas = lowering.replicas(service)
  const selector = { matchLabels: lowering.selector(service.name) }
  const annotations = { ...service.deploy?.labels, ...rollback(service) }
  const make = (of: typeof Deployment | typeof StatefulSet | typeof DaemonSet | typeof Job, spec: object): KubeObject =>
    lowering.object(of, name, { spec }, { service: service.name, annotations })
  const counted = autoscale ? {} : { replicas }
  const account = lowering.object(
    ServiceAccount,
    name,
    { automountServiceAccountToken: false },
    { service: service.name },
  )
  const update = kind === 'Job' ? {} : strategy(service, kind, template, lowering)
  const object = {
    Deployment: () => make(Deployment, { ...counted, selector, ...update, template }),
    StatefulSet: () =>
      make(StatefulSet, {
        ...counted,
        selector,
        serviceName: name,
        podManagementPolicy: 'Parallel',
        ...update,
        template,
      }),
    DaemonSet: () => make(DaemonSet, { selector, ...update, template }),
    Job: () => make(Job, jobSpec(service, template, replicas, lowering)),
  }[kind]()
  return { kind, objects: [account, object, ...companions(service, kind, name, lowering)] }
}

const rollback = (service: Service): Record<string, string> =>
  service.deploy?.update_config?.failure_action === 'rollback' ? { 'slipway.dev/failure-action': 'rollback' } : {}

/** Docker repeats on-failure for ever; a Job wants a number. */
const endlessly = 2 ** 31 - 1

const jobSpec = (service: Service, template: PodTemplateSpec, replicas: number, lowering: Lowering): object => {
  const { policy, attempts } = restartOf(service)
  const global = service.deploy?.mode === 'global-job'
  if (global)
    lowering.warn(
      service.name,
      'deploy.mode',
      'global-job runs once, not once on every node',
      'Use mode: global for a service on every node.',
    )
  if (service['x-slipway']?.autoscale)
    lowering.refuse(
      service.name,
      'x-slipway.autoscale',
      'a service that runs to its end cannot be autoscaled',
      'Set restart: always.',
    )
  if (policy !== 'always' && service.ports?.length)
    lowering.warn(
      service.name,
      service.restart === undefined ? 'deploy.restart_policy' : 'restart',
      `restart "${service.restart ?? service.deploy?.restart_policy?.condition}" makes it a Job: no rolling updates`,
      'Set restart: unless-stopped for a server.',
    )
  return {
    ...(replicas !== 1 && { completions: replicas, parallelism: replicas }),
    backoffLimit: policy === 'no' ? 0 : (attempts ?? (policy === 'on-failure' ? endlessly : 6)),
    template: { ...template, spec: { ...template.spec, restartPolicy: policy === 'no' ? 'Never' : 'OnFailure' } },
  }
}

const companions = (service: Service, kind: WorkloadKind, name: string, lowering: Lowering): KubeObject[] => {
  if (kind === 'Job' || kind === 'DaemonSet') return []
  const autoscale = service['x-slipway']?.autoscale
  const objects: KubeObject[] = []
  if (autoscale) {
    const targets = {
      ...(autoscale.cpu !== undefined && { cpu: autoscale.cpu }),
      ...(autoscale.memory !== undefined && { memory: autoscale.memory }),
    }
    const wanted = Object.keys(targets).length ? targets : { cpu: 80 }
    const { limits, reservations } = service.deploy?.resources ?? {}
    const has = {
      cpu: reservations?.cpus ?? limits?.cpus ?? service.cpus,
      memory: reservations?.memory ?? limits?.memory ?? service.mem_limit ?? service.mem_reservation,
    }
    for (const resource of Object.keys(wanted) as ('cpu' | 'memory')[])
      if (!has[resource])
        lowering.warn(
          service.name,
          'x-slipway.autoscale',
          `scaling by ${resource} needs a request for it, or nothing is ever scaled`,
          `Set deploy.resources.reservations.${resource === 'cpu' ? 'cpus' : 'memory'}.`,
        )
    objects.push(
      lowering.object(
        HorizontalPodAutoscaler,
        name,
        {
          spec: {
            scaleTargetRef: { apiVersion: 'apps/v1', kind, name },
            minReplicas: autoscale.min ?? 1,
            maxReplicas: autoscale.max,
            metrics: Object.entries(wanted).map(([resource, use]) => ({
              type: 'Resource',
              resource: { name: resource, target: { type: 'Utilization', averageUtilization: use } },
            })),
          },
        },
        { service: service.name },
      ),
    )
  }
  if (autoscale ? (autoscale.min ?? 1) > 1 : lowering.replicas(service) > 1)
    objects.push(
      lowering.object(
        PodDisruptionBudget,
        name,
        { spec: { maxUnavailable: 1, selector: { matchLabels: lowering.selector(service.name) } } },
        { service: service.name },
      ),
    )
  return objects
}
