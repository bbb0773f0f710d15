/**
 * Copies of clients' directories, kept from build to build so that only what has changed is fetched again. Files are put in
 * place whole, with their times, so a copy that a kill left half done is merely older: the next transfer compares it anew.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { linkAt, lstatExact, lstatOrNone, namesIn } from '../../lib/named-files.ts'
import { encodeName } from '../../lib/tar/index.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import type { RemoteDirectory, RemoteEntry, RemoteTransfer } from '../types.ts'
import { sha256File } from './digests.ts'
import { KeptState, type Remembered, type Unchanged } from './kept-state.ts'
import { Listing } from './listing.ts'
import { checkSize } from './open.ts'
import { createPacer } from './pacer.ts'
import { removeLater } from './remove-later.ts'
import { type Entry, isKeptXattr, xattrsOf } from './tree.ts'

export interface KeptCopy {
  root: string
  listing: Listing
  /** Copies of the same revision are the same. */
  revision: string
  /** Bytes that came over the wire, and of all files. */
  fetched: number
  size: number
  /** Others may use the directory now. */
  release(): void
}
type Brought = Omit<KeptCopy, 'root' | 'release'>
type Want = Pick<Parameters<RemoteDirectory['open']>[0], 'exclude' | 'follow'>

const prefix = 'contexts-'
/** Of directories that take what a transfer replaces, until somebody has time to delete it. */
const replaced = 'replaced-'

export class KeptContexts {
  readonly #base: string
  readonly #files: SpecialFiles
  readonly #inUse = new Set<string>()

  constructor(base: string, files: SpecialFiles) {
    this.#base = base
    this.#files = files
  }

