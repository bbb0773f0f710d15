import { SlipwayError } from '../../../errors.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { besideFile, fieldManager } from '../app/labels.ts'
import { listWorkloads, pickServices, workloadKinds } from '../app/workloads.ts'
import { type Command, err } from '../framework/command.ts'
import { text, toggle, wholeNumber } from '../framework/flags.ts'
import { projectNames } from '../framework/project.ts'
import { openTarget } from '../framework/target.ts'

export const autoscale: Command = {
  name: 'autoscale',
  usage: '[OPTIONS] SERVICE',
  summary: 'Let the load decide how many instances of a service run',
  group: 'rollout',
  flags: [
    text('--min', 'N', 'At least this many instances (default 1)'),
    text('--max', 'N', 'At most this many instances'),
    text('--cpu', 'PERCENT', 'Average CPU use to aim for, in percent of the request (default 80)'),
    text('--memory', 'PERCENT', 'Average memory use to aim for, in percent of the request'),
    toggle('--off', 'Stop autoscaling; the service keeps the instances it has'),
  ],
  async run(invocation) {
    const { args, flags, shell } = invocation
    const [service] = args
    if (!service || args.length > 1)
      throw new SlipwayError('bad-request', `requires 1 arg, received ${args.length}`, {
        hint: 'slipway autoscale SERVICE --min 2 --max 6 --cpu 70',
      })
    const { client } = await openTarget(invocation)
    const { name, services } = await projectNames(invocation)
    const w = pickServices(await listWorkloads(client, name), [service], services)[0]!
    if (w.kind !== 'Deployment' && w.kind !== 'StatefulSet')
      throw new SlipwayError('conflict', `service "${service}" is a ${w.kind} and cannot be scaled`)
    const key = { namespace: w.namespace, name: w.name }
    if (flags.off === true) {
      const had = await client.delete(kinds.HorizontalPodAutoscaler, key)
      err(shell, had ? ` Service ${service}  Autoscaling off` : ` Service ${service}  Was not autoscaled`)
      return 0
    }
    const max = flags.max === undefined ? undefined : wholeNumber(flags.max as string, 'max')
    const min = flags.min === undefined ? 1 : wholeNumber(flags.min as string, 'min')
    if (max === undefined || max < 1)
      throw new SlipwayError('bad-request', '--max=MAXPODS is required and must be at least 1')
    if (min < 1 || min > max)
      throw new SlipwayError('bad-request', `--min must be between 1 and --max (${max}), received ${min}`)
    const target = (name: string, percent: number) => ({
      type: 'Resource',
      resource: { name, target: { type: 'Utilization', averageUtilization: percent } },
    })
    const cpu =
      flags.cpu === undefined ? (flags.memory === undefined ? 80 : undefined) : wholeNumber(flags.cpu as string, 'cpu')
    const memory = flags.memory === undefined ? undefined : wholeNumber(flags.memory as string, 'memory')
    const metrics = [
      ...(cpu === undefined ? [] : [target('cpu', cpu)]),
      ...(memory === undefined ? [] : [target('memory', memory)]),
    ]
    await requireRequests(
      w,
      metrics.map((m) => m.resource.name),
    )
    await client.apply(
      kinds.HorizontalPodAutoscaler,
      {
        apiVersion: 'autoscaling/v2',
        kind: 'HorizontalPodAutoscaler',
        metadata: { ...key, labels: { ...w.object.metadata.labels, [besideFile]: 'true' } },
        spec: {
          scaleTargetRef: { apiVersion: kinds.apiVersionOf(workloadKinds[w.kind]), kind: w.kind, name: w.name },
          minReplicas: min,
          maxReplicas: max,
          metrics,
        },
      },
      { fieldManager, force: true },
    )
    err(shell, ` Service ${service}  Autoscaled between ${min} and ${max}`)
    return 0
  },
}

/** Utilization is a share of the request: without one, an autoscaler can never act. Better said now than found out under load. */
const requireRequests = async (
  w: { service: string; object: { spec?: unknown } },
  resources: string[],
): Promise<void> => {
  const containers = (
    w.object.spec as {
      template: {
        spec: { containers: { resources?: { requests?: Record<string, string>; limits?: Record<string, string> } }[] }
      }
    }
  ).template.spec.containers
  for (const resource of resources) {
    if (containers.every((c) => c.resources?.requests?.[resource] ?? c.resources?.limits?.[resource])) continue
    const key = resource === 'cpu' ? 'cpus: "0.5"' : 'memory: 256M'
    throw new SlipwayError(
      'precondition',
      `service "${w.service}" has no ${resource} reservation to measure its use against`,
      {
        hint: `Add to it in the compose file, then run up:  deploy: { resources: { reservations: { ${key} } } }`,
      },
    )
  }
}
