import type { LogLine } from '../types.ts'

/** "2026-01-02T03:04:05.678901234+02:00" in UTC, with all nine digits. */
export const inUtc = (time: string): string => {
  if (time.endsWith('Z')) return time
  if (time.endsWith('+00:00')) return `${time.slice(0, -6)}Z`
  const ms = Date.parse(time)
  if (Number.isNaN(ms)) return time
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? ''
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction.padEnd(9, '0')}Z`
}

/** Its time is only read where somebody asks for it: most logs are read for their text. */
export class LogEntry implements LogLine {
  readonly stream: 'stdout' | 'stderr'
  readonly partial: boolean
  readonly data: Buffer
  readonly #stamp: Buffer

  constructor(stamp: Buffer, stream: 'stdout' | 'stderr', partial: boolean, data: Buffer) {
    this.#stamp = stamp
    this.stream = stream
    this.partial = partial
    this.data = data
  }

  get time(): string {
    return inUtc(this.#stamp.toString('latin1'))
  }
  /** The same, for comparisons. */
  get ms(): number {
    return Date.parse(this.time)
  }
}

const [space, newline, F, P, dash, T] = [0x20, 0x0a, 0x46, 0x50, 0x2d, 0x54]

/**
 * The line in `block` from `start` to its newline at `end`, in conmon's k8s-file format, which is the CRI's: TIME STREAM
 * TAG TEXT. Tag F is a full line, P a part of one. undefined: torn or foreign.
 */
export const parseEntry = (block: Buffer, start: number, end: number): LogEntry | undefined => {
  const timeEnd = block.indexOf(space, start)
  const text = timeEnd + 10 // " stdout F "
  if (timeEnd - start < 20 || text > end || block[start + 4] !== dash || block[start + 10] !== T) return undefined
  const stream = streamAt(block, timeEnd + 1)
  const tag = block[timeEnd + 8]
  if (!stream || block[text - 1] !== space || (tag !== F && tag !== P)) return undefined
  const partial = tag === P
  return new LogEntry(
    block.subarray(start, timeEnd),
    stream,
    partial,
    block.subarray(text, partial || block[end] !== newline ? end : end + 1),
  )
}

const streamAt = (block: Buffer, at: number): 'stdout' | 'stderr' | undefined => {
  const name = block.toString('latin1', at, at + 7)
  return name === 'stdout ' ? 'stdout' : name === 'stderr ' ? 'stderr' : undefined
}

/** Is this line a full one? Cheaper than parsing. */
export const isFull = (line: Buffer): boolean => {
  const streamEnd = line.indexOf(0x20, line.indexOf(0x20) + 1)
  return line[streamEnd + 1] === 0x46
}

/** Cuts a stream of blocks into lines and reads them; what follows the last newline waits for more. */
export class EntryReader {
  #rest: Buffer = Buffer.alloc(0)

  /** `block` stays as it is from then on: the entries are parts of it. */
  push(block: Buffer): LogEntry[] {
    const whole = this.#rest.length === 0 ? block : Buffer.concat([this.#rest, block])
    const entries: LogEntry[] = []
    let at = 0
    for (let end = whole.indexOf(newline); end >= 0; end = whole.indexOf(newline, at)) {
      const entry = parseEntry(whole, at, end)
      if (entry) entries.push(entry)
      at = end + 1
    }
    this.#rest = Buffer.from(whole.subarray(at))
    return entries
  }
}
