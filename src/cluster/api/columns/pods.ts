/** Pods: the status that kubectl shows is worked out from container states. Source: pkg/printers/internalversion printPod. */
import type { Draft } from '../resource.ts'
import { type Column, text } from './column.ts'
import { age, hasCondition, humanDuration, none } from './format.ts'

const sidecar = (pod: Draft, name: string): boolean =>
  (pod.spec?.initContainers ?? []).some((c: Draft) => c.name === name && c.restartPolicy === 'Always')

const ended = (terminated: Draft, prefix = ''): string =>
  prefix +
  (terminated.reason || (terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`))

interface Summary {
  ready: number
  total: number
  reason: string
  restarts: number
  lastRestart: number
}

/** What init containers make of it; undefined when they are done. */
const initReason = (pod: Draft, container: Draft, index: number): string | undefined => {
  const { terminated, waiting } = container.state ?? {}
  if (terminated?.exitCode === 0) return undefined
  if (sidecar(pod, container.name) && container.started) return undefined
  if (terminated) return ended(terminated, 'Init:')
  if (waiting?.reason && waiting.reason !== 'PodInitializing') return `Init:${waiting.reason}`
  return `Init:${index}/${pod.spec.initContainers.length}`
}

const podSummary = (pod: Draft): Summary => {
  const status = pod.status ?? {}
  const sidecars = (pod.spec?.initContainers ?? []).filter((c: Draft) => c.restartPolicy === 'Always').length
  const result: Summary = {
    ready: 0,
    total: (pod.spec?.containers ?? []).length + sidecars,
    reason: status.reason || status.phase || '',
    restarts: 0,
    lastRestart: 0,
  }
  const gated = (status.conditions ?? []).some(
    (c: Draft) => c.type === 'PodScheduled' && c.reason === 'SchedulingGated',
  )
  if (gated) result.reason = 'SchedulingGated'
  const countRestarts = (container: Draft): void => {
    result.restarts += container.restartCount ?? 0
    const finished = container.lastState?.terminated?.finishedAt
    if (finished) result.lastRestart = Math.max(result.lastRestart, Date.parse(finished))
  }
  let initializing = false
  for (const [i, container] of ((status.initContainerStatuses ?? []) as Draft[]).entries()) {
    countRestarts(container)
    const reason = initReason(pod, container, i)
    if (reason === undefined) {
      if (sidecar(pod, container.name) && container.started && container.ready) result.ready++
      continue
    }
    result.reason = reason
    initializing = true
    break
  }
  if (!initializing || hasCondition(pod, 'Initialized')) countContainers(pod, result, countRestarts)
  if (pod.metadata.deletionTimestamp) {
    if (status.reason === 'NodeLost') result.reason = 'Unknown'
    else if (status.phase !== 'Succeeded' && status.phase !== 'Failed') result.reason = 'Terminating'
  }
  return result
}

const countContainers = (pod: Draft, result: Summary, countRestarts: (container: Draft) => void): void => {
  const status = pod.status ?? {}
  result.restarts = 0
  result.lastRestart = 0
  for (const container of status.initContainerStatuses ?? []) if (sidecar(pod, container.name)) countRestarts(container)
  let running = false
  for (const container of [...(status.containerStatuses ?? [])].reverse()) {
    countRestarts(container)
    const { waiting, terminated, running: runs } = container.state ?? {}
    if (waiting?.reason) result.reason = waiting.reason
    else if (terminated) result.reason = ended(terminated)
    else if (container.ready && runs) {
      running = true
      result.ready++
    }
  }
  if (result.reason === 'Completed' && running) result.reason = hasCondition(pod, 'Ready') ? 'Running' : 'NotReady'
}

const restarts = (pod: Draft, now: number): string => {
  const { restarts: n, lastRestart } = podSummary(pod)
  return n > 0 && lastRestart ? `${n} (${humanDuration(now - lastRestart)} ago)` : String(n)
}
const gates = (pod: Draft): string => {
  const wanted: Draft[] = pod.spec?.readinessGates ?? []
  if (wanted.length === 0) return '<none>'
  return `${wanted.filter((gate) => hasCondition(pod, gate.conditionType)).length}/${wanted.length}`
}

export const podColumns: Column[] = [
  text('Ready', (pod) => {
    const { ready, total } = podSummary(pod)
    return `${ready}/${total}`
  }),
  text('Status', (pod) => podSummary(pod).reason),
  text('Restarts', restarts),
  text('Age', (pod, now) => age(pod.metadata.creationTimestamp, now)),
  text('IP', (pod) => none(pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP), 1),
  text('Node', (pod) => none(pod.spec?.nodeName), 1),
  text('Nominated Node', (pod) => none(pod.status?.nominatedNodeName), 1),
  text('Readiness Gates', gates, 1),
]
