import { isError, messageOf } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import { type Log, silentLog } from '../../../lib/log.ts'
import { timestamp } from '../../../lib/timestamp.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { ObjectReference, Event as EventObject } from '../../../spec/kube/generated/types.ts'
import { apiVersionOf, Event, type Kind, type ObjectMetaHolder } from '../../../spec/kube/kinds.ts'

export interface EventDetails {
  /** Part of the object, e.g. 'spec.containers{web}'. */
  fieldPath?: string | undefined
  action?: string | undefined
}
/**
 * Tells users what happens to an object, as Events. Never waits and never throws. The same event again only counts up; more
 * than ten like it (differing in the message) within ten minutes become one "(combined from similar events)"; an object that
 * is the source of many is cut to 25 at once and one more each 5 minutes. Source of the numbers: client-go tools/record.
 */
export interface Recorder {
  event(
    kind: Kind<ObjectMetaHolder> | ObjectReference,
    object: ObjectMetaHolder,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    details?: EventDetails,
  ): void
  /** Resolves when everything told so far is written. */
  flush(): Promise<void>
}

const limits = { known: 4096, waiting: 1000, similar: 10, similarWindow: 600_000, burst: 25, refill: 300_000 }

interface Known {
  namespace: string
  name: string
  count: number
}
interface Told {
  reference: ObjectReference
  type: string
  reason: string
  message: string
  action: string | undefined
}

/** `component` is the event's source, e.g. 'deployment-controller'; `host` its node, for the kubelet. */
export const createRecorder = (
  client: ObjectClient,
  component: string,
  clock: Clock,
  more: { host?: string; log?: Log } = {},
): Recorder => {
  const log = more.log ?? silentLog
  const known = new Map<string, Known>()
  const similar = new Map<string, { since: number; messages: Set<string> }>()
  const buckets = new Map<string, { tokens: number; at: number }>()
  let tail: Promise<void> = Promise.resolve()
  let waiting = 0

  const allowed = (id: string): boolean => {
    const now = clock.now()
    const bucket = buckets.get(id) ?? { tokens: limits.burst, at: now }
    bucket.tokens = Math.min(limits.burst, bucket.tokens + (now - bucket.at) / limits.refill)
    bucket.at = now
    remember(buckets, id, bucket)
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }
  /** The message under which the event is counted: its own, or the combined one when there are too many like it. */
  const combine = (id: string, message: string): { combined: boolean; message: string } => {
    const now = clock.now()
    let group = similar.get(id)
    if (!group || now - group.since > limits.similarWindow) group = { since: now, messages: new Set() }
    group.since = now
    group.messages.add(message)
    remember(similar, id, group)
    if (group.messages.size <= limits.similar) return { combined: false, message }
    return { combined: true, message: `(combined from similar events): ${message}` }
  }
  const write = async ({ reference, type, reason, message, action }: Told): Promise<void> => {
    const base = [component, reference.kind, reference.namespace, reference.name, reference.uid, reference.fieldPath]
    const group = [...base, type, reason].join('\n')
    const { combined, message: text } = combine(group, message)
    const id = combined ? group : `${group}\n${message}`
    const now = timestamp(clock.now())
    const before = known.get(id)
    if (before) {
      const body = { count: before.count + 1, lastTimestamp: now, message: text }
      try {
        await client.patch(Event, before, { type: 'merge', body })
        before.count++
        remember(known, id, before)
        return
      } catch (error) {
        if (!isError(error, 'not-found')) throw error // it has lived its hour: made anew below
      }
    }
    const namespace = reference.namespace ?? 'default'
    const unique = Math.floor(clock.random() * 2 ** 24) + clock.now() * 2 ** 12
    const event: EventObject = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { namespace, name: `${reference.name}.${unique.toString(16)}` },
      involvedObject: reference,
      type,
      reason,
      message: text,
      ...(action ? { action } : {}),
      source: more.host ? { component, host: more.host } : { component },
      reportingComponent: component,
      reportingInstance: more.host ?? '',
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
    }
    await client.create(Event, event)
    remember(known, id, { namespace, name: event.metadata.name!, count: 1 })
  }
  return {
    event(kind, object, type, reason, message, details = {}) {
      const reference = referenceTo(kind, object, details.fieldPath)
      if (waiting >= limits.waiting || !allowed(`${reference.kind}/${reference.namespace}/${reference.name}`)) return
      waiting++
      tail = tail
        .then(() => write({ reference, type, reason, message: message.slice(0, 1024), action: details.action }))
        .catch((error) => log.debug('event not recorded', { reason, error: messageOf(error) }))
        .finally(() => waiting--)
    },
    flush: () => tail,
  }

  function remember<V>(map: Map<string, V>, id: string, value: V): void {
    map.delete(id)
    map.set(id, value)
    if (map.size > limits.known) map.delete(map.keys().next().value!)
  }
}

const referenceTo = (
  kind: Kind<ObjectMetaHolder> | ObjectReference,
  { metadata }: ObjectMetaHolder,
  fieldPath: string | undefined,
): ObjectReference => ({
  ...('plural' in kind ? { apiVersion: apiVersionOf(kind), kind: kind.kind } : kind),
  ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
  ...(metadata.name ? { name: metadata.name } : {}),
  ...(metadata.uid ? { uid: metadata.uid } : {}),
  ...(metadata.resourceVersion ? { resourceVersion: metadata.resourceVersion } : {}),
  ...(fieldPath ? { fieldPath } : {}),
})
