import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  openSync,
  statfsSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { SlipwayError } from '../../../errors.ts'
import { lstatOrNone } from '../../../lib/named-files.ts'
import { encodeName, type TarEntry, type TarHandler } from '../../../lib/tar/index.ts'
import { CanonicalForm } from './canonical.ts'
import { confine } from './confine.ts'
import { Directories } from './directories.ts'
import { baseOf, LowerView, parentOf } from './lower.ts'
import type { LayerJob, UnpackLimits } from './protocol.ts'
import { isLayerXattr, opaqueXattr, type Special } from './special.ts'

const whiteoutPrefix = '.wh.'
const opaqueMark = '.wh..wh..opq'
const checkEvery = 64 << 20
const kinds = { char: 0o020000, block: 0o060000, fifo: 0o010000 } as const

/**
 * Writes the entries of a layer into an empty directory that only this thread writes to. Nothing an archive says can reach
 * outside of it: names are confined, parents are resolved inside the root, files are made with O_EXCL, links are never
 * followed. Whiteouts become the overlay's.
 */
export class Unpacker implements TarHandler {
  readonly #directories: Directories
  readonly #lowers: number
  readonly #special: Special
  readonly #root: string
  readonly #limits: UnpackLimits
  readonly #omit: Set<string>
  #open: { fd: number; target: string } | undefined
  /** Where the last byte written to the open file ends. */
  #end = 0
  #written = 0
  #checked = 0
  /** Directories get their times last: everything put into them changes them. */
  #times = new Map<string, number>()
  readonly canonical = new CanonicalForm()
  size = 0
  entries = 0

  constructor({ root, lowers, limits, omit }: Extract<LayerJob, { op: 'unpack' }>, special: Special) {
    const lower = new LowerView(lowers, (path) => special.xattrs([path])[0]!.has(opaqueXattr))
    this.#directories = new Directories(root, lower, special)
    this.#lowers = lowers.length
    this.#special = special
    this.#root = root
    this.#limits = limits
    this.#omit = new Set(omit)
  }

  entry(entry: TarEntry): void {
    this.entries++
    this.canonical.entry(entry)
    const path = confine(entry.path)
    const base = baseOf(path)
    if (this.#omit.has(path)) return
    if (path === '') this.#rootEntry(entry)
    else if (base.startsWith(whiteoutPrefix)) this.#whiteout(base, this.#directories.resolve(parentOf(path), true)!)
    else {
      const parent = this.#directories.resolve(parentOf(path), true)!
      this.#make(entry, parent === '' ? base : `${parent}/${base}`)
    }
  }

  #rootEntry(entry: TarEntry): void {
    if (entry.type !== 'directory') throw new SlipwayError('invalid', 'layer replaces the root by a file or link')
    this.#attributes(entry, '')
  }

