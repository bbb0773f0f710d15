/** Steps under way, shared by all builds that want the same one. */

import type { OutputChunk } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'

/** What a step reports while it runs; each build shows it under its own vertex. */
export type StepEvent =
  | { type: 'log'; stream: OutputChunk['stream']; data: Buffer }
  | { type: 'status'; name: string; current: number; total?: number | undefined }
  | { type: 'begun'; time: number }

export interface StepContext {
  signal: AbortSignal
  emit(event: StepEvent): void
}

/** Output kept for builds that join later, in bytes. */
const backlogLimit = 1024 * 1024

class Flight<T> {
  readonly #abort = new AbortController()
  readonly #listeners = new Set<(event: StepEvent) => void>()
  #backlog: StepEvent[] = []
  #size = 0
  readonly result: Promise<T>

  constructor(start: (context: StepContext) => Promise<T>) {
    this.result = start({ signal: this.#abort.signal, emit: (event) => this.#emit(event) })
    // Whoever waits sees the error; nobody waiting any more is no reason to crash.
    this.result.catch(() => {})
  }

  get abandoned(): boolean {
    return this.#abort.signal.aborted
  }

  #emit(event: StepEvent): void {
    this.#backlog.push(event)
    this.#size += event.type === 'log' ? event.data.length : 100
    while (this.#size > backlogLimit && this.#backlog.length > 1) {
      const dropped = this.#backlog.shift()!
      this.#size -= dropped.type === 'log' ? dropped.data.length : 100
    }
    for (const listener of this.#listeners) listener(event)
  }

  async join(listener: (event: StepEvent) => void, signal: AbortSignal | undefined): Promise<T> {
    for (const event of this.#backlog) listener(event)
    this.#listeners.add(listener)
    let stop: (() => void) | undefined
    const left = new Promise<never>((_, reject) => {
      stop = (): void => reject(cancelled())
      signal?.addEventListener('abort', stop, { once: true })
    })
    left.catch(() => {})
    try {
      if (signal?.aborted) throw cancelled()
      return await Promise.race([this.result, left])
    } finally {
      signal?.removeEventListener('abort', stop!)
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0 && signal?.aborted) {
        this.#abort.abort(signal.reason)
        // The build ends only when the step has: nothing of it may be left running or mounted.
        await this.result.catch(() => {})
      }
    }
  }
}

export const cancelled = (): SlipwayError => new SlipwayError('cancelled', 'build canceled')

export class Flights<T> {
  #running = new Map<string, Flight<T>>()

  /** Joins the step under way for `key`, or starts it. It is aborted when every build that wanted it has been. */
  async run(
    key: string,
    listener: (event: StepEvent) => void,
    signal: AbortSignal | undefined,
    start: (context: StepContext) => Promise<T>,
  ): Promise<T> {
    let flight = this.#running.get(key)
    if (!flight || flight.abandoned) {
      const mine: Flight<T> = new Flight(async (context) => {
        // Not before it is registered: a start that fails at once must still be found and removed.
        await Promise.resolve()
        try {
          return await start(context)
        } finally {
          if (this.#running.get(key) === mine) this.#running.delete(key)
        }
      })
      flight = mine
      this.#running.set(key, flight)
    }
    return await flight.join(listener, signal)
  }

  get keys(): string[] {
    return [...this.#running.keys()]
  }
}
