/** What is known of a kept copy, in files beside it that the next transfer reads. */
import { randomUUID } from 'node:crypto'
import { lstatSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { bootId } from '../../lib/boot-id.ts'
import { encodeName } from '../../lib/tar/index.ts'
import { writeAtomically } from '../../lib/write-atomically.ts'

/** What is remembered of a file's content: as long as these are the same, so is it. `xattrs` is their text, '' for none. */
export type Remembered = [ino: string, mtimeNs: string, size: number, digest: string, mode: number, xattrs: string]

/** `trusted`: written since the machine was started, so what the file system says of a file is true of its data. */
export interface Index {
  trusted: boolean
  files: Map<string, Remembered>
}

/** A copy that is what the client told of it when it was last brought up to date. */
export interface Unchanged {
  /** Another one after each change. */
  revision: string
  /** Of all files. */
  size: number
  told: Uint8Array
}

/** A directory of the copy as it was left: when a name in it is made, taken away or replaced, the time of its last change is another. */
type Left = [path: string, ino: string, ctimeNs: string]

interface Head {
  boot: string
  revision: string
  size: number
  directories: Left[]
}

export class KeptState {
  readonly #root: string
  readonly #indexFile: string
  readonly #toldFile: string
  #index: Index | undefined

  /** `root` is the copy, `directory` takes the files. */
  constructor(directory: string, root: string) {
    this.#root = root
    this.#indexFile = join(directory, 'digests.json')
    // Another name than where names that are not UTF-8 were changed.
    this.#toldFile = join(directory, 'told-2')
  }

  /** undefined where the machine was started since, or somebody was in the directories: then every file has to be looked at. */
  unchanged(): Unchanged | undefined {
    const found = readTold(this.#toldFile)
    if (!found) return undefined
    const { boot, revision, size, directories, told } = found
    if (boot !== bootId() || !directories.every((each) => this.#isAsLeft(each))) return undefined
    return { revision, size, told }
  }

  get index(): Index {
    return (this.#index ??= readIndex(this.#indexFile))
  }

  /** Before anything is changed: a kill in between must not leave files that say what was. */
  forget(): void {
    void this.index // what it says of what stays as it is, is still needed
    for (const file of [this.#toldFile, this.#indexFile]) rmSync(file, { force: true })
  }

  writeIndex(files: readonly [string, Remembered][]): void {
    writeAtomically(this.#indexFile, JSON.stringify({ boot: bootId(), files }), 0o600)
  }

  /** Comes last. `directories` are all of the copy's. */
  writeTold(told: Uint8Array, size: number, directories: readonly string[]): string {
    const left = directories.map((path): Left => {
      const { ino, ctimeNs } = statSync(encodeName(join(this.#root, path)), { bigint: true })
      return [path, String(ino), String(ctimeNs)]
    })
    const head: Head = { boot: bootId(), revision: randomUUID(), size, directories: left }
    writeAtomically(this.#toldFile, Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), told]), 0o600)
    return head.revision
  }

  #isAsLeft([path, ino, ctimeNs]: Left): boolean {
    const now = lstatSync(encodeName(join(this.#root, path)), { bigint: true, throwIfNoEntry: false })
    return now?.isDirectory() === true && String(now.ino) === ino && String(now.ctimeNs) === ctimeNs
  }
}

/** undefined: it is not there, or the machine went down while it was written. */
const readTold = (path: string): (Head & { told: Uint8Array }) | undefined => {
  try {
    const bytes = readFileSync(path)
    const end = bytes.indexOf('\n')
    const head = JSON.parse(bytes.toString('utf8', 0, end)) as Head
    return Array.isArray(head.directories) ? { ...head, told: bytes.subarray(end + 1) } : undefined
  } catch {
    return undefined
  }
}

const readIndex = (path: string): Index => {
  try {
    const { boot, files } = JSON.parse(readFileSync(path, 'utf8')) as { boot: string; files: [string, Remembered][] }
    return { trusted: boot === bootId(), files: new Map(files) }
  } catch {
    return { trusted: false, files: new Map() } // everything is fetched again
  }
}
