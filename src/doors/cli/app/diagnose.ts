/** Why a service does not become ready: its pods' states, last probe output and last lines of log, in words. */
import { messageOf } from '../../../errors.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { ContainerStatus, Pod } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { mainContainer } from './workloads.ts'

interface Diagnosis {
  /** One line: "backend-6c5 restarts over and over (exit code 1)". */
  summary: string
  /** Indented material: probe output, log lines. */
  lines: string[]
}

/** States a pod does not leave by waiting a little longer. */
const hopeless = new Set([
  'ErrImageNeverPull',
  'InvalidImageName',
  'CreateContainerConfigError',
  'ErrImagePull',
  'ImagePullBackOff',
  'CreateContainerError',
  'RunContainerError',
])

const statusesOf = (pod: Pod): ContainerStatus[] => [
  ...(pod.status?.initContainerStatuses ?? []),
  ...(pod.status?.containerStatuses ?? []),
]

/** Has this pod shown that it will not come up by itself? */
export const isStuck = (pod: Pod): boolean =>
  statusesOf(pod).some((s) => {
    const reason = s.state?.waiting?.reason ?? ''
    return hopeless.has(reason) || (reason === 'CrashLoopBackOff' && s.restartCount >= 2)
  })

export const diagnose = async (client: ObjectClient, pod: Pod): Promise<Diagnosis> => {
  const name = pod.metadata.name!
  const bad = statusesOf(pod).find(
    (s) => s.state?.waiting?.message || s.lastState?.terminated || s.state?.terminated || !s.ready,
  )
  const lines: string[] = []
  const probe = await lastProbe(client, pod)
  const summary = summaryOf(pod, bad, probe)
  if (probe) lines.push(...probe.split('\n'))
  if (bad && (bad.state?.running || bad.state?.terminated || bad.lastState?.terminated))
    lines.push(...(await lastLog(client, pod, bad)))
  return { summary: `${name}: ${summary}`, lines }
}

const summaryOf = (pod: Pod, bad: ContainerStatus | undefined, probe: string | undefined): string => {
  const waiting = bad?.state?.waiting
  if (waiting && waiting.reason !== 'CrashLoopBackOff' && waiting.message)
    return `${waiting.reason}: ${waiting.message}`
  const ended = bad?.lastState?.terminated ?? bad?.state?.terminated
  if (ended) {
    // A failed startup or liveness probe ends the container from outside.
    const stopped = ended.exitCode === 143 || ended.exitCode === 137 || ended.exitCode === 0
    const how =
      ended.reason === 'OOMKilled'
        ? 'was killed for using more memory than its limit'
        : stopped && /^(Startup|Liveness) probe /.test(probe ?? '')
          ? 'is unhealthy'
          : (ended.message ?? `exited with code ${ended.exitCode}`)
    const times = bad!.restartCount
    return `${how}${times > 0 ? `, restarted ${times} time${times > 1 ? 's' : ''}` : ''}`
  }
  const unscheduled = pod.status?.conditions?.find((c) => c.type === 'PodScheduled' && c.status === 'False')
  if (unscheduled?.message) return unscheduled.message
  if (bad?.state?.running) return 'is running but not ready (its health check does not pass)'
  return `is ${pod.status?.phase ?? 'Pending'}${waiting?.reason ? ` (${waiting.reason})` : ''}`
}

const lastProbe = async (client: ObjectClient, pod: Pod): Promise<string | undefined> => {
  const { items } = await client.list(kinds.Event, {
    namespace: pod.metadata.namespace,
    fields: `involvedObject.uid=${pod.metadata.uid}`,
  })
  const wanted = items.filter((e) =>
    ['Unhealthy', 'FailedMount', 'FailedCreatePodSandBox', 'FailedScheduling', 'Failed'].includes(e.reason ?? ''),
  )
  const time = (e: (typeof items)[number]): string =>
    e.lastTimestamp ?? e.eventTime ?? e.metadata.creationTimestamp ?? ''
  return wanted.sort((a, b) => time(b).localeCompare(time(a)))[0]?.message?.trim()
}

const lastLog = async (client: ObjectClient, pod: Pod, status: ContainerStatus): Promise<string[]> => {
  const previous = status.state?.waiting !== undefined && status.lastState?.terminated !== undefined
  const chunks: Buffer[] = []
  try {
    const key = { namespace: pod.metadata.namespace, name: pod.metadata.name! }
    for await (const chunk of client.logs(key, {
      container: status.name || mainContainer(pod),
      tailLines: 5,
      ...(previous ? { previous } : {}),
    }))
      chunks.push(chunk)
  } catch (error) {
    return [`(its log cannot be read: ${messageOf(error)})`]
  }
  const text = Buffer.concat(chunks).toString().trimEnd()
  return text === '' ? [] : text.split('\n').map((line) => `| ${line}`)
}
