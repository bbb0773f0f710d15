/** A build context that comes as a tar stream: into a directory of its own, with a list of what is in it. */
import { createHash, hash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { join, posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { encodeName, readTar, type TarEntry } from '../../lib/tar/index.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import { Listing } from './listing.ts'
import { createPacer } from './pacer.ts'
import { nameToo } from './share.ts'
import { type Entry, isKeptXattr } from './tree.ts'

/**
 * Unpacks into `root`, an empty directory. Owners are left out: everything in a context is root's. Every name is resolved
 * inside the root, so neither `..` nor a link made by the archive leads out of it. Devices are left out. A small file that is
 * the same as in `before` is another name of that.
 */
export const receiveTar = async (
  stream: AsyncIterable<Uint8Array>,
  root: string,
  files: SpecialFiles,
  signal: AbortSignal,
  before?: Listing,
): Promise<Listing> => {
  const receiver = new Receiver(root, files, before)
  const pace = createPacer()
  for await (const { entry, body } of readTar(stream)) {
    signal.throwIfAborted()
    await pace()
    await receiver.take(entry, body)
  }
  receiver.finish()
  return receiver.listing
}

class Receiver {
  readonly listing: Listing
  readonly #root: string
  readonly #files: SpecialFiles
  readonly #before: Listing | undefined
  /** Of the directory itself, where the archive has one. */
  #own: TarEntry | undefined
  /** Where the directories that archives name really are; forgotten when a link or another directory may change it. */
  readonly #places = new Map<string, string>()

  constructor(root: string, files: SpecialFiles, before: Listing | undefined) {
    this.listing = new Listing(root)
    this.#root = root
    this.#files = files
    this.#before = before
  }

  async take(entry: TarEntry, body: AsyncIterable<Buffer>): Promise<void> {
    const path = this.#placeOf(entry.path)
    if (path === '') {
      if (entry.type === 'directory') this.#own = entry
      return
    }
    const kind = entry.type === 'link' ? 'file' : entry.type
    if (kind === 'char' || kind === 'block') return
    if (kind === 'directory') {
      if (this.listing.get(path)?.kind !== 'directory')
        this.#make(path, () => mkdirSync(encodeName(join(this.#root, path))))
    } else if (this.listing.get(path)?.kind === 'directory')
      throw new SlipwayError('invalid', `cannot replace to directory /${path} with file`)
    if (entry.type === 'link') return this.#link(entry, path)
    const digest = kind === 'file' ? await this.#file(entry, body, path) : undefined
    if (kind === 'symlink')
      this.#make(path, () => symlinkSync(encodeName(entry.linkName), encodeName(join(this.#root, path))))
    if (kind === 'fifo')
      this.#make(path, () => this.#files.mknod(join(this.#root, path), constants.S_IFIFO | 0o600, 0, 0))
    this.listing.set(path, {
      ...{ kind, digest, mtimeNs: entry.mtimeNs, size: kind === 'file' ? entry.size : 0 },
      mode: kind === 'symlink' ? 0o777 : entry.mode & 0o7777,
      link: kind === 'symlink' ? entry.linkName : '',
      xattrs: xattrsOf(entry),
    })
  }

  finish(): void {
    if (!this.#own) return
    chmodSync(this.#root, this.#own.mode & 0o7777)
    this.#files.setTimes(this.#root, this.#own.mtimeNs, this.#own.mtimeNs)
  }

  /** Relative to the root; missing directories above are made. */
  #placeOf(name: string): string {
    const inside = posix.join('/', name)
    if (inside === '/') return ''
    const folder = posix.dirname(inside)
    let place = this.#places.get(folder)
    if (place === undefined) {
      place = this.#files.resolveInRoot(this.#root, folder).slice(1)
      let above = ''
      for (const part of place.split('/').filter(Boolean)) {
        above = posix.join(above, part)
        if (this.listing.get(above)) continue
        mkdirSync(encodeName(join(this.#root, above)))
        this.listing.set(above, { kind: 'directory', mode: 0o755, mtimeNs: BigInt(Date.now()) * 1_000_000n })
      }
      this.#places.set(folder, place)
    }
    return posix.join(place, posix.basename(inside))
  }

  /** What is in the way goes first; a name may come twice. */
  #make<T>(path: string, make: () => T): T {
    if (this.listing.get(path)) {
      rmSync(encodeName(join(this.#root, path)), { force: true })
      this.listing.delete(path)
    }
    this.#places.clear()
    return make()
  }

  async #file(entry: TarEntry, body: AsyncIterable<Buffer>, path: string): Promise<string> {
    const absolute = join(this.#root, path)
    if (this.listing.get(path)) rmSync(encodeName(absolute), { force: true })
    const known = this.#before?.get(path)
    if (known?.kind !== 'file' || known.size !== entry.size || entry.size > mostCompared)
      return await this.#write(entry, body, absolute)
    const whole: Buffer[] = []
    for await (const chunk of body) whole.push(chunk)
    const data = whole.length === 1 ? whole[0]! : Buffer.concat(whole)
    const digest = hash('sha256', data, 'hex')
    if (isSame(known, entry, digest) && nameToo(known.absolute, absolute)) return digest
    return await this.#write(entry, [data], absolute)
  }

  async #write(entry: TarEntry, body: AsyncIterable<Buffer> | Iterable<Buffer>, absolute: string): Promise<string> {
    const digest = createHash('sha256')
    const fd = openSync(encodeName(absolute), 'wx', 0o600)
    try {
      for await (const chunk of body) {
        digest.update(chunk)
        for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at)
      }
      fchmodSync(fd, entry.mode & 0o7777)
    } finally {
      closeSync(fd)
    }
    for (const [name, value] of xattrsOf(entry)) this.#files.setXattr(absolute, name, value)
    this.#files.setTimes(absolute, entry.mtimeNs, entry.mtimeNs)
    return digest.digest('hex')
  }

  #link(entry: TarEntry, path: string): void {
    const source = this.#placeOf(entry.linkName)
    const target = this.listing.get(source)
    if (!target || target.kind === 'directory')
      throw new SlipwayError('invalid', `hard link "${entry.path}" to "${entry.linkName}": no such file in the context`)
    if (source === path) return
    this.#make(path, () => linkSync(encodeName(join(this.#root, source)), encodeName(join(this.#root, path))))
    this.listing.twin(path, target)
  }
}

/** Of content that is gathered before it is known whether it is to be written. */
const mostCompared = 1 << 20

const isSame = (known: Entry, entry: TarEntry, digest: string): boolean =>
  known.digest === digest &&
  known.mode === (entry.mode & 0o7777) &&
  known.mtimeNs === entry.mtimeNs &&
  JSON.stringify(known.xattrs) === JSON.stringify(xattrsOf(entry))

const xattrsOf = (entry: TarEntry): Entry['xattrs'] =>
  [...entry.xattrs]
    .filter(([name]) => isKeptXattr(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]): [string, Buffer] => [name, Buffer.from(value)])
