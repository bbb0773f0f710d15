/** Notices containers that end, whether they are started again or not. */
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { Pod } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { selectorOf, serviceLabel } from './labels.ts'
import { judge } from './rollout.ts'
import { listPods, listWorkloads, mainContainer } from './workloads.ts'

interface Exit {
  service: string
  /** "web-1" */
  name: string
  code: number
  /** It is started again. */
  restarting: boolean
}

interface ExitWatcher {
  ended(exit: Exit): void
  /** Nothing of the project will ever run again by itself: all were Jobs, and they are over. */
  allDone(): void
}

/** Ends on `signal`. Pods that are taken down on purpose (a rollout, a scale-down) do not count. */
export const watchExits = async (
  client: ObjectClient,
  project: string,
  signal: AbortSignal,
  watcher: ExitWatcher,
): Promise<void> => {
  const seen = new Map<string, { index: number; ends: number }>()
  const counts = new Map<string, number>()
  const look = (pod: Pod, first = false): boolean => {
    const service = pod.metadata.labels?.[serviceLabel]
    const status = pod.status?.containerStatuses?.find((s) => s.name === mainContainer(pod))
    if (!service || !status) return false
    const known = seen.get(pod.metadata.uid!) ?? { index: (counts.get(service) ?? 0) + 1, ends: 0 }
    if (!seen.has(pod.metadata.uid!)) counts.set(service, known.index)
    seen.set(pod.metadata.uid!, known)
    const over = status.state?.terminated
    const ends = status.restartCount + (over ? 1 : 0)
    if (ends <= known.ends) return false
    known.ends = ends
    if (first) return false // it ended before we looked
    if (pod.metadata.deletionTimestamp) return false
    const code = (over ?? status.lastState?.terminated)?.exitCode ?? 0
    const final = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
    watcher.ended({ service, name: `${service}-${known.index}`, code, restarting: !final })
    return true
  }
  for (const { pod } of await listPods(client, project)) look(pod, true)
  if (seen.size > 0 && (await allOver(client, project))) watcher.allDone()
  try {
    for await (const event of client.watch(kinds.Pod, { labels: selectorOf(project), signal })) {
      if (event.type === 'BOOKMARK' || event.type === 'DELETED') continue
      if (look(event.object) && (await allOver(client, project))) watcher.allDone()
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

const allOver = async (client: ObjectClient, project: string): Promise<boolean> => {
  const all = await listWorkloads(client, project)
  return all.every((w) => {
    if (w.kind !== 'Job') return false
    const state = judge(w.kind, w.object, 'completed')
    return state.done || state.failed !== undefined
  })
}
