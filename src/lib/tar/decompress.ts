import { open } from 'node:fs/promises'
import { type Duplex, PassThrough, pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { SlipwayError } from '../../errors.ts'
import { createUnzstd } from './zstd.ts'

type Compression = 'none' | 'gzip' | 'zstd' | 'bzip2' | 'xz'

/** By the first bytes; six are enough. Zstandard's skippable frames count as zstd. */
export const compressionOf = (head: Uint8Array): Compression => {
  const starts = (...bytes: number[]): boolean => bytes.every((byte, i) => head[i] === byte)
  if (starts(0x1f, 0x8b, 0x08)) return 'gzip'
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd'
  if (head.length >= 4 && (head[0]! & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18)
    return 'zstd'
  if (starts(0x42, 0x5a, 0x68)) return 'bzip2'
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz'
  return 'none'
}

export const compressionOfFile = async (path: string): Promise<Compression> => {
  const handle = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(6), 0, 6, 0)
    return compressionOf(buffer.subarray(0, bytesRead))
  } finally {
    await handle.close()
  }
}

// Default chunks of 16 KiB halve the speed of gunzip.
const chunkSize = 256 * 1024

/** A transform for a known compression; undefined for 'none'. 'unsupported' for bzip2 and xz. */
export const decompressor = (compression: Compression): Duplex | undefined => {
  if (compression === 'none') return undefined
  if (compression === 'gzip') return createGunzip({ chunkSize })
  if (compression === 'zstd') return createUnzstd(chunkSize)
  throw new SlipwayError('unsupported', `${compression} compressed archives are not supported`, {
    hint: 'Recompress the archive with gzip or zstd.',
  })
}

/** The plain bytes of `source`, whatever it is compressed with. Errors of the source and of the format destroy the result. */
export const decompress = async (source: Readable): Promise<Readable> => {
  const head: Buffer[] = []
  let length = 0
  const iterator = source[Symbol.asyncIterator]() as AsyncIterableIterator<Buffer>
  let ended = false
  while (length < 6 && !ended) {
    const next = await iterator.next()
    if (next.done) ended = true
    else {
      head.push(Buffer.from(next.value))
      length += next.value.length
    }
  }
  const first = Buffer.concat(head)
  const transform = decompressor(compressionOf(first)) ?? new PassThrough({ highWaterMark: chunkSize })
  const whole = async function* (): AsyncGenerator<Buffer> {
    if (first.length > 0) yield first
    if (!ended) yield* iterator
  }
  pipeline(whole, transform, () => {}) // an error arrives by destroying the transform, which its reader sees
  return transform
}
