import { isError, messageOf } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import { type Log, silentLog } from '../../../lib/log.ts'
import { timestamp } from '../../../lib/timestamp.ts'
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { Event as EventObject, ObjectReference } from '../../../spec/kube/generated/types.ts'
import { apiVersionOf, Event, type Kind, type ObjectMetaHolder } from '../../../spec/kube/kinds.ts'

interface EventDetails {
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

/** `component` is the event's source, e.g. 'deployment-controller'; `host` its node, for the kubelet. */
export const createRecorder = (
  client: ObjectClient,
  component: string,
  clock: Clock,
  more: { host?: string; log?: Log } = {},
): Recorder => new EventRecorder(client, component, clock, more.host, more.log ?? silentLog)

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
  /** When it happened, in ms; writing may come later. */
  at: number
}

/** Keeps the most recently used entries only. */
const remember = <V>(map: Map<string, V>, id: string, value: V): void => {
  map.delete(id)
  map.set(id, value)
  if (map.size > limits.known) map.delete(map.keys().next().value!)
}

class EventRecorder implements Recorder {
  readonly #client: ObjectClient
  readonly #component: string
  readonly #clock: Clock
  readonly #host: string | undefined
  readonly #log: Log
  readonly #known = new Map<string, Known>()
  readonly #similar = new Map<string, { since: number; messages: Set<string> }>()
  readonly #buckets = new Map<string, { tokens: number; at: number }>()
  #tail: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(client: ObjectClient, component: string, clock: Clock, host: string | undefined, log: Log) {
    this.#client = client
    this.#component = component
    this.#clock = clock
    this.#host = host
    this.#log = log
  }

  event(...[kind, object, type, reason, message, details = {}]: Parameters<Recorder['event']>): void {
    const reference = referenceTo(kind, object, details.fieldPath)
    if (this.#waiting >= limits.waiting) return
    if (!this.#allowed(`${reference.kind}/${reference.namespace}/${reference.name}`)) return
    this.#waiting++
    const told = {
      reference,
      type,
      reason,
      message: message.slice(0, 1024),
      action: details.action,
      at: this.#clock.now(),
    }
    this.#tail = this.#tail
      .then(() => this.#write(told))
      .catch((error) => this.#log.debug('event not recorded', { reason, error: messageOf(error) }))
      .finally(() => this.#waiting--)
  }

  async flush(): Promise<void> {
    await this.#tail
  }

  #allowed(id: string): boolean {
    const now = this.#clock.now()
    const bucket = this.#buckets.get(id) ?? { tokens: limits.burst, at: now }
    bucket.tokens = Math.min(limits.burst, bucket.tokens + (now - bucket.at) / limits.refill)
    bucket.at = now
    remember(this.#buckets, id, bucket)
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }

  /** True when there have been so many events like this one that they are counted as one. */
  #isCombined(id: string, message: string): boolean {
    const now = this.#clock.now()
    let group = this.#similar.get(id)
    if (!group || now - group.since > limits.similarWindow) group = { since: now, messages: new Set() }
    group.since = now
    // The set need not grow beyond what decides.
    if (group.messages.size <= limits.similar) group.messages.add(message)
    remember(this.#similar, id, group)
    return group.messages.size > limits.similar
  }

  async #write(told: Told): Promise<void> {
    const { reference, type, reason, message } = told
    const { kind, namespace, name, uid, fieldPath } = reference
    const group = [kind, namespace, name, uid, fieldPath, type, reason].join('\n')
    const combined = this.#isCombined(group, message)
    const text = combined ? `(combined from similar events): ${message}` : message
    const id = combined ? group : `${group}\n${message}`
    const before = this.#known.get(id)
    if (before && (await this.#countUp(before, text, told.at))) {
      remember(this.#known, id, before)
      return
    }
    const event = this.#newEvent(told, text)
    await this.#client.create(Event, event)
    remember(this.#known, id, { namespace: event.metadata.namespace!, name: event.metadata.name!, count: 1 })
  }

  /** False when the event is gone: it has lived its hour. */
  async #countUp(known: Known, message: string, at: number): Promise<boolean> {
    const body = { count: known.count + 1, lastTimestamp: timestamp(at), message }
    try {
      await this.#client.patch(Event, known, { type: 'merge', body })
      known.count++
      return true
    } catch (error) {
      if (isError(error, 'not-found')) return false
      throw error
    }
  }

  #newEvent({ reference, type, reason, action, at }: Told, message: string): EventObject {
    const unique = Math.floor(this.#clock.random() * 2 ** 12) + at * 2 ** 12
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { namespace: reference.namespace ?? 'default', name: `${reference.name}.${unique.toString(16)}` },
      involvedObject: reference,
      type,
      reason,
      message,
      ...(action ? { action } : {}),
      source: { component: this.#component, ...(this.#host ? { host: this.#host } : {}) },
      reportingComponent: this.#component,
      reportingInstance: this.#host ?? '',
      count: 1,
      firstTimestamp: timestamp(at),
      lastTimestamp: timestamp(at),
    }
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
