/** Events are kept for an hour after they were last written, as by kube-apiserver's --event-ttl. */
import type { Context, Draft } from './resource.ts'

const lifetime = 3600_000
/** How often the old ones are looked for, in ms. */
export const eventSweep = 60_000

export const forgetEvents = (context: Context): void => {
  const oldest = context.clock.now() - lifetime
  for (const event of context.store.list('events', '') as Draft[]) {
    const times = [
      event.metadata.creationTimestamp,
      event.lastTimestamp,
      event.eventTime,
      event.series?.lastObservedTime,
    ]
    const last = Math.max(...times.map((time) => (time ? Date.parse(time) : 0)))
    if (last < oldest) context.store.delete('events', event.metadata.namespace, event.metadata.name)
  }
}
