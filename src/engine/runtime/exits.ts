import { existsSync, type FSWatcher, mkdirSync, readFileSync, rmSync, statSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../lib/log.ts'

export interface Exit {
  exitCode: number
  oomKilled: boolean
  /** When the monitor saw it: nobody else may have been there. Milliseconds; undefined: the monitor was lost. */
  at: number | undefined
  /** The monitor was lost: the code is a guess. */
  unknown?: boolean
}
interface Expected {
  /** False once neither monitor nor program can be there any more. */
  alive: () => boolean
  resolve: (exit: Exit) => void
}

/** How often the files are looked at even without a word from the kernel; also how late a lost monitor is noticed. */
const rescanMs = 3000

/**
 * Learns of programs that have ended from the files their monitors write: one directory, one watch. A watch may lose
 * events, and a monitor may be killed before it writes: so all that is expected is looked at again now and then.
 */
export class Exits {
  readonly #dir: string
  readonly #persist: string
  readonly #log: Log
  readonly #expected = new Map<string, Expected>()
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(paths: { exits: string; persist: string }, log: Log) {
    this.#dir = paths.exits
    this.#persist = paths.persist
    this.#log = log
  }

  /** Resolves when `id` has ended; also for what ended before. Forget the id afterwards, or before it runs anew. */
  expect(id: string, alive: () => boolean): Promise<Exit> {
    this.#watch()
    return new Promise((resolve) => {
      this.#expected.set(id, { alive, resolve })
      this.#look(id, true)
    })
  }

  /** Drops the files of `id`. */
  forget(id: string): void {
    this.#expected.delete(id)
    rmSync(join(this.#dir, id), { force: true })
    rmSync(join(this.#persist, id), { recursive: true, force: true })
  }

  close(): void {
    this.#watcher?.close()
    clearInterval(this.#timer)
    this.#expected.clear()
  }

  #watch(): void {
    if (this.#watcher) return
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
    this.#watcher = watch(this.#dir, (_, name) => {
      if (name === null) this.#rescan()
      else if (this.#expected.has(name)) this.#look(name)
    })
    this.#watcher.on('error', (error) => this.#log.warn('watch of exits failed', { error: String(error) }))
    this.#watcher.unref()
    this.#timer = setInterval(() => this.#rescan(), rescanMs)
    this.#timer.unref()
  }

  #rescan(): void {
    for (const id of [...this.#expected.keys()]) this.#look(id, true)
  }

  #look(id: string, thorough = false): void {
    const expected = this.#expected.get(id)
    if (!expected) return
    // Asked before the file is looked for: a monitor that ends in between has written it.
    const alive = !thorough || expected.alive()
    const file = join(this.#dir, id)
    const text = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
    if (text === '' && alive) return
    this.#expected.delete(id)
    const oomKilled = existsSync(join(this.#persist, id, 'oom'))
    expected.resolve(
      text === ''
        ? { exitCode: 137, oomKilled, at: undefined, unknown: true }
        : { exitCode: Number(text), oomKilled, at: Math.round(statSync(file).mtimeMs) },
    )
  }
}
