/** SPDY/3.1 frames on the wire (draft-mbelshe-httpbis-spdy-00, 2.2), without meaning. */
import { createInflate, type Inflate } from 'node:zlib'
import { dictionary, dictionaryId } from './dictionary.ts'

export const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const
export const flagFin = 1
/** No frame we take is longer; SPDY allows 16 MiB. */
const maxFrame = 16 * 1024 * 1024

export type Headers = Record<string, string>
export type Frame =
  | { kind: 'data'; stream: number; fin: boolean; data: Buffer }
  | { kind: 'control'; type: number; flags: number; payload: Buffer }

export const dataFrameHead = (stream: number, fin: boolean, size: number): Buffer => {
  const head = Buffer.allocUnsafe(8)
  head.writeUInt32BE(stream & 0x7fffffff, 0)
  head.writeUInt32BE(size, 4)
  head[4] = fin ? flagFin : 0
  return head
}
export const controlFrame = (type: number, flags: number, payload: Buffer): Buffer => {
  const head = Buffer.allocUnsafe(8)
  head.writeUInt16BE(0x8003, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt32BE(payload.length, 4)
  head[4] = flags
  return Buffer.concat([head, payload])
}
export const uint32s = (...values: number[]): Buffer => {
  const bytes = Buffer.allocUnsafe(values.length * 4)
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, i * 4)
  return bytes
}

/** Cuts a byte stream into frames. */
export class FrameParser {
  #rest: Buffer = Buffer.alloc(0)

  /** The frames completed by `chunk`. Throws on what is no SPDY/3. */
  push(chunk: Buffer): Frame[] {
    let bytes = this.#rest.length ? Buffer.concat([this.#rest, chunk]) : chunk
    const frames: Frame[] = []
    while (bytes.length >= 8) {
      const flags = bytes[4]!
      const size = bytes.readUInt32BE(4) & 0xffffff
      if (size > maxFrame) throw new Error('SPDY frame too long')
      if (bytes.length < 8 + size) break
      const payload = bytes.subarray(8, 8 + size)
      if (bytes[0]! & 0x80) {
        if ((bytes.readUInt16BE(0) & 0x7fff) !== 3) throw new Error('not SPDY/3')
        frames.push({ kind: 'control', type: bytes.readUInt16BE(2), flags, payload })
      } else {
        const stream = bytes.readUInt32BE(0)
        frames.push({ kind: 'data', stream, fin: (flags & flagFin) !== 0, data: payload })
      }
      bytes = bytes.subarray(8 + size)
    }
    this.#rest = bytes
    return frames
  }
}

/**
 * Writes header blocks. All blocks of a connection are one zlib stream; stored (uncompressed) deflate blocks are allowed in
 * it and need no state, so that is what we send.
 */
export class HeaderWriter {
  #begun = false

  encode(headers: Headers): Buffer {
    const entries = Object.entries(headers)
    const parts = [uint32s(entries.length)]
    for (const [name, value] of entries) {
      for (const text of [name.toLowerCase(), value]) {
        const bytes = Buffer.from(text, 'utf8')
        parts.push(uint32s(bytes.length), bytes)
      }
    }
    const block = Buffer.concat(parts)
    const out: Buffer[] = []
    // zlib header with FDICT set, then the dictionary's identity.
    if (!this.#begun) out.push(Buffer.from([0x78, 0xbb]), uint32s(dictionaryId))
    this.#begun = true
    for (let at = 0; at < block.length; at += 0xffff) {
      const part = block.subarray(at, at + 0xffff)
      const head = Buffer.from([0, 0, 0, 0, 0])
      head.writeUInt16LE(part.length, 1)
      head.writeUInt16LE(~part.length & 0xffff, 3)
      out.push(head, part)
    }
    // As a sync flush: Go's inflate hands out a stored block only when it sees what comes after.
    out.push(Buffer.from([0, 0, 0, 0xff, 0xff]))
    return Buffer.concat(out)
  }
}

/** Reads header blocks, in the order in which they came. */
export class HeaderReader {
  readonly #inflate: Inflate = createInflate({ dictionary })
  #failed: Error | undefined

  constructor() {
    this.#inflate.on('error', (error) => {
      this.#failed = error
    })
  }

  async decode(block: Buffer): Promise<Headers> {
    const parts: Buffer[] = []
    const take = (): void => {
      for (let part: Buffer | null; (part = this.#inflate.read() as Buffer | null); ) parts.push(part)
    }
    this.#inflate.on('readable', take)
    try {
      await new Promise<void>((resolve, reject) => {
        this.#inflate.write(block, (error) => (error ? reject(error) : resolve()))
      })
      take()
    } finally {
      this.#inflate.off('readable', take)
    }
    if (this.#failed) throw this.#failed
    return parseHeaders(Buffer.concat(parts))
  }

  close(): void {
    this.#inflate.close()
  }
}

const parseHeaders = (bytes: Buffer): Headers => {
  const headers: Headers = {}
  let at = 4
  const text = (): string => {
    const size = bytes.readUInt32BE(at)
    at += 4 + size
    if (at > bytes.length) throw new Error('SPDY header block cut short')
    return bytes.toString('utf8', at - size, at)
  }
  for (let count = bytes.readUInt32BE(0); count > 0; count--) {
    const name = text()
    headers[name] = text()
  }
  return headers
}
