/** Other versions of stored kinds: autoscaling/v1 of the autoscaler, events.k8s.io/v1 of events. */

import type { Kind } from '../../spec/kube/kinds.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { schemaOf } from '../../spec/kube/schema.ts'
import { type Draft, type Registry, type Resource, resourceOf } from './resource.ts'

const annotation = (name: string): string => `autoscaling.alpha.kubernetes.io/${name}`
const isCpu = (metric: Draft): boolean => metric.type === 'Resource' && metric.resource?.name === 'cpu'

/** What v1 has no field for travels in annotations, as in Kubernetes. */
const toV2 = (v1: Draft): Draft => {
  const { targetCPUUtilizationPercentage, ...spec } = v1.spec ?? {}
  const {
    [annotation('metrics')]: metrics,
    [annotation('behavior')]: behavior,
    ...annotations
  } = v1.metadata.annotations ?? {}
  const cpu =
    targetCPUUtilizationPercentage === undefined
      ? []
      : [
          {
            type: 'Resource',
            resource: {
              name: 'cpu',
              target: { type: 'Utilization', averageUtilization: targetCPUUtilizationPercentage },
            },
          },
        ]
  const others = metrics ? (JSON.parse(metrics) as Draft[]) : []
  const { currentCPUUtilizationPercentage: _, ...status } = v1.status ?? {}
  return {
    ...v1,
    metadata: { ...v1.metadata, ...(v1.metadata.annotations ? { annotations } : {}) },
    spec: {
      ...spec,
      ...(cpu.length + others.length > 0 ? { metrics: [...others, ...cpu] } : {}),
      ...(behavior ? { behavior: JSON.parse(behavior) } : {}),
    },
    ...(v1.status ? { status } : {}),
  }
}
const toV1 = (v2: Draft): Draft => {
  const { metrics = [], behavior, ...spec } = v2.spec ?? {}
  const cpu = metrics.find(isCpu)
  const others = metrics.filter((m: Draft) => m !== cpu)
  const percentage = cpu?.resource.target.averageUtilization
  const { conditions, currentMetrics, ...status } = v2.status ?? {}
  const current = (currentMetrics ?? []).find(isCpu)?.resource.current.averageUtilization
  const annotations: Record<string, string> = { ...v2.metadata.annotations }
  if (others.length > 0) annotations[annotation('metrics')] = JSON.stringify(others)
  if (behavior) annotations[annotation('behavior')] = JSON.stringify(behavior)
  if (conditions?.length) annotations[annotation('conditions')] = JSON.stringify(conditions)
  return {
    ...v2,
    apiVersion: 'autoscaling/v1',
    metadata: { ...v2.metadata, ...(Object.keys(annotations).length > 0 ? { annotations } : {}) },
    spec: { ...spec, ...(percentage === undefined ? {} : { targetCPUUtilizationPercentage: percentage }) },
    status: {
      currentReplicas: 0,
      ...status,
      ...(current === undefined ? {} : { currentCPUUtilizationPercentage: current }),
    },
  }
}

export const autoscalerV1 = (registry: Registry): Resource => {
  const storage = registry.find('autoscaling', 'v2', 'horizontalpodautoscalers')!
  const kind = { ...(kinds.HorizontalPodAutoscaler as unknown as Kind), version: 'v1' }
  return resourceOf(kind, schemaOf('autoscaling', 'v1', kind.kind)!, storage.strategy, {
    conversion: { storage, toStorage: toV2, fromStorage: toV1 },
  })
}

const toCore = (event: Draft): Draft => {
  const {
    regarding,
    note,
    reportingController,
    deprecatedCount,
    deprecatedFirstTimestamp,
    deprecatedLastTimestamp,
    deprecatedSource,
    ...rest
  } = event
  return {
    ...rest,
    involvedObject: regarding ?? {},
    message: note,
    reportingComponent: reportingController,
    count: deprecatedCount,
    firstTimestamp: deprecatedFirstTimestamp,
    lastTimestamp: deprecatedLastTimestamp,
    source: deprecatedSource,
  }
}
const fromCore = (event: Draft): Draft => {
  const { involvedObject, message, reportingComponent, count, firstTimestamp, lastTimestamp, source, ...rest } = event
  return {
    ...rest,
    apiVersion: 'events.k8s.io/v1',
    eventTime: event.eventTime ?? null,
    regarding: involvedObject,
    note: message,
    reportingController: reportingComponent,
    deprecatedCount: count,
    deprecatedFirstTimestamp: firstTimestamp,
    deprecatedLastTimestamp: lastTimestamp,
    deprecatedSource: source,
  }
}

export const eventsV1 = (registry: Registry): Resource => {
  const storage = registry.find('', 'v1', 'events')!
  const kind = { ...(kinds.Event as unknown as Kind), group: 'events.k8s.io' }
  const fields: Record<string, (event: Draft) => string> = { ...storage.strategy.fields }
  for (const [name, read] of Object.entries(storage.strategy.fields!))
    if (name.startsWith('involvedObject.')) fields[name.replace('involvedObject', 'regarding')] = read
  fields.reportingController = (event) => event.reportingComponent ?? ''
  return resourceOf(
    kind,
    schemaOf('events.k8s.io', 'v1', 'Event')!,
    { ...storage.strategy, fields },
    {
      id: storage.id,
      conversion: { storage, toStorage: toCore, fromStorage: fromCore },
    },
  )
}
