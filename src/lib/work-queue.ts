import type { Clock } from './clock.ts'

interface WorkQueueOptions {
  clock: Clock
  /** At most this many keys are worked on at once. */
  workers: number
  /** Ends everything: no key is started after it. */
  signal: AbortSignal
  /** Works on one key. A rejection brings the key back later, ever more so (5 ms doubling to 60 s, with jitter). */
  work(key: string): Promise<void>
  onError(key: string, error: unknown): void
}

/**
 * A queue of keys: a key waits at most once, is never worked on twice at the same time, and comes again when it was added
 * while being worked on. Bounded by the number of distinct keys. Work starts on the next turn of the event loop, so that
 * a burst of adds is one piece of work and input and output keep their turn.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions
  readonly #waiting = new Set<string>()
  readonly #running = new Set<string>()
  readonly #again = new Set<string>()
  readonly #failures = new Map<string, number>()
  readonly #timers = new Map<string, { at: number; cancel: AbortController }>()
  #pumping = false

  constructor(options: WorkQueueOptions) {
    this.#options = options
    options.signal.addEventListener('abort', () => this.#close(), { once: true })
  }

  /** Nothing waits, runs or is timed: for tests. */
  get idle(): boolean {
    return this.#waiting.size === 0 && this.#running.size === 0
  }

  add(key: string): void {
    if (this.#options.signal.aborted) return
    if (this.#running.has(key)) {
      this.#again.add(key)
      return
    }
    this.#waiting.add(key)
    this.#pump()
  }

  /** Adds the key after `ms`; the earliest of several such wishes counts. */
  addAfter(key: string, ms: number): void {
    const { clock, signal } = this.#options
    if (signal.aborted) return
    if (ms <= 0) {
      this.add(key)
      return
    }
    // Node's timers hold at most 2^31 - 1 ms; a key that comes too early finds nothing to do and asks again.
    const at = clock.now() + Math.min(ms, 2_000_000_000)
    const known = this.#timers.get(key)
    if (known && known.at <= at) return
    known?.cancel.abort()
    const timer = { at, cancel: new AbortController() }
    this.#timers.set(key, timer)
    clock.sleep(at - clock.now(), timer.cancel.signal).then(
      () => {
        if (this.#timers.get(key) === timer) this.#timers.delete(key)
        this.add(key)
      },
      () => {},
    )
  }

  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    setImmediate(() => {
      this.#pumping = false
      for (const key of this.#waiting) {
        if (this.#running.size >= this.#options.workers) return
        this.#waiting.delete(key)
        void this.#run(key)
      }
    })
  }

  async #run(key: string): Promise<void> {
    const { work, onError, signal, clock } = this.#options
    if (signal.aborted) return
    this.#running.add(key)
    try {
      await work(key)
      this.#failures.delete(key)
    } catch (error) {
      if (!signal.aborted) {
        onError(key, error)
        const failures = this.#failures.get(key) ?? 0
        this.#failures.set(key, failures + 1)
        this.addAfter(key, Math.min(60_000, 5 * 2 ** Math.min(failures, 14)) * (0.75 + clock.random() / 2))
      }
    }
    this.#running.delete(key)
    if (this.#again.delete(key)) this.add(key)
    else if (this.#waiting.size > 0) this.#pump()
  }

  #close(): void {
    this.#waiting.clear()
    this.#again.clear()
    for (const { cancel } of this.#timers.values()) cancel.abort()
    this.#timers.clear()
  }
}
