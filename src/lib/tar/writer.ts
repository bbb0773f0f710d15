import { Readable } from 'node:stream'
import type { TarEntry, TarEntryType } from './entry.ts'
import { BLOCK } from './header.ts'
import { nameBytes } from './names.ts'
import { invalidTar } from './numbers.ts'

const flags: Record<TarEntryType, string> = {
  file: '0',
  link: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
}

/** The end of an archive. */
export const tarEnd: Buffer = Buffer.alloc(2 * BLOCK)

/** Zeros that follow `size` bytes of content. */
export const tarPadding = (size: number): Buffer => zeros.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK)
const zeros = Buffer.alloc(BLOCK)

/**
 * The header of an entry: ustar, preceded by a PAX header only where ustar cannot say it (long or non-ASCII names, large
 * numbers, fractions of seconds, xattrs). Depends on nothing but the entry, so the same entry gives the same bytes. A
 * directory's path gets its trailing slash.
 */
export const encodeTarHeader = (entry: TarEntry): Buffer => {
  const path = entry.type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path
  const name = nameBytes(path)
  const link = nameBytes(entry.linkName)
  const size = entry.type === 'file' ? entry.size : 0
  const seconds = floorSeconds(entry.mtimeNs)
  const records: [string, Buffer][] = []
  const record = (key: string, value: string | Buffer): void => {
    records.push([key, typeof value === 'string' ? Buffer.from(value) : value])
  }
  if (!fits(name, 100)) record('path', name)
  if (!fits(link, 100)) record('linkpath', link)
  if (size > 0o77777777777) record('size', String(size))
  if (entry.uid > 0o7777777) record('uid', String(entry.uid))
  if (entry.gid > 0o7777777) record('gid', String(entry.gid))
  const plainTime = seconds >= 0n && seconds <= 0o77777777777n && seconds * 1_000_000_000n === entry.mtimeNs
  if (!plainTime) record('mtime', decimalTime(entry.mtimeNs))
  for (const key of [...entry.xattrs.keys()].sort()) record(`SCHILY.xattr.${key}`, entry.xattrs.get(key)!)
  const header = ustar(flags[entry.type], {
    name,
    link,
    mode: entry.mode,
    uid: entry.uid > 0o7777777 ? 0 : entry.uid,
    gid: entry.gid > 0o7777777 ? 0 : entry.gid,
    size: size > 0o77777777777 ? 0 : size,
    seconds: plainTime ? Number(seconds) : 0,
    entry,
  })
  return records.length === 0 ? header : Buffer.concat([...paxHeader(records), header])
}

const fits = (bytes: Buffer, limit: number): boolean => bytes.length <= limit && bytes.every((byte) => byte < 0x80)

const floorSeconds = (ns: bigint): bigint => (ns >= 0n ? ns / 1_000_000_000n : (ns - 999_999_999n) / 1_000_000_000n)

const decimalTime = (ns: bigint): string => {
  const absolute = ns < 0n ? -ns : ns
  const fraction = String(absolute % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `${ns < 0n ? '-' : ''}${absolute / 1_000_000_000n}${fraction && `.${fraction}`}`
}

const paxHeader = (records: [string, Buffer][]): Buffer[] => {
  const body = Buffer.concat(
    records
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => {
        const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')])
        let length = rest.length + String(rest.length).length
        if (String(length).length !== String(rest.length).length) length = rest.length + String(length).length
        return Buffer.concat([Buffer.from(String(length)), rest])
      }),
  )
  const header = ustar('x', {
    name: Buffer.from('PaxHeaders.0/entry'),
    link: zeros.subarray(0, 0),
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    seconds: 0,
    entry: undefined,
  })
  return [header, body, tarPadding(body.length)]
}

interface UstarFields {
  name: Buffer
  link: Buffer
  mode: number
  uid: number
  gid: number
  size: number
  seconds: number
  entry: TarEntry | undefined
}

const slabBlocks = 128
let slab = Buffer.alloc(0)
let used = 0

/** Zeros for one header; of memory that is made for many at once, and never given out twice. */
const newBlock = (): Buffer => {
  if (used === slab.length) {
    slab = Buffer.alloc(slabBlocks * BLOCK)
    used = 0
  }
  used += BLOCK
  return slab.subarray(used - BLOCK, used)
}

const zero = '0'.charCodeAt(0)

const ustar = (flag: string, fields: UstarFields): Buffer => {
  const block = newBlock()
  const octal = (value: number, offset: number, length: number): void => {
    if (value < 0) throw invalidTar('number out of range')
    for (let at = offset + length - 2, rest = value; at >= offset; at--, rest = Math.floor(rest / 8))
      block[at] = zero + (rest % 8)
  }
  fields.name.copy(block, 0, 0, 100)
  octal(fields.mode & 0o7777, 100, 8)
  octal(fields.uid, 108, 8)
  octal(fields.gid, 116, 8)
  octal(fields.size, 124, 12)
  octal(fields.seconds, 136, 12)
  block.fill(0x20, 148, 156)
  block.write(flag, 156, 'latin1')
  fields.link.copy(block, 157, 0, 100)
  block.write('ustar\x0000', 257, 'latin1')
  if (fields.entry) {
    Buffer.from(fields.entry.uname).copy(block, 265, 0, 31)
    Buffer.from(fields.entry.gname).copy(block, 297, 0, 31)
    const device = fields.entry.type === 'char' || fields.entry.type === 'block'
    octal(device ? fields.entry.devMajor : 0, 329, 8)
    octal(device ? fields.entry.devMinor : 0, 337, 8)
  }
  let sum = 0
  for (let at = 0; at < BLOCK; at++) sum += block[at]!
  octal(sum, 148, 7)
  block[154] = 0
  return block
}

export interface TarMember {
  entry: TarEntry
  /** Exactly `entry.size` bytes, for files. */
  body?: AsyncIterable<Uint8Array> | Uint8Array | undefined
}

/** The archive as a stream. A body that is longer or shorter than its entry says is an 'invalid' error. */
export const packTar = (members: AsyncIterable<TarMember> | Iterable<TarMember>): Readable =>
  Readable.from(archive(members), { objectMode: false, highWaterMark: 256 * 1024 })

async function* archive(members: AsyncIterable<TarMember> | Iterable<TarMember>): AsyncGenerator<Uint8Array> {
  for await (const { entry, body } of members) {
    yield encodeTarHeader(entry)
    if (entry.type !== 'file') continue
    let left = entry.size
    for await (const chunk of body === undefined || body instanceof Uint8Array
      ? [body ?? zeros.subarray(0, 0)]
      : body) {
      left -= chunk.length
      if (left < 0) throw invalidTar(`${entry.path}: write too long`)
      if (chunk.length > 0) yield chunk
    }
    if (left > 0) throw invalidTar(`${entry.path}: missed writing ${left} bytes`)
    const padding = tarPadding(entry.size)
    if (padding.length > 0) yield padding
  }
  yield tarEnd
}
