/**
 * Zstandard as RFC 8878 has it: any number of frames, one after the other, some of them to be skipped. Node's decompressor
 * takes the first one for the whole; programs that write frames apart (pzstd, zstd:chunked layers) have thousands.
 */
import { Duplex, pipeline } from 'node:stream'
import { createZstdDecompress, zstdDecompressSync } from 'node:zlib'
import { SlipwayError } from '../../errors.ts'

/** A piece of one frame. */
interface Piece {
  data: Uint8Array
  last: boolean
}
type Step = 'magic' | 'descriptor' | 'header' | 'block' | 'content' | 'checksum' | 'length' | 'skipped'

const frameMagic = 0xfd2fb528
const isSkippable = (magic: number): boolean => magic >>> 4 === 0x184d2a5
const magicSize = 4
const dictionarySizes = [0, 1, 2, 4]
const contentSizes = [0, 2, 4, 8]

/** Finds where frames end, without decompressing them. */
class FrameSplitter {
  #step: Step = 'magic'
  /** Of the current step: bytes to come, and what has come of those that are looked at. */
  #left = magicSize
  #seen: number[] = []
  #checksum = false
  #lastBlock = false

  /** Is this where a frame may end? */
  get between(): boolean {
    return this.#step === 'magic' && this.#seen.length === 0
  }

  /** Pieces of `chunk`'s memory, but for the first bytes of each frame. Frames to be skipped are not told. */
  *push(chunk: Uint8Array): Generator<Piece> {
    let [from, at] = [0, 0]
    while (at < chunk.length || this.#left === 0) {
      const n = Math.min(this.#left, chunk.length - at)
      if (!['content', 'skipped'].includes(this.#step)) this.#seen.push(...chunk.subarray(at, at + n))
      at += n
      this.#left -= n
      if (this.#left > 0) break
      const over = this.#step
      const seen = Buffer.from(this.#seen)
      this.#seen = []
      ;[this.#step, this.#left] = this.#next(seen)
      // Until it was known what it is, it was not passed on.
      if (over === 'magic' && this.#step === 'descriptor') yield { data: seen, last: false }
      if (over === 'magic' || over === 'skipped') from = at
      else if (this.#step === 'magic') {
        yield { data: chunk.subarray(from, at), last: true }
        from = at
      }
    }
    const passing = !['magic', 'length', 'skipped'].includes(this.#step)
    if (passing && at > from) yield { data: chunk.subarray(from, at), last: false }
  }

  /** What has come of the step decides what is next. */
  #next(seen: Buffer): [step: Step, bytes: number] {
    switch (this.#step) {
      case 'magic': {
        const magic = seen.readUInt32LE()
        if (magic === frameMagic) return ['descriptor', 1]
        if (isSkippable(magic)) return ['length', 4]
        throw new SlipwayError('invalid', 'cannot decompress: no Zstandard frame where one should begin')
      }
      case 'descriptor': {
        const flags = seen[0]!
        const single = (flags & 0x20) !== 0
        this.#checksum = (flags & 0x04) !== 0
        const content = single && flags >> 6 === 0 ? 1 : contentSizes[flags >> 6]!
        return ['header', (single ? 0 : 1) + dictionarySizes[flags & 3]! + content]
      }
      case 'header':
        return ['block', 3]
      case 'block': {
        const header = seen.readUIntLE(0, 3)
        this.#lastBlock = (header & 1) !== 0
        // One that repeats a byte has only that.
        return ['content', ((header >> 1) & 3) === 1 ? 1 : header >>> 3]
      }
      case 'content':
        if (!this.#lastBlock) return ['block', 3]
        return this.#checksum ? ['checksum', 4] : ['magic', magicSize]
      case 'length':
        return ['skipped', seen.readUInt32LE()]
      case 'checksum':
      case 'skipped':
        return ['magic', magicSize]
    }
  }
}

/** Frames up to so many bytes, and their content, are not worth a stream of their own. */
const smallFrame = 1 << 20
const smallContent = 4 << 20

export const createUnzstd = (chunkSize: number): Duplex =>
  Duplex.from(async function* (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const pieces = piecesOf(source)
    for (;;) {
      const frame: Uint8Array[] = []
      let [size, whole] = [0, false]
      while (!whole && size <= smallFrame) {
        const { value, done } = await pieces.next()
        if (done) break
        frame.push(value.data)
        size += value.data.length
        whole = value.last
      }
      if (size === 0) return
      const small = whole && size <= smallFrame ? smallPlain(Buffer.concat(frame)) : undefined
      if (small) {
        if (small.length > 0) yield small
        continue
      }
      const rest = async function* (): AsyncGenerator<Uint8Array> {
        yield* frame
        while (!whole) {
          const { value, done } = await pieces.next()
          if (done) return // the decompressor says that it is cut off
          yield value.data
          whole = value.last
        }
      }
      yield* pipeline(rest(), createZstdDecompress({ chunkSize }), () => {}) as AsyncIterable<Buffer>
    }
  })

async function* piecesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Piece, undefined> {
  const splitter = new FrameSplitter()
  for await (const chunk of source) yield* splitter.push(chunk)
  if (!splitter.between) throw new SlipwayError('invalid', 'cannot decompress: unexpected end of file')
}

/** undefined: there is too much in it to have it all at once. */
const smallPlain = (frame: Buffer): Buffer | undefined => {
  try {
    return zstdDecompressSync(frame, { maxOutputLength: smallContent })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return undefined
    throw error
  }
}
