import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { PassThrough, pipeline } from 'node:stream'
import { finished } from 'node:stream/promises'
import { createZstdCompress } from 'node:zlib'
import type { Log } from '../../lib/log.ts'

const dayMs = 24 * 3600 * 1000
export const cacheLifeMs = 7 * dayMs

/** A copy that is being written beside the use of the original. */
export interface CacheCopy {
  write(chunk: Buffer): Promise<void>
  /** It is whole: others may use it. */
  keep(): Promise<void>
  /** After keep: no effect. */
  drop(): Promise<void>
}

/** Root filesystems that the instances of a machine share, as DIRECTORY/KEY.tar.zst, for a week. */
export class RootfsCache {
  readonly #directory: string
  readonly #log: Log
  readonly #now: () => number

  constructor(directory: string, log: Log, now: () => number) {
    this.#directory = directory
    this.#log = log
    this.#now = now
  }

  async find(key: string): Promise<{ file: string; builtAt: number } | undefined> {
    const file = `${this.#directory}/${key}.tar.zst`
    try {
      const [directory, found] = [await stat(this.#directory), await stat(file)]
      // Somebody else's directory could hold somebody else's Debian.
      const trusted = [directory, found].every(({ uid, mode }) => uid === process.getuid?.() && (mode & 0o022) === 0)
      const fresh = found.mtimeMs > this.#now() - cacheLifeMs
      return trusted && fresh ? { file, builtAt: found.mtimeMs } : undefined
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  /** A second copy on the way, compressed. The cache is a convenience: where it cannot be written, there is none. */
  async copyTo(key: string): Promise<CacheCopy | undefined> {
    const file = `${this.#directory}/${key}.tar.zst`
    const partial = `${file}.${randomUUID()}`
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o755 })
      await dropStale(this.#directory, this.#now())
    } catch (error) {
      this.#log.warn('cannot keep a root filesystem for later', { directory: this.#directory, error: String(error) })
      return undefined
    }
    const input = new PassThrough({ highWaterMark: 4 << 20 })
    const output = createWriteStream(partial, { mode: 0o644, flush: true })
    let failed: unknown
    const done = new Promise<void>((resolve) => {
      pipeline(input, createZstdCompress(), output, (error) => {
        failed = error
        input.resume()
        resolve()
      })
    })
    return {
      async write(chunk: Buffer): Promise<void> {
        if (failed || input.destroyed || input.write(chunk)) return
        await Promise.race([new Promise((go) => input.once('drain', go)), done])
      },
      keep: async (): Promise<void> => {
        input.end()
        await done
        if (!failed) await rename(partial, file)
      },
      drop: async (): Promise<void> => {
        input.destroy()
        await done
        await finished(output).catch(() => {})
        await rm(partial, { force: true })
      },
    }
  }
}

/** Old root filesystems, and copies nobody finished. */
const dropStale = async (directory: string, now: number): Promise<void> => {
  for (const name of await readdir(directory)) {
    if (!/\.tar\.zst(\.|$)/.test(name)) continue
    const limit = name.endsWith('.zst') ? cacheLifeMs : dayMs
    const { mtimeMs } = await stat(`${directory}/${name}`).catch(() => ({ mtimeMs: now }))
    if (mtimeMs < now - limit) await rm(`${directory}/${name}`, { force: true })
  }
}
