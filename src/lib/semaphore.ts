import { cancelled, unlessAborted } from './cancel.ts'

/** At most `limit` tasks at once, the rest wait in order. */
export class Semaphore {
  #free: number
  #waiting: (() => void)[] = []

  constructor(limit: number) {
    this.#free = limit
  }

  /** A task that has not begun when the signal is aborted never does. */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) throw cancelled(signal)
    if (this.#free > 0) this.#free--
    else await this.#turn(signal)
    try {
      return await task()
    } finally {
      this.#next()
    }
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    let go = (): void => {}
    const turn = new Promise<void>((resolve) => {
      go = resolve
      this.#waiting.push(go)
    })
    try {
      await unlessAborted(signal, turn)
    } catch (error) {
      const at = this.#waiting.indexOf(go)
      if (at >= 0) this.#waiting.splice(at, 1)
      // Its turn had come already.
      else this.#next()
      throw error
    }
  }

  #next(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}
