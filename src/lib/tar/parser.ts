import type { TarEntry, TarEntryType } from './entry.ts'
import { BLOCK, type RawHeader, readHeader, readPax } from './header.ts'
import { decodeName } from './names.ts'
import { invalidTar, readDecimal, readTime } from './numbers.ts'
import { checkSparse, readMapPrefix, readMapRecord, readOldSparse, type SparseMap } from './sparse.ts'

/** Called in the order of the archive. `data` is only for files; what it is given is valid only until it returns. */
export interface TarHandler {
  entry(entry: TarEntry): void
  /** Stored bytes that belong at `position` of the file. Holes of sparse files are left out. */
  data(chunk: Buffer, position: number): void
  /** The entry is complete. */
  end(entry: TarEntry): void
}

export interface TarLimits {
  /** Entries in the archive; default 4 million. */
  entries?: number | undefined
  /** Bytes of a path or link target; default 4096 (PATH_MAX). */
  pathLength?: number | undefined
  /** Bytes of one extended header; default 1 MiB. */
  headerSize?: number | undefined
}

const types: Record<string, TarEntryType> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  D: 'directory',
  '6': 'fifo',
}

type State = 'header' | 'extended' | 'old-sparse' | 'sparse-prefix' | 'data' | 'padding' | 'ending' | 'done'

/**
 * A push parser: give it the archive's bytes in any pieces, it calls the handler synchronously. It reads ustar, PAX, GNU and
 * v7 headers, long names, base-256 numbers and all sparse formats, and trusts nothing: every number and length is checked.
 * Names are handed on as they are; whoever writes files must confine them.
 */
export class TarParser {
  readonly #handler: TarHandler
  readonly #limits: Required<{ [K in keyof TarLimits]: number }>
  #state: State = 'header'
  /** Bytes still to come of what the state reads, padding excluded. */
  #left = 0
  #padding = 0
  #pending: Buffer[] = []
  #pendingBytes = 0
  #header: RawHeader | undefined
  #entry: TarEntry | undefined
  #pax = new Map<string, Buffer>()
  #global = new Map<string, Buffer>()
  #longName: Buffer | undefined
  #longLink: Buffer | undefined
  #sparse: SparseMap | undefined
  #segment = 0
  #position = 0
  #entries = 0

