/** One build's view of its graph in the progress: each vertex is announced once, begins once and ends once. */
import { messageOf } from '../../errors.ts'
import type { BuildProgress } from '../types.ts'
import type { StepEvent } from './flights.ts'
import type { Vertex } from './graph.ts'

export class Report {
  readonly emit: (event: BuildProgress) => void
  readonly #now: () => number
  readonly #announced = new Set<string>()
  readonly #begun = new Set<string>()
  readonly #ended = new Set<string>()

  constructor(emit: (event: BuildProgress) => void, now: () => number) {
    this.emit = emit
    this.#now = now
  }

  announce(vertex: Vertex): void {
    if (this.#announced.has(vertex.id)) return
    this.#announced.add(vertex.id)
    this.emit({ type: 'vertex', ...vertex })
  }

  begin(vertex: Vertex, time = this.#now(), cached = false): void {
    this.announce(vertex)
    if (this.#begun.has(vertex.id)) return
    this.#begun.add(vertex.id)
    this.emit({ type: 'started', id: vertex.id, time, ...(cached && { cached }) })
  }

  end(vertex: Vertex, outcome: { cached?: boolean; error?: unknown } = {}): void {
    if (this.#ended.has(vertex.id)) return
    this.begin(vertex, undefined, outcome.cached)
    this.#ended.add(vertex.id)
    const error = outcome.error === undefined ? undefined : messageOf(outcome.error)
    this.emit({ type: 'done', id: vertex.id, time: this.#now(), cached: outcome.cached ?? false, error })
  }

  /** Ends what has begun and will never be done. */
  cancel(): void {
    for (const id of this.#begun) {
      if (this.#ended.has(id)) continue
      this.#ended.add(id)
      this.emit({ type: 'done', id, time: this.#now(), cached: false, cancelled: true })
    }
  }

  /** For Flights: what a shared step says, under this build's vertex. */
  listener(vertex: Vertex): (event: StepEvent) => void {
    return (event) => {
      if (this.#ended.has(vertex.id)) return
      if (event.type === 'begun') return this.begin(vertex, event.time)
      this.begin(vertex)
      this.emit({ ...event, id: vertex.id })
    }
  }

  /** Runs `task` as a vertex of its own. */
  async during<T>(vertex: Vertex, task: () => Promise<T>): Promise<T> {
    this.begin(vertex)
    try {
      const result = await task()
      this.end(vertex)
      return result
    } catch (error) {
      this.end(vertex, { error })
      throw error
    }
  }
}
