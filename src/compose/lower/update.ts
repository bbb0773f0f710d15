/** How one version replaces another. Default: the new one is ready before the old one goes. */
import type { Service } from '../../spec/compose/project.ts'
import type { PodTemplateSpec } from '../../spec/kube/generated/types.ts'
import type { Lowering } from './context.ts'
import type { WorkloadKind } from './workload.ts'

export const strategy = (
  service: Service,
  kind: Exclude<WorkloadKind, 'Job'>,
  template: PodTemplateSpec,
  lowering: Lowering,
): Record<string, unknown> => {
  const said = service.deploy?.update_config
  reportLosses(service, lowering)
  const readySeconds = Math.ceil(Math.max(said?.monitor ?? 0, said?.delay ?? 0) / 1000)
  const paced = readySeconds ? { minReadySeconds: readySeconds } : {}
  const rollingUpdate = steps(service, template, lowering)
  if (kind === 'StatefulSet') return { ...paced, updateStrategy: { type: 'RollingUpdate' } }
  if (kind === 'DaemonSet') return { ...paced, updateStrategy: { type: 'RollingUpdate', rollingUpdate } }
  // Kubernetes calls a rollout failed after 600 s; a slow starter gets at least what its health check allows it.
  const patience = startSeconds(template) + readySeconds
  return {
    ...paced,
    ...(patience >= 540 && { progressDeadlineSeconds: patience + 60 }),
    strategy: { type: 'RollingUpdate', rollingUpdate },
  }
}

const steps = (
  service: Service,
  template: PodTemplateSpec,
  lowering: Lowering,
): { maxSurge: number | string; maxUnavailable: number | string } => {
  const said = service.deploy?.update_config
  const hostPort =
    template.spec?.hostNetwork || template.spec?.containers.some((c) => c.ports?.some((p) => p.hostPort !== undefined))
  if (hostPort && said?.order === 'start-first')
    lowering.warn(
      service.name,
      'deploy.update_config.order',
      'a port of the node cannot be held twice: the old one stops first',
      'Publish the port without `mode: host`.',
    )
  const startFirst = !hostPort && (said?.order ?? 'start-first') === 'start-first'
  const amount = said?.parallelism === 0 ? '100%' : (said?.parallelism ?? 1)
  return startFirst ? { maxSurge: amount, maxUnavailable: 0 } : { maxSurge: 0, maxUnavailable: amount }
}

const startSeconds = (template: PodTemplateSpec): number =>
  Math.max(
    0,
    ...(template.spec?.containers ?? []).map(
      (c) => (c.startupProbe?.periodSeconds ?? 0) * (c.startupProbe?.failureThreshold ?? 0),
    ),
  )

const reportLosses = (service: Service, lowering: Lowering): void => {
  const { update_config: update, rollback_config: back, restart_policy: restart } = service.deploy ?? {}
  const warn = (path: string, message: string, hint: string): void =>
    lowering.warn(service.name, `deploy.${path}`, message, hint)
  if (update?.failure_action === 'continue')
    warn('update_config.failure_action', 'a rollout that fails stops; it does not continue', 'Use pause or rollback.')
  if (update?.max_failure_ratio)
    warn('update_config.max_failure_ratio', 'no share of failures is tolerated', 'Leave it out.')
  if (back)
    for (const key of Object.keys(back) as (keyof typeof back)[])
      if (back[key] !== update?.[key])
        warn(
          `rollback_config.${key}`,
          'going back follows update_config',
          'Leave rollback_config out, or make it equal.',
        )
  if (restart?.delay !== undefined)
    warn('restart_policy.delay', 'restarts wait 10 s, then twice as long each time, at most 5 min', 'Leave it out.')
  if (restart?.window !== undefined)
    warn('restart_policy.window', 'a restart counts as good after 10 min', 'Leave it out.')
  if (restart?.max_attempts !== undefined && (restart.condition ?? 'any') === 'any')
    warn('restart_policy.max_attempts', 'a service that always restarts never gives up', 'Use condition: on-failure.')
}