  /** Brings the copy up to date. It holds exactly what was wanted. */
  async sync(
    remote: RemoteDirectory,
    want: Want,
    signal: AbortSignal,
    progress: (bytes: number) => void,
  ): Promise<KeptCopy> {
    const directory = this.#take(remote.key)
    const release = (): void => void this.#inUse.delete(directory)
    const root = join(directory, 'files')
    const state = new KeptState(directory, root)
    const unchanged = state.unchanged()
    const transfer = remote.open({ ...want, before: unchanged?.told ?? Buffer.alloc(0) }, signal)
    try {
      const copy =
        unchanged && (await transfer.same)
          ? await asItWas(root, state, unchanged, transfer)
          : await new Sync(directory, state, unchanged !== undefined, this.#files, transfer, progress).run(signal)
      const now = new Date()
      utimesSync(directory, now, now)
      return { root, ...copy, release }
    } catch (error) {
      release()
      throw error
    } finally {
      transfer.close()
    }
  }

  /** Two builds of one directory at once have a copy each. */
  #take(key: string): string {
    const name = prefix + createHash('sha256').update(key).digest('hex').slice(0, 32)
    for (let i = 0; ; i++) {
      const directory = join(this.#base, i === 0 ? name : `${name}.${i}`)
      if (this.#inUse.has(directory)) continue
      this.#inUse.add(directory)
      return directory
    }
  }

  list(): { id: string; directory: string; createdAt: number; lastUsedAt: number; inUse: boolean }[] {
    return (existsSync(this.#base) ? readdirSync(this.#base) : [])
      .filter((name) => name.startsWith(prefix))
      .map((id) => {
        const directory = join(this.#base, id)
        const { birthtimeMs, mtimeMs } = statSync(directory)
        return { id, directory, createdAt: birthtimeMs, lastUsedAt: mtimeMs, inUse: this.#inUse.has(directory) }
      })
  }

  /** False while a build reads it. */
  remove(id: string): boolean {
    const directory = join(this.#base, id)
    if (this.#inUse.has(directory)) return false
    // First of all: a kill in between must not leave it saying that all is there.
    new KeptState(directory, join(directory, 'files')).forget()
    rmSync(directory, { recursive: true, force: true })
    return true
  }
}

const refused = (path: string): SlipwayError => new SlipwayError('bad-request', `invalid path in the context: ${path}`)

/** The client has told what it told the last time: nothing has to be looked at, and most builds do not ask what it was. */
const asItWas = async (
  root: string,
  state: KeptState,
  { revision, size }: Unchanged,
  transfer: RemoteTransfer,
): Promise<Brought> => {
  await transfer.finish()
  const listing = new Listing(root, (empty) => {
    for (const entry of transfer.known()) {
      if (entry.kind === 'other') continue
      const twin = entry.kind === 'file' && entry.link !== '' ? empty.get(posix.normalize(entry.link)) : undefined
      if (twin) empty.twin(entry.path, twin)
      else list(empty, entry).digest = state.index.files.get(entry.path)?.[3]
    }
  })
  return { listing, revision, fetched: 0, size }
}

/** A segment that is empty, '.' or '..'. */
const odd = /(?:^|\/)\.{0,2}(?:\/|$)/

class Sync {
  readonly root: string
  readonly listing: Listing
  readonly #state: KeptState
  /** Files that are what is remembered of them. */
  readonly #same = new Set<string>()
  readonly #incoming: string
  readonly #replaced: string
  readonly #files: SpecialFiles
  readonly #transfer: RemoteTransfer
  readonly #progress: (bytes: number) => void
  /** Names in each directory that was told of. */
  readonly #seen = new Map<string, Set<string>>([['', new Set()]])
  readonly #directories: RemoteEntry[] = []
  readonly #links: RemoteEntry[] = []
  readonly #open = new Set<number>()
  /** Nothing was changed so far: the directory is what the index says. */
  #untouched = true
  /** Nothing was found that somebody else has done: what the index says of a file needs no look at it. */
  #asLeft: boolean
  /** Files that the client has told of, and those among them that the index spoke for. */
  #told = 0
  #remembered = 0
  #fetched = 0
  #size = 0

  constructor(
    directory: string,
    state: KeptState,
    asLeft: boolean,
    files: SpecialFiles,
    transfer: RemoteTransfer,
    progress: (bytes: number) => void,
  ) {
    this.root = join(directory, 'files')
    this.listing = new Listing(this.root)
    this.#state = state
    this.#asLeft = asLeft
    this.#incoming = join(directory, 'incoming')
    this.#replaced = join(directory, replaced + randomUUID())
    this.#files = files
    this.#transfer = transfer
    this.#progress = progress
  }

  async run(signal: AbortSignal): Promise<Brought> {
    try {
      return await this.#run(signal)
    } finally {
      this.#close()
    }
  }

  async #run(signal: AbortSignal): Promise<Brought> {
    rmSync(this.#incoming, { recursive: true, force: true })
    const directory = dirname(this.root)
    for (const name of existsSync(directory) ? readdirSync(directory) : [])
      if (name.startsWith(replaced)) removeLater(join(directory, name))
    for (const each of [this.#incoming, this.#replaced]) mkdirSync(each, { recursive: true, mode: 0o700 })
    mkdirSync(this.root, { recursive: true, mode: 0o755 })
    const pace = createPacer()
    for await (const batch of this.#transfer.entries) {
      for (const entry of batch) {
        await pace()
        signal.throwIfAborted()
        await this.#place(entry)
      }
    }
    await this.#transfer.finish()
    for (const entry of this.#links) this.#link(entry)
    for (const [directory, names] of this.#seen) {
      await pace()
      for (const name of namesIn(join(this.root, directory)))
        if (!names.has(name)) {
          this.#touch()
          rmSync(encodeName(join(this.root, directory, name)), { recursive: true, force: true })
        }
    }
    for (const { path, mtimeNs } of this.#directories.reverse())
      this.#files.setTimes(join(this.root, path), mtimeNs, mtimeNs)
    await this.#remember(pace)
    const revision = this.#state.writeTold(this.#transfer.told(), this.#size, [...this.#seen.keys()])
    return { listing: this.listing, revision, fetched: this.#fetched, size: this.#size }
  }

  /** Reads what came without being read, as after a kill, and writes down what is known of all files. */
  async #remember(pace: () => Promise<void> | undefined): Promise<void> {
    if (this.#untouched && this.#remembered === this.#told && this.#remembered === this.#state.index.files.size) return
    const index: [string, Remembered][] = []
    const twins = new Set(this.#links.map(({ path }) => path))
    let changed = false
    for (const entry of this.listing.entries()) {
      if (entry.kind !== 'file') continue
      await pace()
      // A second name of a file is told of by its first.
      if (twins.has(entry.path)) continue
      const known = this.#state.index.files.get(entry.path)
      if (known && this.#same.has(entry.path)) {
        const [ino, mtimeNs, size, digest, mode, before] = known
        const xattrs = textOf(entry.xattrs)
        index.push([entry.path, [ino, mtimeNs, size, digest, entry.mode, xattrs]])
        changed ||= mode !== entry.mode || before !== xattrs
        continue
      }
      entry.digest ??= await sha256File(entry.absolute, entry.size)
      const { ino, mtimeNs, size } = lstatExact(entry.absolute)
      index.push([
        entry.path,
        [String(ino), String(mtimeNs), Number(size), entry.digest, entry.mode, textOf(entry.xattrs)],
      ])
      changed = true
    }
    if (changed || !this.#untouched || !this.#state.index.trusted || index.length !== this.#state.index.files.size)
      this.#state.writeIndex(index)
  }

  /** Files that have not come whole. */
  #close(): void {
    for (const fd of this.#open) closeSync(fd)
    removeLater(this.#replaced)
  }

  /** Before anything is changed: a kill in between must not leave an index that says what was. */
  #touch(): void {
    if (this.#untouched) this.#state.forget()
    this.#untouched = false
  }

  /** A name's parent must have been told of as a directory, so nothing is ever written through a link. */
  #place(entry: RemoteEntry): Promise<void> | undefined {
    const { path } = entry
    if (odd.test(path) || path.includes('\0')) throw refused(path)
    const slash = path.lastIndexOf('/')
    const names = this.#seen.get(slash < 0 ? '' : path.slice(0, slash))
    const name = path.slice(slash + 1)
    if (!names || names.has(name)) throw refused(path)
    if (entry.kind === 'other') return undefined
    names.add(name)
    if (entry.kind === 'file' && entry.link === '') {
      this.#told++
      if (this.#isRemembered(entry)) return undefined
    }
    const absolute = join(this.root, path)
    const there = lstatSync(encodeName(absolute), { bigint: true, throwIfNoEntry: false })
    if (entry.kind === 'directory') {
      this.#directory(entry, absolute, there)
      return undefined
    }
    if (there?.isDirectory()) {
      this.#touch()
      rmSync(encodeName(absolute), { recursive: true, force: true })
    }
    const before = there?.isDirectory() ? undefined : there
    if (entry.kind === 'file') {
      if (entry.link === '') return this.#file(entry, absolute, before)
      this.#links.push(entry)
    } else if (entry.kind === 'symlink') this.#symlink(entry, absolute, before)
    else {
      list(this.listing, entry)
      this.#touch()
      if (before) unlinkSync(encodeName(absolute))
      this.#files.mknod(absolute, constants.S_IFIFO | entry.mode, 0, 0)
    }
    return undefined
  }

  #directory(entry: RemoteEntry, absolute: string, there: BigIntStats | undefined): void {
    if (!there?.isDirectory()) {
      this.#touch()
      this.#asLeft = false
      if (there) unlinkSync(encodeName(absolute))
      mkdirSync(encodeName(absolute))
    }
    if (!there?.isDirectory() || Number(there.mode & 0o7777n) !== entry.mode)
      chmodSync(encodeName(absolute), entry.mode)
    this.#seen.set(entry.path, new Set())
    this.#directories.push(entry)
    list(this.listing, entry)
  }

  #symlink(entry: RemoteEntry, absolute: string, there: BigIntStats | undefined): void {
    list(this.listing, entry)
    if (there?.isSymbolicLink() && linkAt(absolute) === entry.link && there.mtimeNs === entry.mtimeNs) return
    this.#touch()
    if (there) unlinkSync(encodeName(absolute))
    symlinkSync(encodeName(entry.link), encodeName(absolute))
    this.#files.setTimes(absolute, entry.mtimeNs, entry.mtimeNs)
  }

  /** Is it what the last transfer has left, and is that still there? Then nobody has to look. */
  #isRemembered(entry: RemoteEntry): boolean {
    if (!this.#asLeft || !this.#state.index.trusted) return false
    const [, mtimeNs, size, digest, mode, xattrs] = this.#state.index.files.get(entry.path) ?? []
    if (size !== entry.size || mode !== entry.mode || mtimeNs !== String(entry.mtimeNs)) return false
    if (xattrs !== textOf(keptXattrs(entry.xattrs))) return false
    this.#size += entry.size
    this.#same.add(entry.path)
    this.#remembered++
    list(this.listing, entry).digest = digest
    return true
  }

  /** Of a file, known or not. */
  #hasXattrs(entry: RemoteEntry, absolute: string): boolean {
    const wanted = textOf(keptXattrs(entry.xattrs))
    return wanted === (this.#state.index.files.get(entry.path)?.[5] ?? textOf(xattrsOf(this.#files, absolute)))
  }

  /** Unchanged: same size, mode, extended attributes and time of modification. */
  async #file(entry: RemoteEntry, absolute: string, there: BigIntStats | undefined): Promise<void> {
    this.#size += entry.size
    const listed = list(this.listing, entry)
    if (
      there?.isFile() &&
      there.size === BigInt(entry.size) &&
      there.mtimeNs === entry.mtimeNs &&
      Number(there.mode & 0o7777n) === entry.mode &&
      this.#hasXattrs(entry, absolute)
    ) {
      const [ino, mtimeNs, size, digest] = this.#state.index.files.get(entry.path) ?? []
      const same = ino === String(there.ino) && mtimeNs === String(there.mtimeNs) && size === entry.size
      // A power cut may have taken data whose name and times were written already.
      if (this.#state.index.trusted || (same && (await sha256File(absolute, entry.size)) === digest)) {
        if (same) this.#same.add(entry.path)
        if (same) listed.digest = digest
        return
      }
    }
    this.#touch()
    const hash = createHash('sha256')
    const temporary = join(this.#incoming, randomUUID())
    let fd: number | undefined
    const write = (chunk: Uint8Array): void => {
      if (fd === undefined) {
        fd = openSync(temporary, 'wx', 0o600)
        this.#open.add(fd)
      }
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at)
    }
    this.#transfer.read(entry, (chunk) => {
      if (chunk) {
        write(chunk)
        hash.update(chunk)
        this.#fetched += chunk.length
        this.#progress(this.#fetched)
        return
      }
      if (fd === undefined) write(new Uint8Array())
      fchmodSync(fd!, entry.mode)
      closeSync(fd!)
      this.#open.delete(fd!)
      for (const [name, value] of Object.entries(entry.xattrs))
        if (isKeptXattr(name)) this.#files.setXattr(temporary, name, value)
      this.#files.setTimes(temporary, entry.mtimeNs, entry.mtimeNs)
      listed.digest = hash.digest('hex')
      // Renaming over a file makes ext4 write the data out at once, and to delete it takes longer than all the rest.
      if (there) renameSync(encodeName(absolute), join(this.#replaced, randomUUID()))
      renameSync(temporary, encodeName(absolute))
    })
  }

  #link(entry: RemoteEntry): void {
    const target = posix.normalize(entry.link)
    const parent = posix.dirname(target)
    if (!this.#seen.get(parent === '.' ? '' : parent)?.has(posix.basename(target))) throw refused(entry.link)
    const source = join(this.root, target)
    const absolute = join(this.root, entry.path)
    this.listing.twin(entry.path, this.listing.get(target)!)
    const there = lstatOrNone(absolute)
    if (there && there.ino === lstatOrNone(source)?.ino) return
    this.#touch()
    if (there) unlinkSync(encodeName(absolute))
    linkSync(encodeName(source), encodeName(absolute))
  }
}

const none: Entry['xattrs'] = []

const keptXattrs = (xattrs: RemoteEntry['xattrs']): Entry['xattrs'] => {
  const names = Object.keys(xattrs).filter(isKeptXattr).sort()
  return names.length === 0 ? none : names.map((name) => [name, Buffer.from(xattrs[name]!)])
}

/** '' for none. */
const textOf = (xattrs: Entry['xattrs']): string =>
  xattrs.length === 0 ? '' : JSON.stringify(xattrs.map(([name, value]) => [name, value.toString('hex')]))

/** Under the client's word for it, as a file of root's. */
const list = (listing: Listing, { path, kind, mode, mtimeNs, size, link, xattrs }: RemoteEntry): Entry =>
  listing.set(path, {
    kind: kind as Entry['kind'],
    mode: kind === 'symlink' ? 0o777 : mode,
    size: kind === 'file' ? size : 0,
    link: kind === 'symlink' ? link : '',
    xattrs: keptXattrs(xattrs),
    mtimeNs,
  })

/** The named files, in memory, without those that are not there; links within the directory are followed. 16 MiB together. */
export const readRemote = async (
  remote: RemoteDirectory,
  names: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, Buffer>> => {
  const transfer = remote.open({ exclude: [], follow: names }, signal)
  const files = new Map<string, Buffer[]>()
  const links = new Map<string, string>()
  let bytes = 0
  try {
    for await (const batch of transfer.entries)
      for (const entry of batch) {
        if (entry.kind === 'symlink') links.set(entry.path, posix.join(posix.dirname(`/${entry.path}`), entry.link))
        if (entry.kind !== 'file') continue
        const chunks: Buffer[] = []
        files.set(entry.path, chunks)
        transfer.read(entry, (chunk) => {
          if (!chunk) return
          bytes += chunk.length
          checkSize(entry.path, bytes)
          chunks.push(Buffer.from(chunk))
        })
      }
    await transfer.finish()
  } finally {
    transfer.close()
  }
  const resolve = (name: string, hops = 0): Buffer[] | undefined => {
    const link = links.get(name)
    return link === undefined || hops > 32 ? files.get(name) : resolve(link.slice(1), hops + 1)
  }
  return new Map(
    names.flatMap((name): [string, Buffer][] => {
      const chunks = resolve(name)
      return chunks ? [[name, Buffer.concat(chunks)]] : []
    }),
  )
}
