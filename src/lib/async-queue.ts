/**
 * A bounded queue between a synchronous producer and one asynchronous consumer. When the consumer is `limit` items behind,
 * the queue is closed with `overflow()` as its last item (or its error), and later pushes are dropped.
 */
export class AsyncQueue<T> implements AsyncIterable<T> {
  #items: T[] = []
  #head = 0
  #wake: (() => void) | undefined
  #closed = false
  #error: unknown
  #failed = false
  readonly #limit: number
  readonly #onOverflow: ((queue: AsyncQueue<T>) => void) | undefined
  #onClose: (() => void) | undefined

  constructor(limit: number, more: { onOverflow?: (queue: AsyncQueue<T>) => void; onClose?: () => void } = {}) {
    this.#limit = limit
    this.#onOverflow = more.onOverflow
    this.#onClose = more.onClose
  }

  get closed(): boolean {
    return this.#closed
  }

  /** False when the queue is closed, or closed because of this item. `force` ignores the bound (for a last word). */
  push(item: T, force = false): boolean {
    if (this.#closed) return false
    if (!force && this.#items.length - this.#head >= this.#limit) {
      this.#onOverflow?.(this)
      this.close()
      return false
    }
    this.#items.push(item)
    this.#wakeUp()
    return true
  }

  /** What is queued is still delivered; then the iteration ends, or throws `error`. */
  close(error?: unknown): void {
    if (this.#closed) return
    this.#closed = true
    if (error !== undefined) {
      this.#failed = true
      this.#error = error
    }
    this.#onClose?.()
    this.#onClose = undefined
    this.#wakeUp()
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    try {
      for (;;) {
        while (this.#head < this.#items.length) {
          const item = this.#items[this.#head]!
          this.#head++
          if (this.#head === this.#items.length) {
            this.#items = []
            this.#head = 0
          }
          yield item
        }
        if (this.#failed) throw this.#error
        if (this.#closed) return
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    } finally {
      this.#items = []
      this.#head = 0
      this.close()
    }
  }
}
