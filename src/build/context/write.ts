/** Writes entries into a root filesystem; links inside it can never lead outside. */
import {
  chmodSync,
  constants,
  copyFileSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { SpecialFiles } from '../../sys/sys.ts'
import { SyntaxFault } from '../dockerfile/source.ts'
import type { Owner } from './owner.ts'
import { createPacer } from './pacer.ts'
import type { Selected } from './select.ts'
import type { Entry } from './tree.ts'

interface WriteOptions {
  files: SpecialFiles
  /** The mounted root filesystem. */
  root: string
  /** Who everything belongs to; undefined: as the entries say (new parent directories: root). */
  owner: Owner | undefined
  mode: ((mode: number, directory: boolean) => number) | undefined
  signal?: AbortSignal | undefined
}

/** Above this a file is copied off the main thread. */
const atOnce = 1024 * 1024

export class RootWriter {
  readonly #options: WriteOptions
  readonly #pace = createPacer()
  /** First copy of each inode with several names. */
  readonly #links = new Map<string, string>()
  /** Was a source changed while it was copied? Then the result is not what its digest says. */
  changed = false
  /** Directories that were made. */
  made = 0

  constructor(options: WriteOptions) {
    this.#options = options
  }

  /** What `path` is inside the root, links followed: 'directory', 'other' or undefined. */
  kindOf(path: string): 'directory' | 'other' | undefined {
    const { files, root } = this.#options
    const stat = statOf(join(root, files.resolveInRoot(root, path)))
    return stat && (stat.isDirectory() ? 'directory' : 'other')
  }

  /** Makes `path` and what is missing above it (0755), like mkdir -p. Returns its real place and whether it is new. */
  directory(path: string): { absolute: string; created: boolean } {
    const { files, root, owner } = this.#options
    const resolved = files.resolveInRoot(root, path)
    let at = root
    let created = false
    for (const part of resolved.split('/').filter(Boolean)) {
      at = join(at, part)
      const stat = statOf(at)
      created = stat === undefined
      if (stat && !stat.isDirectory()) throw new SyntaxFault(`cannot copy to non-directory: ${at.slice(root.length)}`)
      if (stat) continue
      mkdirSync(at)
      this.made++
      lchownSync(at, owner?.uid ?? 0, owner?.gid ?? 0)
      chmodSync(at, 0o755)
    }
    return { absolute: at, created }
  }

  /** Copies a selection to `dest` (absolute in the root; a trailing slash means a directory). */
  async copy(selected: readonly Selected[], dest: string, several: boolean, keepParents: boolean): Promise<void> {
    const single = dest.endsWith('/') || dest === '/' || this.kindOf(dest) === 'directory'
    for (const { name, entries } of selected) {
      if (name === '') {
        const { absolute, created } = this.directory(dest)
        await this.#entries(entries, absolute, created, keepParents)
        continue
      }
      if (!single && several) {
        const message =
          'When using COPY with more than one source file, the destination must be a directory and end with a /'
        throw new SyntaxFault(message, { near: posix.basename(dest) })
      }
      const folder = this.directory(single ? dest : posix.dirname(dest)).absolute
      await this.#entry(entries[0]!, join(folder, single ? name : posix.basename(dest)))
    }
  }

  async #entries(entries: readonly Entry[], base: string, created: boolean, keepParents: boolean): Promise<void> {
    const directories: [Entry, string][] = []
    for (const entry of entries) {
      const target = entry.path === '' ? base : join(base, entry.path)
      if (entry.kind !== 'directory') await this.#entry(entry, target)
      else {
        const isNew = entry.path === '' ? created : this.#makeDirectory(target)
        // A directory that was there keeps its owner where it is the destination itself, or only on the way to a file.
        if (isNew || (entry.path !== '' && !keepParents)) directories.push([entry, target])
      }
      await this.#pace()
    }
    // Children first: writing into a directory changes its time.
    for (const [entry, target] of directories.reverse()) this.#attributes(entry, target)
  }

  #makeDirectory(target: string): boolean {
    const stat = statOf(target)
    if (stat && !stat.isDirectory())
      throw new SyntaxFault(`cannot copy to non-directory: ${target.slice(this.#options.root.length)}`)
    if (stat) return false
    mkdirSync(target)
    this.made++
    return true
  }

  async #entry(entry: Entry, target: string): Promise<void> {
    const { root, signal } = this.#options
    signal?.throwIfAborted()
    const there = statOf(target)
    if (there?.isDirectory())
      throw new SyntaxFault(`cannot replace to directory ${target.slice(root.length)} with file`)
    if (there) unlinkSync(target)
    const inode =
      entry.stat && entry.kind === 'file' && entry.stat.nlink > 1n ? `${entry.stat.dev} ${entry.stat.ino}` : ''
    const first = inode === '' ? undefined : this.#links.get(inode)
    if (first !== undefined) return linkSync(first, target)
    await this.#create(entry, target)
    this.#attributes(entry, target)
    if (inode !== '') this.#links.set(inode, target)
  }

  async #create(entry: Entry, target: string): Promise<void> {
    const { files } = this.#options
    switch (entry.kind) {
      case 'symlink':
        return symlinkSync(entry.link, target)
      case 'char':
      case 'block':
      case 'fifo': {
        const type = { char: constants.S_IFCHR, block: constants.S_IFBLK, fifo: constants.S_IFIFO }[entry.kind]
        return files.mknod(target, type | entry.mode, major(entry.rdev), minor(entry.rdev))
      }
      case 'file':
        if (entry.data) return writeFileSync(target, entry.data)
        if (entry.size <= atOnce) copyFileSync(entry.absolute, target, constants.COPYFILE_FICLONE)
        else await copyFile(entry.absolute, target, constants.COPYFILE_FICLONE)
        this.#verify(entry)
    }
  }

  #verify({ absolute, stat }: Entry): void {
    const now = lstatSync(absolute, { bigint: true, throwIfNoEntry: false })
    if (!stat || now?.mtimeNs !== stat.mtimeNs || now.size !== stat.size || now.ino !== stat.ino) this.changed = true
  }

  #attributes(entry: Entry, target: string): void {
    const { files, owner, mode } = this.#options
    const [uid, gid] = [owner?.uid ?? entry.uid, owner?.gid ?? entry.gid]
    const changed = uid !== 0 || gid !== 0
    lchownSync(target, uid, gid)
    const wanted = mode ? mode(entry.mode, entry.kind === 'directory') : entry.mode
    // A copied file has its source's permissions already, but a change of owner takes setuid and setgid away.
    const copied = entry.kind === 'file' && entry.stat ? Number(entry.stat.mode & 0o7777n) : undefined
    const kept = wanted === copied && !(changed && wanted & 0o6000)
    if (entry.kind !== 'symlink' && !kept) chmodSync(target, wanted)
    for (const [name, value] of entry.xattrs) files.setXattr(target, name, value)
    files.setTimes(target, entry.mtimeNs, entry.mtimeNs)
  }
}

const major = (rdev: bigint): number => Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn))
const minor = (rdev: bigint): number => Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn))

export const statOf = (path: string) => {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined
    throw error
  }
}
