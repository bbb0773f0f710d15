import type { OutputChunk } from '../types.ts'

const highWater = 1 << 20
const lowWater = 256 << 10

/**
 * Output on its way to one reader, in order. It holds about a mebibyte: `onFull` asks the source to stop, `onDrained` to
 * go on. When the reader leaves, `onLeave` runs and what comes later is dropped.
 */
export class OutputBuffer implements AsyncIterable<OutputChunk> {
  #chunks: OutputChunk[] = []
  #bytes = 0
  #full = false
  #ended = false
  #left = false
  #wake: (() => void) | undefined
  readonly #on: { full?: () => void; drained?: () => void; leave?: () => void }

  constructor(on: { full?: () => void; drained?: () => void; leave?: () => void } = {}) {
    this.#on = on
  }

  get full(): boolean {
    return this.#full
  }

  push(chunk: OutputChunk): void {
    if (this.#ended || this.#left || chunk.data.length === 0) return
    this.#chunks.push(chunk)
    this.#bytes += chunk.data.length
    if (this.#bytes > highWater && !this.#full) {
      this.#full = true
      this.#on.full?.()
    }
    this.#wakeUp()
  }

  /** No more comes; what is held is still read. */
  end(): void {
    this.#ended = true
    this.#wakeUp()
  }

  /** The reader has gone. */
  leave(): void {
    if (this.#left) return
    this.#left = true
    this.#chunks = []
    this.#bytes = 0
    this.#release()
    this.#on.leave?.()
    this.#wakeUp()
  }

  #release(): void {
    if (!this.#full || this.#bytes > lowWater) return
    this.#full = false
    this.#on.drained?.()
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk> {
    try {
      for (;;) {
        while (this.#chunks.length > 0) {
          const chunks = this.#chunks
          this.#chunks = []
          for (const chunk of chunks) {
            if (this.#left) return
            this.#bytes -= chunk.data.length
            yield chunk
          }
          this.#release()
        }
        if (this.#ended || this.#left) return
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    } finally {
      this.leave()
    }
  }
}
