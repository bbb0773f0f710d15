import type { LogLine } from '../types.ts'

/** A parsed entry; `ms` is its time for comparisons. */
interface LogEntry extends LogLine {
  ms: number
}

const newline = Buffer.from('\n')

/** "2026-01-02T03:04:05.678901234+02:00" in UTC, with all nine digits. */
export const inUtc = (time: string): string => {
  if (time.endsWith('Z')) return time
  if (time.endsWith('+00:00')) return `${time.slice(0, -6)}Z`
  const ms = Date.parse(time)
  if (Number.isNaN(ms)) return time
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? ''
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction.padEnd(9, '0')}Z`
}

/**
 * One line (without its newline) of conmon's k8s-file format, which is the CRI's: TIME STREAM TAG TEXT. Tag F is a full
 * line, P a part of one. undefined: torn or foreign.
 */
export const parseEntry = (line: Buffer): LogEntry | undefined => {
  const timeEnd = line.indexOf(0x20)
  const streamEnd = line.indexOf(0x20, timeEnd + 1)
  const tagEnd = line.indexOf(0x20, streamEnd + 1)
  if (timeEnd < 0 || streamEnd < 0 || tagEnd < 0) return undefined
  const stream = line.toString('latin1', timeEnd + 1, streamEnd)
  if (stream !== 'stdout' && stream !== 'stderr') return undefined
  const time = inUtc(line.toString('latin1', 0, timeEnd))
  const ms = Date.parse(time)
  if (Number.isNaN(ms)) return undefined
  const partial = line[streamEnd + 1] === 0x50
  const text = line.subarray(tagEnd + 1)
  return { time, ms, stream, partial, data: partial ? Buffer.from(text) : Buffer.concat([text, newline]) }
}

/** Is this line a full one? Cheaper than parsing. */
export const isFull = (line: Buffer): boolean => {
  const streamEnd = line.indexOf(0x20, line.indexOf(0x20) + 1)
  return line[streamEnd + 1] === 0x46
}

/** Cuts a stream of blocks into lines; what follows the last newline waits for more. */
export class LineCutter {
  #rest: Buffer = Buffer.alloc(0)

  push(block: Buffer): Buffer[] {
    const whole = this.#rest.length === 0 ? block : Buffer.concat([this.#rest, block])
    const lines: Buffer[] = []
    let at = 0
    for (let end = whole.indexOf(10); end >= 0; end = whole.indexOf(10, at)) {
      lines.push(whole.subarray(at, end))
      at = end + 1
    }
    this.#rest = Buffer.from(whole.subarray(at))
    return lines
  }
}
