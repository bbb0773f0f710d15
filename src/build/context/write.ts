/** Writes entries into a root filesystem; links inside it can never lead outside. */
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { isError, SlipwayError } from '../../errors.ts'
import { lstatOrNone } from '../../lib/named-files.ts'
import { encodeName } from '../../lib/tar/index.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import { SyntaxFault } from '../dockerfile/source.ts'
import { hasSeveralNames, isUnchanged, readFacts } from './facts.ts'
import type { Owner } from './owner.ts'
import { createPacer } from './pacer.ts'
import type { Selected } from './select.ts'
import { markOf, mayHaveNames, nameToo, type Share } from './share.ts'
import type { Entry } from './tree.ts'

interface WriteOptions {
  files: SpecialFiles
  /** The mounted root filesystem. */
  root: string
  /** Who everything belongs to; undefined: as the entries say (new parent directories: root). */
  owner: Owner | undefined
  mode: ((mode: number, directory: boolean) => number) | undefined
  /** Of directories on the way to the destination, and of itself, where they have to be made. Default: 0755. */
  directoryMode?: number | undefined
  /** A destination that is made for a directory's content looks like that directory. */
  keepSource?: boolean | undefined
  /** What an earlier result has of the same files. */
  share?: Share | undefined
  signal?: AbortSignal | undefined
}

/** Above this a file is copied off the main thread. */
const atOnce = 1024 * 1024
const room = Buffer.allocUnsafeSlow(64 * 1024)

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants

/** What goes into directories that the copy itself has made: nothing can be in its way there. */
interface Below {
  entries: [Entry, string][]
  /** Get their attributes last, children first: writing into a directory changes its time. */
  directories: [Entry, string][]
}

/** Of a file with several names; '' of one with a single one. */
const sharedInode = ({ kind, facts, group }: Entry): string => {
  if (kind !== 'file') return ''
  if (group !== undefined) return `listed ${group}`
  if (!facts || !hasSeveralNames(facts)) return ''
  const { dev, ino } = readFacts(facts)
  return `${dev} ${ino}`
}

