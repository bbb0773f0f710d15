import { cancelled, unlessAborted } from './cancel.ts'

/** Runs one task at a time per key, in order of arrival. Keys without a task take no memory. */
export class KeyedMutex {
  #tails = new Map<string, Promise<unknown>>()

  /** A task that has not begun when the signal is aborted never does. */
  async run<T>(key: string, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    let begun = false
    const begin = (): Promise<T> => {
      if (signal?.aborted) throw cancelled(signal)
      begun = true
      return task()
    }
    const mine = before.then(begin, begin)
    const tail = mine.then(
      () => {},
      () => {},
    )
    this.#tails.set(key, tail)
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    })
    // Who gives up while waiting is told at once; one that has begun is waited for.
    await unlessAborted(signal, before).catch((error: unknown) => {
      if (!begun) throw error
    })
    return await mine
  }
}
