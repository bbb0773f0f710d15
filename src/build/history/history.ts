/** Builds that were: what was asked for, what came of it, and all that was told meanwhile. */
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import { mediaTypes, sha256 } from '../../spec/oci/index.ts'
import type { Attestation } from '../attest/statement.ts'
import type { BuildHistory, BuildProgress, BuildRecord, BuildRequest, ExportResponse, RecordedError } from '../types.ts'
import { matcher } from './filter.ts'
import type { HistoryRow, HistoryRows } from './rows.ts'

/** As BuildKit: what is beyond so many and older than this (ms) goes. */
const mostKept = 50
const lifeMs = 48 * 60 * 60 * 1000
/** Bytes of steps' output that are kept of one build. */
const mostOutput = 2 << 20

interface Told {
  at: number
  event: BuildProgress
}
type Events = (Omit<Told, 'event'> & { event: Exclude<BuildProgress, { type: 'log' }> | PackedLog })[]
type PackedLog = Omit<Extract<BuildProgress, { type: 'log' }>, 'data'> & { base64: string }

/** A build under way, as the builder sees it. */
interface Recording {
  progress(event: BuildProgress): void
  attested(attestation: Attestation, platform: string | undefined): void
}

export class History implements BuildHistory {
  readonly #rows: HistoryRows
  readonly #now: () => number
  readonly #running = new Map<string, { row: HistoryRow; events: Told[] }>()
  readonly #listeners = new Set<Parameters<BuildHistory['watch']>[0]>()

  constructor(rows: HistoryRows, now: () => number) {
    this.#rows = rows
    this.#now = now
  }

  /** Performs a build and records it. */
  async during<T>(
    request: BuildRequest,
    record: Named,
    task: (request: BuildRequest) => Promise<T>,
    responseOf: (result: T) => ExportResponse,
  ): Promise<T> {
    const row = begun(record, this.#now())
    const recording = this.#record(row)
    const told = (event: BuildProgress): void => {
      recording.progress(event)
      request.progress(event)
    }
    try {
      const onAttestation = recording.attested
      const result = await task({ ...request, progress: told, record: { ...record, onAttestation } })
      await this.#complete(row, { response: responseOf(result) })
      return result
    } catch (error) {
      await this.#complete(row, { error: record.describe?.(error) ?? plainError(error) })
      throw error
    }
  }

  list(filters: readonly string[] = []): BuildRecord[] {
    const fits = matcher(filters, this.#now())
    const running = [...this.#running.values()].map(({ row }) => row)
    return [...running, ...this.#rows.all()]
      .map(recordOf)
      .filter(fits)
      .sort((a, b) => b.startedAt - a.startedAt)
  }

  get(ref: string): BuildRecord | undefined {
    const row = this.#running.get(ref)?.row ?? this.#rows.get(ref)
    return row && recordOf(row)
  }

  async events(ref: string): Promise<Told[] | undefined> {
    const data = this.#rows.events(ref)
    if (!data) return undefined
    const events = JSON.parse((await promisify(gunzip)(data)).toString('utf8')) as Events
    return events.map(({ at, event }) => {
      if (event.type !== 'log') return { at, event }
      const { base64, ...rest } = event as PackedLog
      return { at, event: { ...rest, data: Buffer.from(base64, 'base64') } }
    })
  }

  blob(digest: string): Uint8Array | undefined {
    return this.#rows.blob(digest)
  }

  remove(ref: string): void {
    if (!this.#rows.get(ref)) throw noRecord(ref)
    this.#rows.remove(ref)
    this.#tell('deleted', ref)
  }

  pin(ref: string, pinned: boolean): void {
    if (!this.#rows.setPinned(ref, pinned)) throw noRecord(ref)
    this.#tell('completed', ref)
  }

  watch(listener: Parameters<BuildHistory['watch']>[0]): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #record(row: HistoryRow): Recording {
    const events: Told[] = []
    this.#running.set(row.ref, { row, events })
    this.#tell('started', row.ref)
    const count = counting(row)
    let output = 0
    return {
      progress: (event) => {
        count(event)
        if (event.type === 'log' && (output += event.data.length) > mostOutput) return
        events.push({ at: this.#now(), event })
      },
      attested: ({ predicateType, predicate }, platform) => {
        const data = Buffer.from(JSON.stringify(predicate))
        const annotations = { 'in-toto.io/predicate-type': predicateType }
        const descriptor = { mediaType: mediaTypes.inToto, digest: sha256(data), size: data.length, annotations }
        row.attachments.push({ platform, descriptor })
        row.blobs.push({ digest: descriptor.digest, data })
      },
    }
  }

  async #complete(row: HistoryRow, outcome: { response?: ExportResponse; error?: RecordedError }): Promise<void> {
    const { events } = this.#running.get(row.ref)!
    row.completedAt = this.#now()
    row.response = outcome.response ?? {}
    if (outcome.error) {
      const { code, message, status } = outcome.error
      row.error = { code, message }
      if (status) {
        const descriptor = {
          mediaType: 'application/vnd.googleapis.google.rpc.status+proto',
          digest: sha256(status),
          size: status.length,
        }
        row.externalError = descriptor
        row.blobs.push({ digest: descriptor.digest, data: status })
      }
    }
    const packed = await promisify(gzip)(JSON.stringify(events.map(storable)), { level: 1 })
    this.#rows.add(row, packed)
    this.#running.delete(row.ref)
    this.#tell('completed', row.ref)
    for (const ref of this.#rows.overdue(mostKept, this.#now() - lifeMs)) this.remove(ref)
  }

  #tell(what: Parameters<Parameters<BuildHistory['watch']>[0]>[0], ref: string): void {
    for (const listener of this.#listeners) listener(what, ref)
  }
}

const noRecord = (ref: string): SlipwayError => new SlipwayError('not-found', `no record found for ref ${ref}`)

const plainError = (error: unknown): RecordedError => ({
  code: isError(error, 'cancelled') ? 1 : 2,
  message: messageOf(error),
})

type Named = Exclude<NonNullable<BuildRequest['record']>, 'none'>

const begun = ({ ref, attrs, exporters }: Named, startedAt: number): HistoryRow => ({
  ...{ ref, attrs: { ...attrs }, exporters: [...exporters], startedAt, completedAt: undefined, error: undefined },
  ...{ externalError: undefined, response: {}, steps: { total: 0, completed: 0, cached: 0 }, warnings: 0 },
  ...{ pinned: false, attachments: [], blobs: [] },
})

const recordOf = ({ blobs: _, ...record }: HistoryRow): BuildRecord => record

const counting = (row: HistoryRow): ((event: BuildProgress) => void) => {
  const seen = new Set<string>()
  const ended = new Set<string>()
  return (event) => {
    if (event.type === 'warning') row.warnings++
    if (event.type === 'vertex' && !seen.has(event.id)) {
      seen.add(event.id)
      row.steps.total++
    }
    if (event.type !== 'done' || ended.has(event.id)) return
    ended.add(event.id)
    if (event.error !== undefined || event.cancelled) return
    row.steps.completed++
    if (event.cached) row.steps.cached++
  }
}

const storable = ({ at, event }: Told): Events[number] => {
  if (event.type !== 'log') return { at, event }
  const { data, ...rest } = event
  return { at, event: { ...rest, base64: data.toString('base64') } }
}