export class RootWriter {
  readonly #options: WriteOptions
  readonly #pace = createPacer()
  /** First copy of each inode with several names. */
  readonly #links = new Map<string, string>()
  #below: Below = { entries: [], directories: [] }
  /** The overlay's own directory, once that is written to. */
  #upper: string | undefined
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
    const stat = lstatOrNone(join(root, files.resolveInRoot(root, path)))
    return stat && (stat.isDirectory() ? 'directory' : 'other')
  }

  /** Makes `path` and what is missing above it, like mkdir -p. Returns its real place and whether it is new. */
  directory(path: string, mode = this.#options.directoryMode ?? 0o755): { absolute: string; created: boolean } {
    const { files, root, owner } = this.#options
    const resolved = files.resolveInRoot(root, path)
    let at = root
    let created = false
    for (const part of resolved.split('/').filter(Boolean)) {
      at = join(at, part)
      const stat = lstatOrNone(at)
      created = stat === undefined
      if (stat && !stat.isDirectory()) throw new SyntaxFault(`cannot copy to non-directory: ${at.slice(root.length)}`)
      if (stat) continue
      mkdirSync(encodeName(at))
      this.made++
      lchownSync(encodeName(at), owner?.uid ?? 0, owner?.gid ?? 0)
      chmodSync(encodeName(at), mode)
    }
    return { absolute: at, created }
  }

  /** Copies a selection to `dest` (absolute in the root; a trailing slash means a directory). */
  async copy(selected: readonly Selected[], dest: string, several: boolean): Promise<void> {
    await this.flush()
    const single = dest.endsWith('/') || dest === '/' || this.kindOf(dest) === 'directory'
    for (const { name, entries, passages } of selected) {
      if (name === '') {
        const { absolute, created } = this.directory(dest)
        await this.#entries(entries, absolute, created, passages)
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

  /** Copies of directories are written late; what is read from `root` or written there by others comes after this. */
  async flush(): Promise<void> {
    await this.#fill((target) => target)
  }

  /**
   * Writes what is still to be written: straight into `upper`, the overlay's own directory, from which `root` must have been
   * unmounted. Where nothing is below it, an overlay only costs time.
   */
  async finish(upper: string): Promise<void> {
    const { root } = this.#options
    // Names given to earlier copies are those of the overlay.
    for (const [inode, target] of this.#links) this.#links.set(inode, upper + target.slice(root.length))
    this.#upper = upper
    await this.#fill((target) => upper + target.slice(root.length))
  }

  async #entries(
    entries: readonly Entry[],
    base: string,
    created: boolean,
    passages: ReadonlySet<Entry> | undefined,
  ): Promise<void> {
    const directories: [Entry, string][] = []
    const fresh = new Set<string>()
    for (const entry of entries) {
      const target = entry.path === '' ? base : join(base, entry.path)
      const parent = posix.dirname(entry.path)
      if (entry.path !== '' && fresh.has(parent === '.' ? '' : parent)) {
        this.#below.entries.push([entry, target])
        if (entry.kind === 'directory') fresh.add(entry.path)
        continue
      }
      if (entry.kind !== 'directory') await this.#entry(entry, target)
      else if (entry.path === '' ? created : this.#makeDirectory(target)) {
        fresh.add(entry.path)
        // A destination that had to be made is 0755, whatever the source is.
        if (entry.path !== '' || this.#options.keepSource) this.#below.directories.push([entry, target])
      } else if (passages?.has(entry)) chmodSync(encodeName(target), entry.mode)
      else if (entry.path !== '') directories.push([entry, target])
      // A directory that was there keeps its owner where it is the destination itself, or only on the way to a file.
      await this.#pace()
    }
    for (const [entry, target] of directories.reverse()) this.#attributes(entry, target)
  }

  async #fill(placed: (target: string) => string): Promise<void> {
    const { entries, directories } = this.#below
    this.#below = { entries: [], directories: [] }
    for (const [entry, target] of entries) {
      this.#options.signal?.throwIfAborted()
      if (entry.kind !== 'directory') await this.#new(entry, placed(target))
      else {
        mkdirSync(encodeName(placed(target)))
        this.made++
        directories.push([entry, target])
      }
      await this.#pace()
    }
    for (const [entry, target] of directories.reverse()) this.#attributes(entry, placed(target))
  }

  #makeDirectory(target: string): boolean {
    const stat = lstatOrNone(target)
    if (stat && !stat.isDirectory())
      throw new SyntaxFault(`cannot copy to non-directory: ${target.slice(this.#options.root.length)}`)
    if (stat) return false
    mkdirSync(encodeName(target))
    this.made++
    return true
  }

  async #entry(entry: Entry, target: string): Promise<void> {
    const { root, signal } = this.#options
    signal?.throwIfAborted()
    const there = lstatOrNone(target)
    if (there?.isDirectory())
      throw new SyntaxFault(`cannot replace to directory ${target.slice(root.length)} with file`)
    if (there) unlinkSync(encodeName(target))
    await this.#new(entry, target)
  }

  /** Where nothing is yet. */
  async #new(entry: Entry, target: string): Promise<void> {
    const inside = this.#upper === undefined ? undefined : target.slice(this.#upper.length)
    if (inside !== undefined && entry.ours && this.#linked(entry, target, inside)) return
    const mark = inside === undefined || !this.#options.share ? undefined : markOf(entry, inside, this.#wanted(entry))
    if (mark !== undefined && this.#shared(mark, target, inside!)) return this.#told(mark, entry)
    const inode = sharedInode(entry)
    const first = inode === '' ? undefined : this.#links.get(inode)
    if (first !== undefined) return linkSync(encodeName(first), encodeName(target))
    try {
      if (entry.kind === 'file' && !entry.data && entry.size <= atOnce) this.#small(entry, target)
      else {
        await this.#create(entry, target)
        this.#attributes(entry, target)
      }
    } catch (error) {
      if (!(error instanceof Vanished)) throw error
      this.changed = true
      return
    }
    if (inode !== '') this.#links.set(inode, target)
    if (mark !== undefined) this.#told(mark, entry)
  }

  /** A file that an earlier result has, in every respect. */
  #shared(mark: string, target: string, inside: string): boolean {
    const { root, earlier } = this.#options.share!
    return root !== undefined && earlier.has(mark) && nameToo(root + inside, target)
  }

  #told(mark: string, { size }: Entry): void {
    const share = this.#options.share!
    share.marks.push(mark)
    share.bytes += size
  }

  /** Gives a file of our own another name, where nothing about it has to be changed. */
  #linked(entry: Entry, target: string, inside: string): boolean {
    const { uid, gid, mode } = this.#wanted(entry)
    if (entry.kind !== 'file' || uid !== 0 || gid !== 0 || mode !== entry.mode || process.getuid!() !== 0) return false
    // All names of a file are of one copy, wherever they are.
    return entry.group === undefined && mayHaveNames(inside, mode) && nameToo(entry.absolute, target)
  }

  async #create(entry: Entry, target: string): Promise<void> {
    const { files } = this.#options
    switch (entry.kind) {
      case 'symlink':
        return symlinkSync(encodeName(entry.link), encodeName(target))
      case 'char':
      case 'block':
      case 'fifo': {
        // An overlay's whiteout, which would hide what is below it.
        if (entry.kind === 'char' && entry.rdev === 0n)
          throw new SlipwayError('forbidden', `cannot copy ${entry.path}: device 0:0`)
        const type = { char: constants.S_IFCHR, block: constants.S_IFBLK, fifo: constants.S_IFIFO }[entry.kind]
        return files.mknod(target, type | entry.mode, major(entry.rdev), minor(entry.rdev))
      }
      case 'file':
        if (entry.data) return writeFileSync(encodeName(target), entry.data)
        await copyFile(encodeName(entry.absolute), encodeName(target), constants.COPYFILE_FICLONE).catch(
          (error: unknown) => {
            throw lstatOrNone(entry.absolute) ? error : new Vanished()
          },
        )
        this.#verify(entry, lstatSync(encodeName(entry.absolute), { bigint: true, throwIfNoEntry: false }))
    }
  }

  /** By reading and writing: what copyFile ends in, sendfile, takes the kernel five times as long for a small file. */
  #small(entry: Entry, target: string): void {
    const { files } = this.#options
    const from = openedFor(entry)
    try {
      const to = openSync(encodeName(target), 'wx', 0o600)
      try {
        for (let got = readSync(from, room); got > 0; got = readSync(from, room)) {
          for (let at = 0; at < got; ) at += writeSync(to, room, at, got - at)
          if (got < room.length) break
        }
        this.#verify(entry, fstatSync(from, { bigint: true }))
        const { uid, gid, mode } = this.#wanted(entry)
        // Owner first: a change of owner takes setuid and setgid away.
        fchownSync(to, uid, gid)
        fchmodSync(to, mode)
      } finally {
        closeSync(to)
      }
    } finally {
      closeSync(from)
    }
    for (const [name, value] of this.#xattrs(entry)) files.setXattr(target, name, value)
    files.setTimes(target, entry.mtimeNs, entry.mtimeNs)
  }

  #verify({ facts, ours }: Entry, now: BigIntStats | undefined): void {
    if (ours) return
    if (!facts || !now || !isUnchanged(facts, now)) this.changed = true
  }

  #wanted(entry: Entry): { uid: number; gid: number; mode: number } {
    const { owner, mode } = this.#options
    return {
      uid: owner?.uid ?? entry.uid,
      gid: owner?.gid ?? entry.gid,
      mode: mode ? mode(entry.mode, entry.kind === 'directory') : entry.mode,
    }
  }

  /** They may not have been looked at so far. */
  #xattrs(entry: Entry): Entry['xattrs'] {
    try {
      return entry.xattrs
    } catch (error) {
      if (!isError(error, 'not-found')) throw error
      this.changed = true
      return []
    }
  }

  #attributes(entry: Entry, target: string): void {
    const { files } = this.#options
    const { uid, gid, mode } = this.#wanted(entry)
    lchownSync(encodeName(target), uid, gid)
    if (entry.kind !== 'symlink') chmodSync(encodeName(target), mode)
    for (const [name, value] of this.#xattrs(entry)) files.setXattr(target, name, value)
    files.setTimes(target, entry.mtimeNs, entry.mtimeNs)
  }
}

/** A file that was there when the context was looked at is gone, or no file any more: it is left out. */
class Vanished extends Error {}

const openedFor = ({ absolute }: Entry): number => {
  try {
    return openSync(encodeName(absolute), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const gone = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes((error as NodeJS.ErrnoException).code ?? '')
    throw gone ? new Vanished() : error
  }
}

const major = (rdev: bigint): number => Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn))
const minor = (rdev: bigint): number => Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn))
