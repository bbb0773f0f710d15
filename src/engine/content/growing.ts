import type { FileHandle } from 'node:fs/promises'
import { SlipwayError } from '../../errors.ts'
import type { Digest } from '../../spec/oci/index.ts'

const chunkSize = 256 * 1024

interface Whole {
  digest: Digest
  size: number
}

/** A blob while it is written, for who does not wait until it is whole. Whoever was given it closes it. */
export class GrowingBlob {
  readonly #handle: FileHandle
  #size = 0
  #end: { whole: Whole } | { error: unknown } | undefined
  #waiting: (() => void)[] = []

  /** `handle` is open for reading: it stays valid when the file gets its place, or is deleted. */
  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  /** Resolves when `bytes` are there, or all; fails with what the writing fails with. */
  async reaches(bytes: number): Promise<{ size: number; whole?: Whole }> {
    while (!this.#end && this.#size < bytes) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    if (this.#end && 'error' in this.#end) throw this.#end.error
    return { size: this.#size, ...(this.#end && { whole: this.#end.whole }) }
  }

  /** From `start` to `end` or the end, as they come. What was given is overwritten when more is asked for. */
  async *bytes(start: number, end = Number.POSITIVE_INFINITY): AsyncGenerator<Uint8Array> {
    const memory = Buffer.allocUnsafeSlow(chunkSize)
    for (let at = start; at < end; ) {
      const { size } = await this.reaches(Math.min(at + chunkSize, end))
      const length = Math.min(chunkSize, size - at, end - at)
      if (length <= 0) return
      const { bytesRead } = await this.#handle.read(memory, 0, length, at)
      if (bytesRead === 0) throw new SlipwayError('internal', 'a blob was cut off while it was written')
      yield memory.subarray(0, bytesRead)
      at += bytesRead
    }
  }

  /** Who still reads fails. */
  close(): Promise<void> {
    return this.#handle.close()
  }

  grew(size: number): void {
    this.#size = size
    this.#wake()
  }

  ended(end: { whole: Whole } | { error: unknown }): void {
    this.#end ??= end
    this.#wake()
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const go of waiting) go()
  }
}