  constructor(handler: TarHandler, limits: TarLimits = {}) {
    this.#handler = handler
    this.#limits = {
      entries: limits.entries ?? 4_000_000,
      pathLength: limits.pathLength ?? 4096,
      headerSize: limits.headerSize ?? 1 << 20,
    }
  }

  /** True once the end-of-archive mark was read; what follows is ignored. */
  get done(): boolean {
    return this.#state === 'done'
  }

  push(chunk: Uint8Array): void {
    let rest = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    while (rest.length > 0 && this.#state !== 'done') rest = rest.subarray(this.#step(rest))
  }

  /** The archive has ended. 'invalid' when it was cut off; a missing end mark, or padding before it, is fine. */
  finish(): void {
    if (this.#state === 'done') return
    const atStart = this.#state === 'header' || this.#state === 'ending'
    const whole = atStart || (this.#state === 'padding' && this.#padding < BLOCK)
    if (!whole || this.#pendingBytes > 0 || this.#pax.size > 0 || this.#longName) throw invalidTar('unexpected EOF')
  }

  /** Takes some of `rest`; returns how many bytes. */
  #step(rest: Buffer): number {
    if (this.#state === 'data') return this.#data(rest)
    if (this.#state === 'padding') {
      const taken = Math.min(this.#padding, rest.length)
      this.#padding -= taken
      if (this.#padding === 0) this.#state = 'header'
      return taken
    }
    const wanted = this.#state === 'extended' ? this.#left + this.#padding : BLOCK
    const taken = Math.min(wanted - this.#pendingBytes, rest.length)
    if (this.#pendingBytes === 0 && taken === wanted) this.#whole(rest.subarray(0, taken))
    else {
      this.#pending.push(Buffer.from(rest.subarray(0, taken)))
      this.#pendingBytes += taken
      if (this.#pendingBytes === wanted) {
        const whole = Buffer.concat(this.#pending)
        this.#pending = []
        this.#pendingBytes = 0
        this.#whole(whole)
      }
    }
    return taken
  }

  #whole(block: Buffer): void {
    if (this.#state === 'header') this.#headerBlock(block)
    else if (this.#state === 'ending') this.#endBlock(block)
    else if (this.#state === 'extended') this.#extended(block.subarray(0, this.#left))
    else if (this.#state === 'old-sparse') this.#oldSparse(block)
    else this.#sparsePrefix(block)
  }

  #headerBlock(block: Buffer): void {
    const header = readHeader(block)
    if (!header) {
      this.#state = 'ending'
      return
    }
    if (++this.#entries > this.#limits.entries) throw invalidTar(`more than ${this.#limits.entries} entries`)
    this.#header = header
    if ('xgLK'.includes(header.typeflag)) {
      if (header.size < 0 || header.size > this.#limits.headerSize) throw invalidTar('extended header too large')
      this.#left = header.size
      this.#padding = paddingOf(header.size)
      if (header.size > 0) this.#state = 'extended'
      return
    }
    if (header.typeflag === 'V') {
      this.#padding = header.size + paddingOf(header.size)
      if (this.#padding > 0) this.#state = 'padding'
      return
    }
    if (header.typeflag === 'S' && header.gnu) {
      this.#sparse = { realSize: 0, segments: [] }
      readOldSparse(block, 386, 4, this.#sparse)
      this.#sparse.realSize = Number(BigInt(readSize(block)))
      if (block[482] !== 0) {
        this.#state = 'old-sparse'
        return
      }
    }
    this.#begin(header)
  }

  /** Two blocks of zeros end the archive; one at its very end will do, but nothing else may follow it (Go's archive/tar). */
  #endBlock(block: Buffer): void {
    if (readHeader(block)) throw invalidTar('invalid tar header')
    this.#state = 'done'
  }

  #oldSparse(block: Buffer): void {
    readOldSparse(block, 0, 21, this.#sparse!)
    if (block[504] !== 0) return
    this.#begin(this.#header!)
  }

  #extended(body: Buffer): void {
    const flag = this.#header!.typeflag
    if (flag === 'x') this.#pax = readPax(body)
    else if (flag === 'g') for (const [key, value] of readPax(body)) this.#global.set(key, value)
    else {
      const end = body.indexOf(0)
      const name = Buffer.from(end === -1 ? body : body.subarray(0, end))
      if (flag === 'L') this.#longName = name
      else this.#longLink = name
    }
    this.#state = 'header'
  }

  #begin(header: RawHeader): void {
    const pax = this.#global.size > 0 ? new Map([...this.#global, ...this.#pax]) : this.#pax
    const name = pax.get('GNU.sparse.name') ?? pax.get('path') ?? this.#longName ?? header.name
    const link = pax.get('linkpath') ?? this.#longLink ?? header.linkName
    const type = types[header.typeflag]
    if (!type) throw invalidTar(`unhandled tar header type ${header.typeflag.charCodeAt(0)}`)
    if (name.length > this.#limits.pathLength || link.length > this.#limits.pathLength)
      throw invalidTar('path too long')
    if (name.includes(0) || link.includes(0)) throw invalidTar('invalid path')
    const number = (key: string, fallback: number): number =>
      pax.has(key) ? readDecimal(pax.get(key)!.toString('latin1')) : fallback
    const stored = number('size', header.size)
    if (stored < 0) throw invalidTar('invalid tar header')
    const path = decodeName(name)
    // Archives older than POSIX mark directories by a slash only.
    const isDirectory =
      type === 'directory' || ((header.typeflag === '0' || header.typeflag === '\0') && path.endsWith('/'))
    const hasData = type === 'file' && !isDirectory
    this.#entry = {
      path,
      type: isDirectory ? 'directory' : type,
      mode: header.mode & 0o7777,
      uid: number('uid', header.uid),
      gid: number('gid', header.gid),
      size: hasData ? stored : 0,
      mtimeNs: pax.has('mtime')
        ? readTime(pax.get('mtime')!.toString('latin1'))
        : BigInt(header.mtime) * 1_000_000_000n,
      linkName: type === 'symlink' || type === 'link' ? decodeName(link) : '',
      devMajor: header.devMajor,
      devMinor: header.devMinor,
      uname: pax.get('uname')?.toString('utf8') ?? header.uname,
      gname: pax.get('gname')?.toString('utf8') ?? header.gname,
      xattrs: xattrsOf(pax),
    }
    this.#position = 0
    this.#segment = 0
    this.#left = stored
    this.#padding = paddingOf(stored)
    if (hasData) this.#beginSparse(pax, stored)
    else if (header.typeflag === 'D') this.#padding += stored
    // Other types have no content, whatever size they name: some writers repeat there the size of a hard link's file.
    else this.#padding = 0
    this.#pax = new Map()
    this.#longName = this.#longLink = undefined
    if (this.#state === 'sparse-prefix') return
    this.#announce(hasData)
  }

  #announce(hasData: boolean): void {
    this.#handler.entry(this.#entry!)
    if (hasData) this.#state = 'data'
    if (!hasData || this.#left === 0) this.#finishEntry()
  }

  #beginSparse(pax: Map<string, Buffer>, stored: number): void {
    const size = pax.get('GNU.sparse.realsize') ?? pax.get('GNU.sparse.size')
    const realSize = size ? readDecimal(size.toString('latin1')) : stored
    if (pax.get('GNU.sparse.major')?.toString() === '1') {
      this.#sparse = { realSize, segments: [] }
      this.#state = 'sparse-prefix'
      return
    }
    const map = pax.get('GNU.sparse.map')
    if (map) this.#sparse = readMapRecord(map.toString('latin1'), realSize)
    if (this.#sparse) this.#entry!.size = checkSparse(this.#sparse, stored).realSize
  }

  #prefix = Buffer.alloc(0)
  #sparsePrefix(block: Buffer): void {
    this.#prefix = Buffer.concat([this.#prefix, block])
    this.#left -= BLOCK
    if (this.#left < 0) throw invalidTar('invalid sparse map')
    const found = readMapPrefix(this.#prefix, this.#sparse!.realSize)
    if (!found) return
    this.#prefix = Buffer.alloc(0)
    this.#sparse = checkSparse(found.map, this.#left)
    this.#entry!.size = this.#sparse.realSize
    this.#announce(true)
  }

  #data(rest: Buffer): number {
    let room = Math.min(rest.length, this.#left)
    let position = this.#position
    if (this.#sparse) {
      let segment = this.#sparse.segments[this.#segment]!
      while (this.#position >= segment.length) {
        this.#position -= segment.length
        segment = this.#sparse.segments[++this.#segment]!
      }
      room = Math.min(room, segment.length - this.#position)
      position = segment.offset + this.#position
    }
    this.#handler.data(rest.subarray(0, room), position)
    this.#position += room
    this.#left -= room
    if (this.#left === 0) this.#finishEntry()
    return room
  }

  #finishEntry(): void {
    const entry = this.#entry!
    this.#entry = undefined
    this.#sparse = undefined
    this.#handler.end(entry)
    this.#state = this.#padding > 0 ? 'padding' : 'header'
  }
}

const paddingOf = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK

/** The real size of an old GNU sparse file. */
const readSize = (block: Buffer): number => {
  const value = Number.parseInt(block.toString('latin1', 483, 494).replace(/\0.*/, '').trim() || '0', 8)
  if (!Number.isSafeInteger(value)) throw invalidTar('invalid sparse map')
  return value
}

const xattrPrefix = 'SCHILY.xattr.'
const noXattrs: Map<string, Buffer> = new Map()
const xattrsOf = (pax: Map<string, Buffer>): Map<string, Buffer> => {
  let found = noXattrs
  for (const [key, value] of pax) {
    if (!key.startsWith(xattrPrefix)) continue
    if (found === noXattrs) found = new Map()
    found.set(key.slice(xattrPrefix.length), value)
  }
  return found
}
