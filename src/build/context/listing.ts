/** What a directory of the builder's own holds, as it was written there: nobody else changes it, so nobody has to look. */
import { join, posix } from 'node:path'
import type { Entry } from './tree.ts'

/** A path relative to the directory, without a slash in front. */
type Path = string

const parentOf = (path: Path): Path => {
  const parent = posix.dirname(path)
  return parent === '.' ? '' : parent
}

export class Listing {
  readonly #root: string
  readonly #entries = new Map<Path, Entry>()
  readonly #names = new Map<Path, Set<string>>()

  constructor(root: string) {
    this.#root = root
  }

  /** Its parents must have been told of before. What was there is replaced, a directory only by something else. */
  set(path: Path, facts: Pick<Entry, 'kind' | 'mode' | 'mtimeNs'> & Partial<Entry>): Entry {
    const entry: Entry = {
      ...{ uid: 0, gid: 0, size: 0, link: '', rdev: 0n, xattrs: [], ours: true },
      ...facts,
      ...{ path, absolute: join(this.#root, path) },
    }
    if (facts.kind !== 'directory') this.delete(path)
    this.#entries.set(path, entry)
    const parent = parentOf(path)
    const names = this.#names.get(parent) ?? new Set()
    this.#names.set(parent, names.add(posix.basename(path)))
    return entry
  }

  delete(path: Path): void {
    for (const name of this.#names.get(path) ?? []) this.delete(`${path}/${name}`)
    this.#names.delete(path)
    this.#entries.delete(path)
    this.#names.get(parentOf(path))?.delete(posix.basename(path))
  }

  get(path: Path): Entry | undefined {
    return this.#entries.get(path)
  }

  /** Names in a directory, in bytewise order. */
  names(directory: Path): string[] {
    return bytewise([...(this.#names.get(directory) ?? [])])
  }

  get size(): number {
    return this.#entries.size
  }

  entries(): IterableIterator<Entry> {
    return this.#entries.values()
  }
}

/** Sorted as bytes are, which for ASCII is how strings are. */
export const bytewise = (names: string[]): string[] =>
  names.every((name) => /^[\x00-\x7f]*$/.test(name))
    ? names.sort()
    : names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
