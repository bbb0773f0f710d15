/** Watching: replay of history, then live changes, through one bounded queue per watcher. */
import { isError, SlipwayError } from '../../errors.ts'
import { AsyncQueue } from '../../lib/async-queue.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { failure, statusOf } from '../../spec/kube/status.ts'
import type { Change } from '../store/index.ts'
import type { ApiRequest } from '../types.ts'
import { revisionOf, type Selection, selectionOf } from './read.ts'
import type { Context, Resource } from './resource.ts'

interface ServerEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  object: KubeObject
}
const queueLimit = 4096
const bookmarkInterval = 60_000

/** What a change looks like to a watcher with a selection: entering it is ADDED, leaving it DELETED. */
const eventOf = (change: Change, select: Selection | undefined): ServerEvent | undefined => {
  const { type, object, previous } = change
  if (!select) return { type, object }
  const now = select(object)
  if (type === 'ADDED') return now ? { type, object } : undefined
  // A predecessor that is not known any more may have been selected; one DELETED too many does no harm.
  const before = previous ? select(previous) : type === 'MODIFIED' || now
  if (type === 'DELETED') return before ? { type, object } : undefined
  if (now) return { type: before ? 'MODIFIED' : 'ADDED', object }
  if (!before) return undefined
  // The state that left the selection is shown as it last was in it, at the revision of the change.
  const last = previous ?? object
  return {
    type: 'DELETED',
    object: { ...last, metadata: { ...last.metadata, resourceVersion: object.metadata.resourceVersion } },
  }
}

const bookmark = (resource: Resource, revision: number, initialEventsEnd = false): ServerEvent => ({
  type: 'BOOKMARK',
  object: {
    kind: resource.kind,
    apiVersion: resource.apiVersion,
    metadata: {
      resourceVersion: String(revision),
      ...(initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
    } as KubeObject['metadata'],
  },
})

/** Ends on the request's signal or timeout. What goes wrong later comes as an ERROR event holding a Status. */
export const watchObjects = (context: Context, resource: Resource, request: ApiRequest): AsyncIterable<ServerEvent> => {
  const { store } = context
  const select = selectionOf(resource, request)
  const namespace = request.namespace ?? ''
  const prefix = `${namespace}/`
  const wanted = (change: Change): ServerEvent | undefined =>
    namespace && !change.key.startsWith(prefix) ? undefined : eventOf(change, select)

  const ends: (() => void)[] = []
  const queue = new AsyncQueue<ServerEvent>(queueLimit, {
    onOverflow: (full) =>
      full.push({ type: 'ERROR', object: failure(410, 'Expired', 'watch closed: the client is too slow') }, true),
    onClose: () => {
      for (const end of ends) end()
    },
  })
  const from = revisionOf(request.resourceVersion)
  const initial = request.sendInitialEvents ?? from === undefined
  try {
    // Initial state comes as it is, however much of it there is; only live events are bounded.
    if (initial) {
      for (const object of store.list(resource.id, namespace))
        if (!select || select(object)) queue.push({ type: 'ADDED', object }, true)
      if (request.sendInitialEvents) queue.push(bookmark(resource, store.revision, true), true)
    } else if (from! > store.revision)
      throw new SlipwayError('expired', `too large resource version: ${from} (${store.revision})`)
    else
      for (const change of store.changesSince(resource.id, from!)) {
        const event = wanted(change)
        if (event) queue.push(event, true)
      }
  } catch (error) {
    const status = statusOf(error)
    if (!isError(error, 'expired')) throw error
    queue.push({ type: 'ERROR', object: status }, true)
    queue.close()
    return queue
  }
  ends.push(
    store.subscribe(resource.id, (change) => {
      const event = wanted(change)
      if (event) queue.push(event)
    }),
  )
  const stop = (): void => queue.close()
  context.watches.add(stop)
  ends.push(() => context.watches.delete(stop))
  const { signal } = request
  if (signal?.aborted) {
    stop()
    return queue
  }
  if (signal) {
    signal.addEventListener('abort', stop, { once: true })
    ends.push(() => signal.removeEventListener('abort', stop))
  }
  if (request.timeoutSeconds)
    timer(ends, request.timeoutSeconds * 1000, () => {
      if (request.allowWatchBookmarks) queue.push(bookmark(resource, store.revision), true)
      stop()
    })
  if (request.allowWatchBookmarks) {
    const every = setInterval(() => queue.push(bookmark(resource, store.revision)), bookmarkInterval)
    every.unref()
    ends.push(() => clearInterval(every))
  }
  return queue
}

const timer = (ends: (() => void)[], ms: number, run: () => void): void => {
  const handle = setTimeout(run, ms)
  handle.unref()
  ends.push(() => clearTimeout(handle))
}
