import { parseTimestamp } from '../../../lib/timestamp.ts'
import { Event, Node, Pod } from '../../../spec/kube/kinds.ts'
import { isPodFinished } from '../objects/pods.ts'
import { controller, keyFor, watch } from '../run/controller.ts'

// How long a node may be missing before its pods are given up. Source: pkg/controller/podgc.
const quarantine = 40_000

/** Removes pods nobody will ever finish: those of nodes that are gone, and those that are deleted but were never bound. */
export const podCollector = (): ReturnType<typeof controller> => {
  const missingSince = new Map<string, number>()
  return controller({
    name: 'pod-garbage-collector',
    for: Pod,
    watches: [
      watch(Node, (node, { informers, type }) => {
        if (type !== 'DELETED') return []
        const { name } = node.metadata
        return informers
          .of(Pod)
          .list()
          .filter((pod) => pod.spec?.nodeName === name)
          .map(keyFor)
      }),
    ],
    async reconcile(key, { objects, informers, clock }) {
      const pod = informers.of(Pod).get(key.namespace, key.name)
      if (!pod) return
      const remove = () =>
        objects.delete(Pod, key, { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid! } })
      const node = pod.spec?.nodeName
      if (!node) {
        if (pod.metadata.deletionTimestamp) await remove()
        return
      }
      if (informers.of(Node).get(undefined, node)) {
        missingSince.delete(node)
        return
      }
      const since = missingSince.get(node) ?? clock.now()
      missingSince.set(node, since)
      const left = since + quarantine - clock.now()
      if (left > 0) return { requeueAfter: left }
      if (await objects.get(Node, { name: node })) return
      if (!isPodFinished(pod)) {
        const condition = {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'DeletionByPodGC',
          message: 'PodGC: node no longer exists',
        }
        const body = { status: { phase: 'Failed', conditions: [condition] } }
        await objects.patch(Pod, key, { type: 'strategic', body }, { subresource: 'status' })
      }
      await remove()
      return
    },
  })
}

/** Removes events that did not recur for an hour. */
export const eventTtl = controller({
  name: 'event-ttl-controller',
  for: Event,
  workers: 2,
  async reconcile(key, { objects, informers, clock, options }) {
    const event = informers.of(Event).get(key.namespace, key.name)
    if (!event) return
    const last =
      event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp
    const left = (parseTimestamp(last) || clock.now()) + (options.eventTtl ?? 3_600_000) - clock.now()
    if (left > 0) return { requeueAfter: left }
    await objects.delete(Event, key)
    return
  },
})
