/** Logs of many pods as one stream: `backend-1  | line`, colours by service; pods that come later join in. */
import type { Writable } from 'node:stream'
import { isError, messageOf } from '../../../errors.ts'
import type { ObjectClient, PodLogOptions } from '../../../spec/kube/client.ts'
import type { Pod } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { selectorOf, serviceLabel } from './labels.ts'
import { Printer, type PrintWish } from './log-printer.ts'
import { listPods, mainContainer } from './workloads.ts'

interface LogWish extends PrintWish {
  services: readonly string[]
  follow: boolean
  tail: number | undefined
  sinceTime: string | undefined
  index: number | undefined
  signal: AbortSignal
}

export const streamLogs = async (
  client: ObjectClient,
  project: string,
  wish: LogWish,
  out: Writable,
): Promise<void> => {
  const seen = new Map<string, Promise<void>>()
  const names = new Map<string, number>()
  const printer = new Printer(out, wish)
  const begin = (service: string, pod: Pod, options: Partial<PodLogOptions>): void => {
    const uid = pod.metadata.uid!
    if (seen.has(uid) || (wish.services.length > 0 && !wish.services.includes(service))) return
    const index = (names.get(service) ?? 0) + 1
    names.set(service, index)
    if (wish.index !== undefined && wish.index !== index) return
    seen.set(uid, followPod(client, pod, `${service}-${index}`, wish, options, printer))
  }
  for (const { service, pod } of await listPods(client, project))
    begin(service, pod, { tailLines: wish.tail, sinceTime: wish.sinceTime })
  if (!wish.follow) {
    await Promise.all(seen.values())
    return
  }
  try {
    for await (const event of client.watch(kinds.Pod, { labels: selectorOf(project), signal: wish.signal })) {
      if (event.type === 'BOOKMARK' || event.type === 'DELETED') continue
      const service = event.object.metadata.labels?.[serviceLabel]
      const started = event.object.status?.containerStatuses?.some((s) => s.state?.running || s.state?.terminated)
      if (service && started) begin(service, event.object, {})
    }
  } catch (error) {
    if (!wish.signal.aborted) throw error
  }
  await Promise.all(seen.values())
}

const followPod = async (
  client: ObjectClient,
  pod: Pod,
  name: string,
  wish: LogWish,
  options: Partial<PodLogOptions>,
  printer: Printer,
): Promise<void> => {
  const key = { namespace: pod.metadata.namespace, name: pod.metadata.name! }
  const container = mainContainer(pod)
  let since: string | undefined = options.sinceTime
  let tailLines = options.tailLines
  for (;;) {
    const line = printer.source(name)
    const began = new Date().toISOString()
    try {
      for await (const chunk of client.logs(key, {
        container,
        follow: wish.follow,
        timestamps: wish.timestamps || wish.until !== undefined,
        tailLines,
        sinceTime: since,
        signal: wish.signal,
      }))
        line.write(chunk)
      line.end()
    } catch (error) {
      line.end()
      if (wish.signal.aborted || isError(error, 'not-found', 'bad-request')) return
      printer.note(name, `(log ends: ${messageOf(error)})`)
      return
    }
    if (!wish.follow || wish.signal.aborted) return
    // The container has ended. If the pod restarts it, its next try goes on here.
    if (!(await restarted(client, key, pod.metadata.uid!, container, wish.signal))) return
    since = began
    tailLines = undefined
  }
}

const restarted = async (
  client: ObjectClient,
  key: { namespace?: string | undefined; name: string },
  uid: string,
  container: string,
  signal: AbortSignal,
): Promise<boolean> => {
  for (let wait = 50; !signal.aborted; wait = Math.min(wait * 2, 2000)) {
    const pod = await client.get(kinds.Pod, key).catch(() => undefined)
    if (pod?.metadata.uid !== uid || pod.metadata.deletionTimestamp) return false
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return false
    if (pod.status?.containerStatuses?.find((s) => s.name === container)?.state?.running) return true
    await new Promise((go) => setTimeout(go, wait))
  }
  return false
}