  #make(entry: TarEntry, target: string): void {
    switch (entry.type) {
      case 'file': // attributes follow the content
        this.#openFile(entry, target)
        break
      case 'link': // shares the attributes of what it links to
        this.#hardLink(entry, target)
        break
      case 'directory':
        this.#directories.make(target)
        this.#attributes(entry, target)
        break
      case 'symlink':
        this.#fresh(target, () => symlinkSync(encodeName(entry.linkName), this.#file(target)))
        this.#attributes(entry, target)
        break
      default:
        this.#node(entry, target)
        this.#attributes(entry, target)
    }
  }

  omitNothing(): void {
    this.#omit.clear()
  }

  data(chunk: Buffer, position: number): void {
    if (!this.#open) return // of a whiteout, or left out
    const { fd } = this.#open
    for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at, chunk.length - at, position + at)
    this.#end = position + chunk.length
    this.#written += chunk.length
    if (this.#written - this.#checked >= checkEvery) this.#checkSpace()
  }

  end(entry: TarEntry): void {
    if (!this.#open) return
    const { fd, target } = this.#open
    if (this.#end !== entry.size) ftruncateSync(fd, entry.size) // a hole at the end
    // Owner first: a change of owner drops setuid bits and capabilities, and so does a write.
    fchownSync(fd, entry.uid, entry.gid)
    fchmodSync(fd, entry.mode)
    this.#xattrs(entry, target)
    futimesSync(fd, seconds(entry), seconds(entry))
    this.#open = undefined
    closeSync(fd)
  }

  /** After the last entry. */
  finish(): void {
    for (const [path, mtime] of this.#times)
      if (lstatOrNone(this.#directories.file(path))?.isDirectory()) lutimesSync(this.#file(path), mtime, mtime)
  }

  /** After an error. */
  abandon(): void {
    if (this.#open) closeSync(this.#open.fd)
  }

  #file(path: string): string | Buffer {
    return encodeName(this.#directories.file(path))
  }

  #openFile(entry: TarEntry, target: string): void {
    this.size += entry.size
    const limit = this.#limits.bytes ?? Number.MAX_SAFE_INTEGER
    if (this.size > limit) throw new SlipwayError('invalid', `layer unpacks to more than ${limit} bytes`)
    this.#end = 0
    this.#open = { fd: this.#fresh(target, () => openSync(this.#file(target), 'wx', 0o600)), target }
  }

  /** Makes a new file at `target`; what an earlier entry put there goes first. */
  #fresh<T>(target: string, make: () => T): T {
    try {
      return make()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      this.#directories.clear(target)
      return make()
    }
  }

  #hardLink(entry: TarEntry, target: string): void {
    const wanted = confine(entry.linkName, 'hard link')
    const parent = this.#directories.resolve(parentOf(wanted), false)
    const source = parent === '' ? baseOf(wanted) : `${parent}/${baseOf(wanted)}`
    const stat = parent === undefined || wanted === '' ? undefined : lstatOrNone(this.#directories.file(source))
    if (!stat || stat.isDirectory() || this.#directories.isWhiteout(source))
      throw new SlipwayError('invalid', `hard link "${entry.path}" to "${entry.linkName}": no such file in this layer`)
    if (source === target) return
    // link(2) does not follow a symlink at its end.
    this.#fresh(target, () => linkSync(this.#file(source), this.#file(target)))
  }

  #node(entry: TarEntry, target: string): void {
    const kind = kinds[entry.type as keyof typeof kinds]
    if (entry.type === 'char' && entry.devMajor === 0 && entry.devMinor === 0)
      throw new SlipwayError('invalid', `"${entry.path}": device 0:0 would hide files of the layers below`)
    this.#directories.clear(target)
    const file = this.#directories.file(target)
    this.#special.mknod(file, kind | (entry.mode & 0o7777), entry.devMajor, entry.devMinor)
  }

  #whiteout(base: string, parent: string): void {
    if (base === opaqueMark) {
      if (this.#lowers > 0) this.#directories.opaque(parent)
      return
    }
    // Bookkeeping of aufs, which some old layers still hold.
    if (base.startsWith('.wh..wh.')) return
    const name = base.slice(whiteoutPrefix.length)
    if (name === '' || name === '.' || name === '..')
      throw new SlipwayError('invalid', `invalid whiteout in layer: "${base}"`)
    if (this.#lowers > 0) this.#directories.whiteout(parent === '' ? name : `${parent}/${name}`)
  }

  #attributes(entry: TarEntry, target: string): void {
    const file = this.#file(target)
    lchownSync(file, entry.uid, entry.gid)
    if (entry.type !== 'symlink') chmodSync(file, entry.mode)
    this.#xattrs(entry, target)
    if (entry.type === 'directory') this.#times.set(target, seconds(entry))
    else lutimesSync(file, seconds(entry), seconds(entry))
  }

  #xattrs(entry: TarEntry, target: string): void {
    for (const [name, value] of entry.xattrs) {
      if (!isLayerXattr(name)) continue
      this.#special.setXattr(this.#directories.file(target), name, value)
    }
  }

  #checkSpace(): void {
    this.#checked = this.#written
    const { bavail, bsize } = statfsSync(this.#root)
    if (bavail * bsize < (this.#limits.minFree ?? defaultMinFree))
      throw new SlipwayError('no-space', 'no space left on device', {
        hint: 'Free some space, for example by removing unused images: slipway image prune -a',
      })
  }
}

const defaultMinFree = 128 << 20

const seconds = (entry: TarEntry): number => Number(entry.mtimeNs) / 1e9
