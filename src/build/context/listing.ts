/** What a directory of the builder's own holds, as it was written there: nobody else changes it, so nobody has to look. */
import { bytewise } from '../../lib/named-files.ts'
import type { Entry } from './tree.ts'

/** A path relative to the directory, without a slash in front. */
type Path = string

const parentOf = (path: Path): Path => {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}

const nameOf = (path: Path): string => path.slice(path.lastIndexOf('/') + 1)

export class Listing {
  readonly #root: string
  readonly #entries = new Map<Path, Entry>()
  readonly #names = new Map<Path, Set<string>>()
  #fill: ((listing: Listing) => void) | undefined

  /** `fill` sets what is in the directory, when that is asked for the first time. */
  constructor(root: string, fill?: (listing: Listing) => void) {
    this.#root = root
    this.#fill = fill
  }

  #filled(): this {
    const fill = this.#fill
    this.#fill = undefined
    fill?.(this)
    return this
  }

  /** Its parents must have been told of before. What was there is replaced, a directory only by something else. */
  set(path: Path, facts: Pick<Entry, 'kind' | 'mode' | 'mtimeNs'> & Partial<Entry>): Entry {
    // Without copies in between: a context may have very many.
    const { kind, mode, mtimeNs, uid = 0, gid = 0, size = 0, link = '', rdev = 0n, xattrs = [], digest, data } = facts
    const absolute = `${this.#root}/${path}`
    const entry: Entry = { path, absolute, kind, mode, uid, gid, size, link, rdev, xattrs, mtimeNs, digest, data }
    entry.ours = facts.ours ?? true
    entry.group = facts.group
    if (kind !== 'directory' && this.#entries.has(path)) this.delete(path)
    this.#entries.set(path, entry)
    const parent = parentOf(path)
    const names = this.#names.get(parent)
    if (names) names.add(nameOf(path))
    else this.#names.set(parent, new Set([nameOf(path)]))
    return entry
  }

  /** Another name of a file that is there. */
  twin(path: Path, of: Entry): Entry {
    of.group ??= of.path
    return this.set(path, of)
  }

  delete(path: Path): void {
    for (const name of this.#names.get(path) ?? []) this.delete(`${path}/${name}`)
    this.#names.delete(path)
    this.#entries.delete(path)
    this.#names.get(parentOf(path))?.delete(nameOf(path))
  }

  get(path: Path): Entry | undefined {
    return this.#filled().#entries.get(path)
  }

  /** Names in a directory, in bytewise order. */
  names(directory: Path): string[] {
    return bytewise([...(this.#filled().#names.get(directory) ?? [])])
  }

  get size(): number {
    return this.#filled().#entries.size
  }

  entries(): IterableIterator<Entry> {
    return this.#filled().#entries.values()
  }
}
