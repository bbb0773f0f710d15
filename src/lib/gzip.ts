import { availableParallelism } from 'node:os'
import { constants, crc32, createDeflateRaw, type DeflateRaw } from 'node:zlib'

const blockSize = 1 << 20
/** No extra fields, no name, no time, system unknown (RFC 1952, 2.3). */
const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
/**
 * How many blocks a process should compress at a time: one more than there are processors, which would wait while a block is
 * fetched otherwise. zlib works in libuv's pool of four threads, in which files are read and names looked up: one stays free
 * for those.
 */
export const gzipLanes = Math.min(3, availableParallelism() + 1)
/** Runs a task when it may. */
export type Turn = <T>(task: () => Promise<T>) => Promise<T>

/** What gzip() makes of the same bytes changes only with this, and with zlib's version. */
export const gzipMethod = 'blocks-1'

/**
 * Compresses a block (RFC 1951) so that its end is at a byte, it is not the last one and it refers to nothing before it. What is
 * returned is the caller's until the next call.
 */
export type Deflate = (block: Uint8Array) => Uint8Array

/**
 * gzip by several threads: blocks of 1 MiB, each compressed on its own, joined to a single member that every reader takes.
 * The same bytes become the same, however they come and however many processors there are. At most a few blocks are in
 * memory, and `source` is read no faster than the result. `turn` lets a block be compressed, `lanes` of them at a time.
 */
export async function* gzip(
  source: AsyncIterable<Uint8Array>,
  level: number,
  { lanes = gzipLanes, turn = (task) => task() }: { lanes?: number; turn?: Turn } = {},
): AsyncGenerator<Uint8Array> {
  yield header
  const sum = new Sum()
  const all: Packer[] = []
  const spare: Packer[] = []
  const ahead: Promise<Packer>[] = []
  const next = async (): Promise<Uint8Array> => {
    const packer = await ahead.shift()!
    const packed = packer.take()
    spare.push(packer)
    return packed
  }
  const more = (): Packer => {
    const packer = spare.pop() ?? packerFor(level)
    if (!all.includes(packer)) all.push(packer)
    return packer
  }
  try {
    for await (const packer of filled(source, more)) {
      sum.add(packer.block)
      const packing = packer.pack(turn).then(() => packer)
      packing.catch(() => {}) // seen when its turn comes
      ahead.push(packing)
      if (ahead.length > lanes) yield await next()
    }
    while (ahead.length > 0) yield await next()
  } finally {
    await Promise.allSettled(ahead)
    for (const packer of all) putAside(packer)
  }
  yield sum.end()
}

/** gzip() in this thread alone, by another compressor. A chunk is the caller's until it asks for the next one. */
export async function* gzipBy(source: AsyncIterable<Uint8Array>, deflate: Deflate): AsyncGenerator<Uint8Array> {
  yield header
  const sum = new Sum()
  const room = new Room()
  for await (const { block } of filled(source, () => room)) {
    sum.add(block)
    if (isNoise(block)) yield* stored(block)
    else yield deflate(block)
    room.clear()
  }
  yield sum.end()
}

/** What the end of a member says of its content (RFC 1952, 2.3.1). */
class Sum {
  #crc = 0
  #size = 0

  add(block: Uint8Array): void {
    this.#crc = crc32(block, this.#crc)
    this.#size += block.length
  }

