/** Builds that were and are: moby.buildkit.v1.Control's history, and the blobs its records name. */
import type { BuildHistory, BuildRecord } from '../../../build/types.ts'
import { SlipwayError } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { Descriptor } from '../../../spec/oci/index.ts'
import {
  BuildHistoryEvent,
  type BuildHistoryRecord,
  BuildHistoryRequest,
  type BuildResultInfo,
  ContentInfoRequest,
  ContentInfoResponse,
  Empty,
  historyEvents,
  ReadContentRequest,
  ReadContentResponse,
  UpdateBuildHistoryRequest,
} from './messages.ts'
import { ProgressLog, timestamp } from './progress.ts'
import type { Decoded } from './protobuf.ts'
import { type Call, type Methods, streaming, unary } from './server.ts'

interface Deps {
  builder: { history: BuildHistory }
  clock: Clock
}
type Event = Partial<Decoded<typeof BuildHistoryEvent>>

const content = '/containerd.services.content.v1.Content'
const chunkSize = 1 << 20

export const historyMethods = (deps: Deps): Methods => {
  const { history } = deps.builder
  return {
    '/moby.buildkit.v1.Control/ListenBuildHistory': streaming(
      BuildHistoryRequest,
      BuildHistoryEvent,
      async (request, call, send) => {
        call.begin({ 'buildkit-current-timestamp': new Date(deps.clock.now()).toISOString() })
        await listen(history, request, call, send)
      },
    ),
    '/moby.buildkit.v1.Control/UpdateBuildHistory': unary(UpdateBuildHistoryRequest, Empty, (request) => {
      // What is told of a build is written down as it ends: there is nothing to finalize.
      if (request.Delete) history.remove(request.Ref)
      else if (!request.Finalize) history.pin(request.Ref, request.Pinned)
      return {}
    }),
    [`${content}/Info`]: unary(ContentInfoRequest, ContentInfoResponse, ({ digest }) => ({
      info: { digest, size: blobOf(history, digest).length },
    })),
    [`${content}/Read`]: streaming(ReadContentRequest, ReadContentResponse, async (request, _call, send) => {
      const blob = blobOf(history, request.digest)
      const end = request.size > 0 ? Math.min(blob.length, request.offset + request.size) : blob.length
      for (let at = request.offset; at < end; at += chunkSize)
        await send({ offset: at, data: blob.subarray(at, Math.min(end, at + chunkSize)) })
    }),
  }
}

const blobOf = (history: BuildHistory, digest: string): Uint8Array => {
  const blob = history.blob(digest)
  if (!blob) throw new SlipwayError('not-found', `content ${digest}: not found`)
  return blob
}

/** What was told of a build that is over, as if it were told now. */
export const pastProgress = async (
  { builder }: Pick<Deps, 'builder'>,
  ref: string,
): Promise<ProgressLog | undefined> => {
  const events = ref === '' ? undefined : await builder.history.events(ref)
  if (!events) return undefined
  let now = 0
  const log = new ProgressLog(ref, () => now)
  for (const { at, event } of events) {
    now = at
    log.emit(event)
  }
  log.end()
  return log
}

/** Builds that run, then those that ended, newest first; and unless that is all that was asked for, what happens from then on. */
const listen = async (
  history: BuildHistory,
  { ActiveOnly, Ref, EarlyExit, Filter, Limit }: Decoded<typeof BuildHistoryRequest>,
  { signal }: Call,
  send: (event: Event) => Promise<void>,
): Promise<void> => {
  const queue: Event[] = []
  let wake = (): void => {}
  const stop = history.watch((what, ref) => {
    if (Ref !== '' && ref !== Ref) return
    const record = history.get(ref)
    if (what === 'completed' && ActiveOnly) return
    queue.push({ type: historyEvents[what], record: record ? wireOf(record) : { Ref: ref } })
    wake()
  })
  try {
    const found = history.list(Filter).filter(({ ref }) => Ref === '' || ref === Ref)
    const running = found.filter(({ completedAt }) => completedAt === undefined)
    const ended = ActiveOnly ? [] : found.filter(({ completedAt }) => completedAt !== undefined)
    for (const record of running) await send({ type: historyEvents.started, record: wireOf(record) })
    for (const record of Limit > 0 ? ended.slice(0, Limit) : ended)
      await send({ type: historyEvents.completed, record: wireOf(record) })
    if (EarlyExit) return
    signal.addEventListener('abort', () => wake(), { once: true })
    while (!signal.aborted) {
      for (const event of queue.splice(0)) await send(event)
      if (queue.length > 0 || signal.aborted) continue
      await new Promise<void>((go) => {
        wake = go
      })
    }
  } finally {
    stop()
  }
}

const described = ({ mediaType, digest, size, annotations = {} }: Descriptor) => ({
  ...{ mediaType, digest, size, annotations },
})

const wireOf = (record: BuildRecord): Partial<Decoded<typeof BuildHistoryRecord>> => {
  const { attachments, completedAt, error, externalError, steps } = record
  const results: Record<string, Partial<Decoded<typeof BuildResultInfo>>> = {}
  for (const { platform = '', descriptor } of attachments)
    (results[platform] ??= { Attestations: [] }).Attestations!.push(described(descriptor))
  const { '': Result, ...Results } = results
  return {
    ...{ Ref: record.ref, Frontend: 'dockerfile.v0', FrontendAttrs: record.attrs },
    Exporters: record.exporters.map(({ type, attrs }) => ({ Type: type, Attrs: attrs })),
    CreatedAt: timestamp(record.startedAt),
    ...(completedAt === undefined ? {} : { CompletedAt: timestamp(completedAt) }),
    ...(error ? { error: { code: error.code, message: error.message } } : {}),
    ...(externalError ? { externalError: described(externalError) } : {}),
    ...{ ExporterResponse: record.response, Result, Results, Generation: 1, pinned: record.pinned },
    ...{ numCachedSteps: steps.cached, numTotalSteps: steps.total, numCompletedSteps: steps.completed },
    numWarnings: record.warnings,
  }
}
