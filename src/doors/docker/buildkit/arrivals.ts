/** Things that connections name by id, possibly before they are there: clients open several connections at once. */
import { SlipwayError } from '../../../errors.ts'

/** As long as BuildKit waits. */
const patience = 5_000

export class Arrivals<T> {
  readonly #what: string
  readonly #there = new Map<string, T>()
  readonly #waiting = new Map<string, Set<(value: T) => void>>()

  /** `what` is for the error: 'no active session for ID'. */
  constructor(what: string) {
    this.#what = what
  }

  add(id: string, value: T): void {
    this.#there.set(id, value)
    for (const tell of this.#waiting.get(id) ?? []) tell(value)
    this.#waiting.delete(id)
  }

  /** Nothing when another one has taken its place. */
  remove(id: string, value: T): void {
    if (this.#there.get(id) === value) this.#there.delete(id)
  }

  has(id: string): boolean {
    return this.#there.has(id)
  }

  values(): T[] {
    return [...this.#there.values()]
  }

  async get(id: string, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted()
    const found = this.#there.get(id)
    if (found !== undefined) return found
    return await new Promise<T>((resolve, reject) => {
      const waiting = this.#waiting.get(id) ?? new Set()
      this.#waiting.set(id, waiting)
      const finish = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', fail)
        waiting.delete(tell)
        if (waiting.size === 0 && this.#waiting.get(id) === waiting) this.#waiting.delete(id)
      }
      const tell = (value: T): void => {
        finish()
        resolve(value)
      }
      const fail = (): void => {
        finish()
        reject(signal.aborted ? signal.reason : new SlipwayError('not-found', `no ${this.#what} for ${id}`))
      }
      const timer = setTimeout(fail, patience)
      signal.addEventListener('abort', fail, { once: true })
      waiting.add(tell)
    })
  }
}
