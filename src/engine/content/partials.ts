import { link, readdir, rm, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Digest } from '../../spec/oci/index.ts'

/** A download, whole or not. `leave`: it is not being written any more, somebody may go on with it. */
export interface PartialBlob {
  path: string
  adopt(): Promise<void>
  leave(): void
}

/** How long an interrupted download waits to be continued. */
const lifeMs = 24 * 3600 * 1000

const isPartial = (file: string): boolean => file.endsWith('.partial')
const digestOf = (partial: string): Digest => `sha256:${basename(partial, '.partial')}`

/** Downloads in `ingest`, by what they are to become; with them lies what is written otherwise and does not outlive a start. */
export class Partials {
  readonly #ingest: string
  readonly #now: () => number
  /** Being written. */
  readonly #gathering = new Set<string>()

  constructor(ingest: string, now: () => number) {
    this.#ingest = ingest
    this.#now = now
  }

  /** `asBlob` gives the file its second name. */
  async open(digest: Digest, asBlob: (file: string) => Promise<void>): Promise<PartialBlob> {
    const path = `${this.#ingest}/${digest.slice('sha256:'.length)}.partial`
    this.#gathering.add(path)
    await this.#drop((file, mtimeMs) => isPartial(file) && !this.#gathering.has(file) && this.#isOld(mtimeMs))
    return { path, adopt: () => asBlob(path), leave: () => void this.#gathering.delete(path) }
  }

  /** Those that nobody is at; default: all of them. Resolves with the bytes freed. */
  drop(digests?: readonly Digest[]): Promise<number> {
    const wanted = digests && new Set(digests)
    return this.#drop(
      (file) => isPartial(file) && !this.#gathering.has(file) && (!wanted || wanted.has(digestOf(file))),
    )
  }

  /** At the start: what was under way, but for downloads that can still go on. */
  async recover(isBlob: (digest: Digest) => boolean): Promise<void> {
    await this.#drop((file, mtimeMs) => !isPartial(file) || this.#isOld(mtimeMs) || isBlob(digestOf(file)))
  }

  #isOld(mtimeMs: number): boolean {
    return mtimeMs < this.#now() - lifeMs
  }

  async #drop(goes: (file: string, mtimeMs: number) => boolean): Promise<number> {
    let freed = 0
    for (const name of await readdir(this.#ingest)) {
      const file = `${this.#ingest}/${name}`
      const found = await stat(file).catch(() => undefined)
      if (!found || !goes(file, found.mtimeMs)) continue
      await rm(file, { force: true })
      // What has another name stays on the disk.
      if (found.nlink === 1) freed += found.size
    }
    return freed
  }
}

/** A second name; one that is there already is as good. */
export const linkTo = (file: string, path: string): Promise<void> =>
  link(file, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
