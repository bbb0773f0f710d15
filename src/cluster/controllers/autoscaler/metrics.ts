/** The metrics of an autoscaler: what each of them proposes, and how it reads in status and events. */
import { messageOf } from '../../../errors.ts'
import { formatBytes, formatMilli, quantityMilli } from '../../../lib/quantity.ts'
import type { PodUsage } from '../../../spec/kube/client.ts'
import type { HorizontalPodAutoscaler, MetricSpec, MetricStatus, Pod } from '../../../spec/kube/generated/types.ts'
import { type Proposal, proposeReplicas } from './usage.ts'

interface MetricsInput {
  hpa: HorizontalPodAutoscaler
  current: number
  pods: readonly Pod[]
  /** undefined: there are no metrics in this cluster. */
  usage: readonly PodUsage[] | undefined
  now: number
}
interface MetricsResult {
  replicas: number
  /** The metric that decided. */
  name: string
  statuses: MetricStatus[]
  /** Set when the metrics do not suffice; `replicas` means nothing then. */
  failure: { reason: string; detail: string; tally: string } | undefined
}

const amountText = (resource: string, milli: number): string =>
  resource === 'cpu' ? formatMilli(milli) : formatBytes(Math.round(milli / 1000))

const statusOf = (metric: MetricSpec, resource: string, { utilization, averageMilli }: Proposal): MetricStatus => {
  const averageValue = amountText(resource, averageMilli)
  const current = { averageValue, ...(utilization === undefined ? {} : { averageUtilization: utilization }) }
  if (metric.containerResource) {
    return {
      type: metric.type,
      containerResource: { name: resource, container: metric.containerResource.container, current },
    }
  }
  return { type: metric.type, resource: { name: resource, current } }
}

const evaluate = (
  metric: MetricSpec,
  input: MetricsInput,
): { proposal: Proposal; name: string; status: MetricStatus } => {
  const source =
    metric.type === 'Resource'
      ? metric.resource
      : metric.type === 'ContainerResource'
        ? metric.containerResource
        : undefined
  if (!source) {
    const kind = metric.type === 'External' ? 'external' : 'custom'
    throw Object.assign(
      new Error(
        `unable to fetch metrics from ${kind} metrics API: no ${kind} metrics API is registered in this cluster`,
      ),
      {
        reason: `FailedGet${metric.type}${metric.type.endsWith('Metric') ? '' : 'Metric'}`,
      },
    )
  }
  const { hpa, current, pods, usage, now } = input
  const container = metric.containerResource?.container
  const place = container === undefined ? '' : ` of container "${container}"`
  const { averageUtilization, averageValue } = source.target
  const kind = averageUtilization === undefined ? 'resource' : `resource utilization (percentage of request)`
  const name = container === undefined ? `${source.name} ${kind}` : `${source.name} container ${kind}`
  const reason = container === undefined ? 'FailedGetResourceMetric' : 'FailedGetContainerResourceMetric'
  try {
    if (!usage)
      throw new Error(
        `unable to get metrics for resource ${source.name}: no metrics returned from resource metrics API`,
      )
    const behavior = hpa.spec?.behavior
    const proposal = proposeReplicas({
      current,
      pods,
      usage,
      resource: source.name,
      container,
      target:
        averageUtilization === undefined
          ? { averageMilli: quantityMilli(averageValue) }
          : { utilization: averageUtilization },
      tolerance: {
        up: behavior?.scaleUp?.tolerance === undefined ? 0.1 : quantityMilli(behavior.scaleUp.tolerance) / 1000,
        down: behavior?.scaleDown?.tolerance === undefined ? 0.1 : quantityMilli(behavior.scaleDown.tolerance) / 1000,
      },
      now,
    })
    return { proposal, name, status: statusOf(metric, source.name, proposal) }
  } catch (error) {
    const what = averageUtilization === undefined ? 'usage' : 'utilization'
    const message = `failed to get ${source.name} ${what}${place}: ${messageOf(error)}`
    throw Object.assign(new Error(message, { cause: error }), { reason })
  }
}

/** The largest of what the metrics propose. With some of them unknown it may still grow, but not shrink. */
export const evaluateMetrics = (input: MetricsInput): MetricsResult => {
  const result: MetricsResult = { replicas: 0, name: '', statuses: [], failure: undefined }
  const metrics = input.hpa.spec?.metrics ?? []
  let first: { reason: string; detail: string } | undefined
  let failed = 0
  for (const metric of metrics) {
    try {
      const { proposal, name, status } = evaluate(metric, input)
      result.statuses.push(status)
      if (proposal.replicas > result.replicas || result.name === '') {
        result.replicas = proposal.replicas
        result.name = name
      }
    } catch (error) {
      failed++
      const { reason = 'FailedGetResourceMetric' } = error as { reason?: string }
      first ??= { reason, detail: messageOf(error) }
    }
  }
  if (failed === metrics.length || (failed > 0 && result.replicas < input.current)) {
    const tally = `${failed} invalid out of ${metrics.length}`
    result.failure = { ...(first ?? { reason: 'InvalidMetricSourceType', detail: 'no metrics given' }), tally }
  }
  return result
}
