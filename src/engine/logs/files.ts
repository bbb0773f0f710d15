import { existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { isFull } from './format.ts'

export const blockSize = 256 << 10

/** Files kept besides the current one are numbered from 1, the newest. */
const rotated = (log: string, number: number): string => `${log}.${number}`

/** All files of a log that exist, oldest first. */
export const logFiles = (log: string): string[] => {
  const files: string[] = existsSync(log) ? [log] : []
  for (let number = 1; existsSync(rotated(log, number)); number++) files.unshift(rotated(log, number))
  return files
}

/** Makes room for a new current file: shifts the old ones, drops what is over `maxFiles` in all. The writer must reopen. */
export const shiftFiles = (log: string, maxFiles: number): void => {
  if (maxFiles <= 1) {
    rmSync(log, { force: true })
    return
  }
  rmSync(rotated(log, maxFiles - 1), { force: true })
  for (let number = maxFiles - 2; number >= 1; number--)
    if (existsSync(rotated(log, number))) renameSync(rotated(log, number), rotated(log, number + 1))
  renameSync(log, rotated(log, 1))
}

export const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** Where the last `count` full lines begin (with parts that belong to them), and how many there are in this file. */
const tailOffset = async (
  file: FileHandle,
  size: number,
  count: number,
): Promise<{ offset: number; lines: number }> => {
  let lines = 0
  let end = size
  let tail = Buffer.alloc(0)
  let started = false
  while (end > 0) {
    const start = Math.max(0, end - blockSize)
    const block = Buffer.alloc(end - start)
    await file.read(block, 0, block.length, start)
    const text = Buffer.concat([block, tail])
    // Lines are looked at from the last back; the first of this text may begin in the block before.
    let lineEnd = text.length
    if (!started && text[lineEnd - 1] === 10) lineEnd--
    started = true
    for (;;) {
      const before = lineEnd === 0 ? -1 : text.lastIndexOf(10, lineEnd - 1)
      if (before < 0 && start > 0) break
      const line = text.subarray(before + 1, lineEnd)
      if (line.length > 0 && isFull(line)) {
        if (lines === count) return { offset: start + lineEnd + 1, lines }
        lines++
      }
      if (before < 0) return { offset: 0, lines }
      lineEnd = before
    }
    tail = Buffer.from(text.subarray(0, lineEnd))
    // The newline that ended `tail` has been passed already.
    end = start
  }
  return { offset: 0, lines }
}

/** Opens the file a log's tail begins in: [files from there on, offset in the first]. */
export const findTail = async (log: string, count: number): Promise<{ files: string[]; offset: number }> => {
  const files = logFiles(log)
  let wanted = count
  for (let i = files.length - 1; i >= 0; i--) {
    const path = files[i]!
    const handle = await open(path, 'r')
    try {
      const { offset, lines } = await tailOffset(handle, sizeOf(path), wanted)
      wanted -= lines
      if (offset > 0 || i === 0 || wanted <= 0) return { files: files.slice(i), offset }
    } finally {
      await handle.close()
    }
  }
  return { files, offset: 0 }
}
