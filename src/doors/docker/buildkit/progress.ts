/** A build's progress as moby.buildkit.v1.StatusResponse messages, for whoever follows it, also from its middle. */
import { createHash } from 'node:crypto'
import type { BuildProgress } from '../../../build/types.ts'
import type { StatusResponse, Timestamp, Vertex, VertexStatus } from './messages.ts'
import type { Decoded } from './protobuf.ts'

type Status = Partial<Decoded<typeof StatusResponse>>
type VertexState = Partial<Decoded<typeof Vertex>> & { digest: string }
type StatusState = Partial<Decoded<typeof VertexStatus>>

/** Output beyond this that nobody has fetched yet is dropped, oldest first. */
const mostLogBytes = 16 * 1024 * 1024
/** Events this close together (ms) go out in one message. */
const pause = 30
/** Well under what clients take in one message. */
const largest = 512 * 1024

export const timestamp = (ms: number): Partial<Decoded<typeof Timestamp>> => ({
  seconds: Math.floor(ms / 1000),
  nanos: Math.floor((ms % 1000) * 1e6),
})

export class ProgressLog {
  readonly #salt: string
  readonly #now: () => number
  readonly #history: { status: Status; logBytes: number }[] = []
  readonly #vertices = new Map<string, { vertex: VertexState; statuses: Map<string, StatusState> }>()
  readonly #followers = new Set<() => void>()
  #pending: Status | undefined
  #pendingBytes = 0
  #logBytes = 0
  #lastStart = 0
  /** Entries at the beginning of the history that have lost their output. */
  #stripped = 0
  #timer: NodeJS.Timeout | undefined
  /** Warnings about the Dockerfile are shown where it was read. */
  #definition: string | undefined
  #ended = false
  /** Digest of the first vertex that failed by itself. */
  failed: string | undefined

  /** `salt` makes ids unique among builds. */
  constructor(salt: string, now: () => number) {
    this.#salt = salt
    this.#now = now
  }

  emit(event: BuildProgress): void {
    if (this.#ended) return
    switch (event.type) {
      case 'vertex':
        this.#vertex(event.id, { name: event.name })
        if (event.name.startsWith('[internal] load build definition')) this.#definition = this.#digest(event.id)
        break
      case 'started':
        // Clients sort by it: what began in one millisecond keeps its order.
        this.#lastStart = Math.max(event.time, this.#lastStart + 0.001)
        this.#vertex(event.id, { started: timestamp(this.#lastStart) })
        break
      case 'done': {
        const error = event.cancelled ? 'context canceled' : event.error
        if (event.error !== undefined && !event.cancelled) this.failed ??= this.#digest(event.id)
        // Not before it started.
        const time = Math.max(event.time, this.#lastStart)
        this.#finishStatuses(event.id, time)
        this.#vertex(event.id, {
          ...{ completed: timestamp(time), cached: event.cached },
          ...(error === undefined ? {} : { error }),
        })
        break
      }
      case 'status':
        this.#status(event)
        break
      case 'log':
        this.#log(event.id, event.stream === 'stderr' ? 2 : 1, event.data)
        break
      case 'warning':
        this.#warning(event)
        break
      case 'notice':
        this.#notice(event.message)
        break
      case 'outline':
        break
    }
  }

  end(): void {
    this.#flush()
    this.#ended = true
    this.#wake()
  }

  /** Everything from the start to the end of the build. */
  async *follow(signal: AbortSignal): AsyncGenerator<Status> {
    let next = 0
    for (;;) {
      const entry = this.#history[next]
      if (entry) {
        next++
        yield entry.status
        continue
      }
      if (this.#ended || signal.aborted) return
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', wake)
          this.#followers.delete(wake)
          resolve()
        }
        this.#followers.add(wake)
        signal.addEventListener('abort', wake, { once: true })
      })
    }
  }

  #digest(id: string): string {
    return `sha256:${createHash('sha256').update(`${this.#salt} ${id}`).digest('hex')}`
  }

  #state(id: string) {
    let state = this.#vertices.get(id)
    if (!state) {
      state = { vertex: { digest: this.#digest(id) }, statuses: new Map() }
      this.#vertices.set(id, state)
    }
    return state
  }

  /** Clients keep the last message about a vertex, so each has all that is known. */
  #vertex(id: string, change: Partial<VertexState>): void {
    const state = this.#state(id)
    state.vertex = { ...state.vertex, ...change }
    this.#add({ vertexes: [state.vertex] }, 200)
  }

  #status(event: Extract<BuildProgress, { type: 'status' }>): void {
    const { vertex, statuses } = this.#state(event.id)
    const now = timestamp(this.#now())
    const name = event.name.replace(/^transferring [^:]*$/, '$&:')
    const status: StatusState = {
      ID: name,
      vertex: vertex.digest,
      name,
      current: event.current,
      total: event.total ?? 0,
      timestamp: now,
      started: statuses.get(name)?.started ?? now,
    }
    statuses.set(name, status)
    this.#add({ statuses: [status] }, 200)
  }

  #finishStatuses(id: string, time: number): void {
    const { statuses } = this.#state(id)
    for (const status of statuses.values())
      this.#add({ statuses: [{ ...status, timestamp: timestamp(time), completed: timestamp(time) }] }, 200)
    statuses.clear()
  }

  #log(id: string, stream: number, msg: Uint8Array): void {
    const { digest } = this.#state(id).vertex
    this.#add({ logs: [{ vertex: digest, timestamp: timestamp(this.#now()), stream, msg }] }, msg.length)
    this.#logBytes += msg.length
    while (this.#logBytes > mostLogBytes && this.#stripped < this.#history.length) {
      const old = this.#history[this.#stripped++]!
      this.#logBytes -= old.logBytes
      delete old.status.logs
    }
  }

  #warning(event: Extract<BuildProgress, { type: 'warning' }>): void {
    const line = event.at.line ?? 1
    this.#add(
      {
        warnings: [
          {
            vertex: this.#definition ?? this.#anyVertex(),
            level: 1,
            detail: [Buffer.from(event.description)],
            short: Buffer.from(`${event.rule}: ${event.message} (line ${line})`),
            url: event.url,
            info: {
              ...{ filename: event.at.file, data: this.source?.(event.at.file) ?? Buffer.alloc(0) },
              language: 'Dockerfile',
            },
            ranges: [{ start: { line }, end: { line: Math.max(line, event.endLine) } }],
          },
        ],
      },
      4096,
    )
  }

  /** The text of the Dockerfile: clients show its lines themselves. */
  source: ((file: string) => Uint8Array | undefined) | undefined

  #notice(message: string): void {
    this.#add({ warnings: [{ vertex: this.#anyVertex(), level: 1, short: Buffer.from(message) }] }, message.length)
  }

  #anyVertex(): string {
    return [...this.#vertices.values()].at(-1)?.vertex.digest ?? this.#digest('build')
  }

  #add(status: Status, bytes: number): void {
    const pending = (this.#pending ??= {})
    for (const [key, values] of Object.entries(status) as [keyof Status, unknown[]][]) {
      const list = (pending[key] ??= []) as unknown[]
      list.push(...values)
    }
    this.#pendingBytes += bytes
    if (this.#pendingBytes > largest) this.#flush()
    else this.#timer ??= setTimeout(() => this.#flush(), pause)
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (!this.#pending) return
    const logBytes = (this.#pending.logs ?? []).reduce((sum, { msg }) => sum + (msg?.length ?? 0), 0)
    this.#history.push({ status: this.#pending, logBytes })
    this.#pending = undefined
    this.#pendingBytes = 0
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#followers) wake()
  }
}
