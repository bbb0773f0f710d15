/** gRPC's framing of messages in a stream of bytes: one byte of flags, four of length. */
import { SlipwayError } from '../../../errors.ts'

/** As BuildKit's own limit, with room for a chunk's envelope. */
const largest = 64 * 1024 * 1024

export const frameOf = (payload: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(payload.length, 1)
  return Buffer.concat([head, payload])
}

/** Cuts chunks as they come into messages. */
export class Unframer {
  #rest: Buffer = Buffer.alloc(0)
  /** Chunks of a message that is not complete, and how many bytes they have together. */
  #waiting: Buffer[] = []
  #size = 0
  #wanted = 5

  push(chunk: Buffer): Buffer[] {
    const found: Buffer[] = []
    this.#waiting.push(chunk)
    this.#size += chunk.length
    if (this.#size < this.#wanted) return found
    this.#rest = this.#waiting.length === 1 ? chunk : Buffer.concat(this.#waiting)
    for (;;) {
      this.#wanted = 5
      if (this.#rest.length < 5) break
      if (this.#rest[0] !== 0) throw new SlipwayError('unsupported', 'compressed gRPC messages are not supported')
      const length = this.#rest.readUInt32BE(1)
      if (length > largest) throw new SlipwayError('bad-request', `gRPC message of ${length} bytes is too large`)
      this.#wanted = 5 + length
      if (this.#rest.length < this.#wanted) break
      const payload = this.#rest.subarray(5, this.#wanted)
      this.#rest = this.#rest.subarray(this.#wanted)
      found.push(payload)
    }
    this.#waiting = this.#rest.length > 0 ? [this.#rest] : []
    this.#size = this.#rest.length
    return found
  }
}