  /** An empty last block, and the sum. */
  end(): Uint8Array {
    const end = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    end.writeUInt32LE(this.#crc, 2)
    end.writeUInt32LE(this.#size % 2 ** 32, 6)
    return end
  }
}

/** For the next call in this thread: an image may have a hundred small layers. */
let idle: Packer[] = []

const packerFor = (level: number): Packer => {
  const at = idle.findIndex((packer) => packer.level === level)
  return at < 0 ? new Packer(level) : idle.splice(at, 1)[0]!
}

const putAside = (packer: Packer): void => {
  packer.take()
  if (packer.failed) packer.close()
  else idle.push(packer)
  for (const old of idle.slice(0, -gzipLanes - 1)) old.close()
  idle = idle.slice(-gzipLanes - 1)
}

/** Rooms with exactly one block each, the last one with less. */
async function* filled<T extends Room>(source: AsyncIterable<Uint8Array>, free: () => T): AsyncGenerator<T> {
  let room: T | undefined
  for await (const chunk of source)
    for (let at = 0; at < chunk.length; ) {
      room ??= free()
      at += room.fill(chunk, at)
      if (room.block.length < blockSize) continue
      yield room
      room = undefined
    }
  if (room) yield room
}

/** For one block after the other: new memory for each would cost a fifth of the time. */
class Room {
  readonly #memory: Buffer = Buffer.allocUnsafeSlow(blockSize)
  #filled = 0

  get block(): Buffer {
    return this.#memory.subarray(0, this.#filled)
  }

  /** Takes what fits, and says how much that is. */
  fill(chunk: Uint8Array, from: number): number {
    const length = Math.min(chunk.length - from, blockSize - this.#filled)
    this.#memory.set(chunk.subarray(from, from + length), this.#filled)
    this.#filled += length
    return length
  }

  clear(): void {
    this.#filled = 0
  }
}

/** A room with a compressor, which is used again too. */
class Packer extends Room {
  readonly level: number
  readonly #deflate: DeflateRaw
  #packed: Buffer[] = []
  failed: Error | undefined

  constructor(level: number) {
    super()
    this.level = level
    // memLevel 9 takes an eighth less time than the default, for as many bytes.
    this.#deflate = createDeflateRaw({ level, memLevel: 9, chunkSize: blockSize, flush: constants.Z_SYNC_FLUSH })
    this.#deflate.on('data', (part: Buffer) => this.#packed.push(part))
    this.#deflate.on('error', (error) => (this.failed = error))
  }

  /** The block ends at a byte, and refers to nothing before it. */
  async pack(turn: Turn): Promise<void> {
    if (isNoise(this.block)) this.#packed = stored(this.block)
    else await turn(() => this.#compress())
  }

  async #compress(): Promise<void> {
    this.#deflate.reset()
    await new Promise<void>((resolve, reject) =>
      this.#deflate.write(this.block, (error) => (error ? reject(error) : resolve())),
    )
    if (this.failed) throw this.failed
    while (this.#deflate.read() !== null); // what was not given away yet is now
  }

  /** The packed block; the memory is free for the next one. */
  take(): Uint8Array {
    const packed = this.#packed.length === 1 ? this.#packed[0]! : Buffer.concat(this.#packed)
    this.#packed = []
    this.clear()
    return packed
  }

  close(): void {
    this.#deflate.close()
  }
}

const longestStored = 0xffff

/** The block as it is (RFC 1951, 3.2.4). */
const stored = (block: Buffer): Buffer[] => {
  const parts: Buffer[] = []
  for (let at = 0; at < block.length; at += longestStored) {
    const part = block.subarray(at, at + longestStored)
    const head = Buffer.alloc(5)
    head.writeUInt16LE(part.length, 1)
    head.writeUInt16LE(part.length ^ 0xffff, 3)
    parts.push(head, part)
  }
  return parts
}

const samples = 64
const sampleSize = 256
/** Bits a byte; 16 KiB of chance have 7.989. */
const noise = 7.96

/** Does the block look like chance, by how often each byte stands in a part of it? Then it is compressed already, or encrypted. */
const isNoise = (block: Buffer): boolean => {
  if (block.length < samples * sampleSize * 4) return false
  const counts = new Uint32Array(256)
  const step = Math.floor(block.length / samples)
  for (let i = 0; i < samples; i++) for (let at = i * step; at < i * step + sampleSize; at++) counts[block[at]!]!++
  const all = samples * sampleSize
  let bits = 0
  for (const count of counts) if (count > 0) bits += count * Math.log2(all / count)
  return bits / all > noise
}
