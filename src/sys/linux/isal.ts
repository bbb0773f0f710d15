/**
 * Intel's ISA-L (libisal2): deflate in a quarter of zlib's processor time, for as many bytes. Only for compressing: what comes
 * from outside is unpacked by zlib.
 */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { inflateRawSync } from 'node:zlib'
import koffi from 'koffi'
import { SlipwayError } from '../../errors.ts'
import type { Deflate } from '../../lib/gzip.ts'
import type { FastDeflate } from '../sys.ts'

const soname = 'libisal.so.2'
/** 3 takes other ways on other x86 processors, and so gives other bytes. */
const level = 2
const fullFlush = 2

/** The public part of struct isal_zstream (igzip_lib.h), offsets in bytes. The library's own follows: 82 KB in 2.30. */
const stream = {
  in: 0,
  inSize: 8,
  out: 16,
  outSize: 24,
  level: 40,
  spaceSize: 44,
  space: 48,
  flush: 58,
  room: 256 << 10,
} as const
/** ISAL_DEF_LVL2_LARGE. What is made depends on it. */
const spaceSize = 331_776
const blockSize = 1 << 20

/** For one thread: the library's functions with memory that is used again and again. */
const compressor = (): Deflate => {
  const library = koffi.load(soname)
  const native = {
    init: library.func('void isal_deflate_init(void *stream)'),
    deflate: library.func('int isal_deflate(void *stream)'),
  }
  const [state, space] = [Buffer.allocUnsafeSlow(stream.room), Buffer.allocUnsafeSlow(spaceSize)]
  const [input, output] = [Buffer.allocUnsafeSlow(blockSize), Buffer.allocUnsafeSlow(blockSize + (64 << 10))]
  const point = (at: number, sizeAt: number, to: Buffer, size: number): void => {
    state.writeBigUInt64LE(koffi.address(to), at)
    state.writeUInt32LE(size, sizeAt)
  }
  return (block) => {
    if (block.length > blockSize) throw new RangeError(`a block of ${block.length} bytes`)
    input.set(block)
    native.init(state)
    state.writeUInt32LE(level, stream.level)
    state.writeUInt16LE(fullFlush, stream.flush)
    point(stream.space, stream.spaceSize, space, spaceSize)
    point(stream.in, stream.inSize, input, block.length)
    point(stream.out, stream.outSize, output, output.length)
    const result = native.deflate(state) as number
    const left = state.readUInt32LE(stream.inSize)
    if (result !== 0 || left !== 0) throw new SlipwayError('internal', `${soname}: error ${result}, ${left} bytes left`)
    return output.subarray(0, output.length - state.readUInt32LE(stream.outSize))
  }
}

let own: Deflate | undefined

export const deflate: Deflate = (block) => {
  own ??= compressor()
  return own(block)
}

/** Processors without these go other ways in the library. */
const needed = { x64: /^flags\s*:.* sse4_2\b/m, arm64: /^Features\s*:.* crc32\b/m }[process.arch as string]

/** Of the first processor: to say it of hundreds takes the kernel its time. */
const features = (): string => {
  const fd = openSync('/proc/cpuinfo', 'r')
  try {
    const start = Buffer.alloc(8192)
    return start.toString('latin1', 0, readSync(fd, start))
  } finally {
    closeSync(fd)
  }
}

/** Works only where it does what is expected of it. */
const works = (): boolean => {
  const sample = Buffer.from(Array.from({ length: 2000 }, (_, i) => `${i * i} `).join(''))
  try {
    const packed = deflate(sample)
    const back = inflateRawSync(Buffer.concat([packed, Buffer.from([3, 0])]))
    return packed.length < sample.length && back.equals(sample)
  } catch {
    return false // the library is not installed, or is another one than we know
  }
}

const find = (): FastDeflate | undefined => {
  if (!needed?.test(features()) || !works()) return undefined
  // It does not tell its version. The file that is loaded decides; one that was replaced since is not that any more.
  const path = /\S*\/libisal\.so\S*$/m.exec(readFileSync('/proc/self/maps', 'latin1'))?.[0]
  if (path === undefined) return undefined
  const build = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16)
  return { method: `isal-1 ${process.arch} ${build}`, module: import.meta.url }
}

let found: { it: FastDeflate | undefined } | undefined

export const fastDeflate = (): FastDeflate | undefined => {
  found ??= { it: find() }
  return found.it
}
