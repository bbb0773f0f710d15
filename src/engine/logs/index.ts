import { existsSync, type FSWatcher, fstatSync, statSync, watch } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { LogLine, LogOptions } from '../types.ts'
import { blockSize, findTail, logFiles } from './files.ts'
import { EntryReader, type LogEntry } from './format.ts'

export { shiftFiles, sizeOf } from './files.ts'

interface LogSource {
  path: string
  /** False once the writer has ended: what is in the file then is all. */
  active(): boolean
  /** Calls back when `active` may have changed. Returns the function that ends it. */
  onChange(listener: () => void): () => void
}

/** Even without a word from the kernel a follower looks again after this. */
const pollMs = 1000

/** Wakes a follower: by the kernel, by a change of the source, by abort, or by time. */
class Bell {
  #wake: (() => void) | undefined
  #rung = false
  #watcher: FSWatcher | undefined
  readonly #off: (() => void)[] = []

  constructor(source: LogSource, signal: AbortSignal | undefined) {
    const ring = (): void => this.ring()
    if (existsSync(dirname(source.path))) {
      this.#watcher = watch(dirname(source.path), ring)
      this.#watcher.on('error', ring)
      this.#watcher.unref()
    }
    this.#off.push(source.onChange(ring))
    signal?.addEventListener('abort', ring, { once: true })
    this.#off.push(() => signal?.removeEventListener('abort', ring))
  }
  ring(): void {
    this.#rung = true
    this.#wake?.()
  }
  async wait(): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pollMs)
        timer.unref()
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#wake = undefined
    this.#rung = false
  }
  close(): void {
    this.#watcher?.close()
    for (const off of this.#off) off()
  }
}

/** All complete lines from `offset` to the present end, some at a time. */
const linesOf = async function* (
  handle: FileHandle,
  position: { offset: number },
  reader: EntryReader,
): AsyncGenerator<LogEntry[]> {
  for (;;) {
    const block = Buffer.allocUnsafe(blockSize)
    const { bytesRead } = await handle.read(block, 0, block.length, position.offset)
    if (bytesRead === 0) return
    position.offset += bytesRead
    yield reader.push(bytesRead < blockSize ? Buffer.from(block.subarray(0, bytesRead)) : block)
  }
}

const entriesOf = async function* (source: LogSource, options: LogOptions): AsyncGenerator<LogEntry[]> {
  const { follow, tail, signal } = options
  // Rung from before the first read on: what is written meanwhile is not missed.
  const bell = follow ? new Bell(source, signal) : undefined
  let handle: FileHandle | undefined
  try {
    const from =
      tail === undefined || tail < 0 ? { files: logFiles(source.path), offset: 0 } : await findTail(source.path, tail)
    const position = { offset: from.offset }
    const reader = new EntryReader()
    for (const path of from.files) {
      await handle?.close()
      handle = await open(path, 'r')
      yield* linesOf(handle, position, reader)
      if (path !== source.path) position.offset = 0
    }
    if (handle && from.files.at(-1) !== source.path) {
      await handle.close()
      handle = undefined
    }
    while (bell && !signal?.aborted) {
      // Asked before the read: what was written before the end is then in the file.
      const active = source.active()
      if (!handle && existsSync(source.path)) handle = await open(source.path, 'r')
      if (handle) yield* linesOf(handle, position, reader)
      const current = statSync(source.path, { throwIfNoEntry: false })
      if (handle && current && current.ino !== fstatSync(handle.fd).ino) {
        // Rotated. The writer may have added to the old file up to the moment the new one appeared.
        yield* linesOf(handle, position, reader)
        await handle.close()
        handle = await open(source.path, 'r')
        position.offset = 0
        continue
      }
      if (!active) return
      await bell.wait()
    }
  } finally {
    bell?.close()
    await handle?.close()
  }
}

/** The lines of a log as `docker logs` wants them, as many at a time as there are. */
export const readLogs = async function* (source: LogSource, options: LogOptions): AsyncGenerator<LogLine[]> {
  const { stdout = true, stderr = true, since, until, signal } = options
  for await (const entries of entriesOf(source, options)) {
    if (signal?.aborted) return
    const over = until === undefined ? -1 : entries.findIndex((entry) => entry.ms > until)
    const lines = (over < 0 ? entries : entries.slice(0, over)).filter(
      (entry) => (entry.stream === 'stdout' ? stdout : stderr) && (since === undefined || entry.ms >= since),
    )
    if (lines.length > 0) yield lines
    if (over >= 0) return
  }
}
