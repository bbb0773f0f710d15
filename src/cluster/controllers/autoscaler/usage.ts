/** From pods' usage to a number of replicas. Source: pkg/controller/podautoscaler/replica_calculator.go. */
import { quantityMilli } from '../../../lib/quantity.ts'
import { parseTimestamp } from '../../../lib/timestamp.ts'
import type { PodUsage } from '../../../spec/kube/client.ts'
import type { Pod } from '../../../spec/kube/generated/types.ts'
import { podRequests } from '../../../spec/kube/pod-requests.ts'
import { podCondition } from '../objects/pods.ts'

export interface UsageInput {
  current: number
  /** All pods the target selects. */
  pods: readonly Pod[]
  usage: readonly PodUsage[]
  resource: string
  /** One container's usage instead of the pod's. */
  container?: string | undefined
  target: { utilization: number } | { averageMilli: number }
  tolerance: { up: number; down: number }
  now: number
}
export interface Proposal {
  replicas: number
  /** Percent of the requests; undefined for targets in absolute numbers. */
  utilization: number | undefined
  /** Mean usage of a pod, in thousandths of the resource's unit. */
  averageMilli: number
}
interface Sample {
  value: number
  time: number
  window: number
}

// A pod that starts uses much; its first minutes say little. Source: kube-controller-manager's defaults.
const startPeriod = 300_000
const readinessDelay = 30_000

const sampleOf = (usage: PodUsage, resource: string, container: string | undefined): Sample | undefined => {
  const containers = usage.containers.filter(({ name }) => container === undefined || name === container)
  if (containers.length === 0) return undefined
  const value = containers.reduce(
    (sum, { cpuNanocores, memoryBytes }) => sum + (resource === 'cpu' ? cpuNanocores / 1e6 : memoryBytes * 1000),
    0,
  )
  return { value: Math.ceil(value), time: usage.time, window: usage.window }
}

/** Readiness that is too young, or not there, while the pod starts: its CPU does not count yet. */
const isUnready = (pod: Pod, sample: Sample, now: number): boolean => {
  const ready = podCondition(pod, 'Ready')
  const started = parseTimestamp(pod.status?.startTime)
  if (!ready || Number.isNaN(started)) return true
  const since = parseTimestamp(ready.lastTransitionTime)
  if (started + startPeriod > now) return ready.status === 'False' || sample.time < since + sample.window
  return ready.status === 'False' && started + readinessDelay > since
}

const requestOf = (pod: Pod, resource: string, container: string | undefined): number => {
  const missing = (name: string): Error =>
    new Error(`missing request for ${resource} in container ${name} of Pod ${pod.metadata.name}`)
  const factor = resource === 'cpu' ? 1 : 1000
  if (pod.spec?.resources?.requests?.[resource] && container === undefined)
    return (podRequests(pod.spec)[resource] ?? 0) * factor
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always')
  const containers = [...(pod.spec?.containers ?? []), ...sidecars].filter(
    ({ name }) => container === undefined || name === container,
  )
  if (container !== undefined && containers.length === 0)
    throw new Error(`container ${container} not found in Pod ${pod.metadata.name}`)
  return containers.reduce((sum, { name, resources }) => {
    const request = resources?.requests?.[resource]
    if (request === undefined) throw missing(name)
    return sum + quantityMilli(request)
  }, 0)
}

/** Throws an Error, with upstream's words, when there is nothing to reckon with. */
export const proposeReplicas = (input: UsageInput): Proposal => {
  const { current, pods, resource, container, target, now } = input
  if (pods.length === 0) throw new Error('no pods returned by selector while calculating replica count')
  const usage = new Map(input.usage.map((one) => [one.name, one]))
  const counted = new Map<string, number>()
  const unready: string[] = []
  const missing: string[] = []
  for (const pod of pods) {
    const name = pod.metadata.name!
    if (pod.metadata.deletionTimestamp || pod.status?.phase === 'Failed') continue
    const known = usage.get(name)
    const sample = known && sampleOf(known, resource, container)
    if (pod.status?.phase === 'Pending') unready.push(name)
    else if (!sample) missing.push(name)
    else if (resource === 'cpu' && isUnready(pod, sample, now)) unready.push(name)
    else counted.set(name, sample.value)
  }
  if (counted.size === 0) throw new Error('did not receive metrics for targeted pods (pods might be unready)')
  const requests = new Map<string, number>()
  if ('utilization' in target)
    for (const pod of pods) requests.set(pod.metadata.name!, requestOf(pod, resource, container))
  const ratioOf = (values: ReadonlyMap<string, number>): number => {
    const total = [...values.values()].reduce((sum, value) => sum + value, 0)
    if ('averageMilli' in target) return total / values.size / target.averageMilli
    const requested = [...values.keys()].reduce((sum, name) => sum + requests.get(name)!, 0)
    if (requested === 0) throw new Error('no metrics returned matched known pods')
    return Math.trunc((total * 100) / requested) / target.utilization
  }
  const ratio = ratioOf(counted)
  const total = [...counted.values()].reduce((sum, value) => sum + value, 0)
  const seen = {
    utilization: 'utilization' in target ? Math.round(ratio * target.utilization) : undefined,
    averageMilli: Math.trunc(total / counted.size),
  }
  const near = (value: number): boolean => 1 - value <= input.tolerance.down && value - 1 <= input.tolerance.up
  if (missing.length === 0 && !(unready.length > 0 && ratio > 1)) {
    return { ...seen, replicas: near(ratio) ? current : Math.ceil(ratio * counted.size) }
  }
  // Those of whom nothing is known are taken to be where they do least harm: idle when growing, at the target when shrinking.
  const full = (name: string): number =>
    'averageMilli' in target ? target.averageMilli : (requests.get(name)! * Math.max(100, target.utilization)) / 100
  for (const name of missing) if (ratio !== 1) counted.set(name, ratio < 1 ? full(name) : 0)
  if (ratio > 1) for (const name of unready) counted.set(name, 0)
  const careful = ratioOf(counted)
  if (near(careful) || (ratio < 1 && careful > 1) || (ratio > 1 && careful < 1)) return { ...seen, replicas: current }
  const replicas = Math.ceil(careful * counted.size)
  if ((careful < 1 && replicas > current) || (careful > 1 && replicas < current)) return { ...seen, replicas: current }
  return { ...seen, replicas }
}
