import { closeSync, openSync, readSync } from 'node:fs'

const chunkSize = 256 * 1024

/** Joins small pieces (headers, paddings, small files) to chunks of 256 KiB, all in the same memory unless they are to stay. */
export function* gathered(pieces: Iterable<Buffer>, stays = false): Generator<Buffer> {
  let memory = Buffer.allocUnsafeSlow(chunkSize)
  let filled = 0
  for (const piece of pieces)
    for (let at = 0; at < piece.length; ) {
      const length = piece.copy(memory, filled, at)
      at += length
      filled += length
      if (filled < chunkSize) continue
      yield memory
      if (stays) memory = Buffer.allocUnsafeSlow(chunkSize)
      filled = 0
    }
  if (filled > 0) yield memory.subarray(0, filled)
}

/** A file, in chunks of 256 KiB, all in the same memory unless they are to stay. */
export function* fileChunks(file: string, stays = false): Generator<Buffer> {
  let memory = Buffer.allocUnsafeSlow(chunkSize)
  const fd = openSync(file, 'r')
  try {
    for (;;) {
      const length = readSync(fd, memory)
      if (length === 0) return
      yield memory.subarray(0, length)
      if (stays) memory = Buffer.allocUnsafeSlow(chunkSize)
    }
  } finally {
    closeSync(fd)
  }
}
