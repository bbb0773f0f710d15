import { decodeName } from './names.ts'
import { invalidTar, readNumber } from './numbers.ts'

export const BLOCK = 512

/** One 512-byte header block, before PAX and GNU extensions are applied. */
export interface RawHeader {
  name: Buffer
  typeflag: string
  mode: number
  uid: number
  gid: number
  size: number
  mtime: number
  linkName: Buffer
  uname: string
  gname: string
  devMajor: number
  devMinor: number
  /** Old GNU sparse entries carry their map here. */
  gnu: boolean
}

const text = (block: Buffer, offset: number, length: number): Buffer => {
  const end = block.indexOf(0, offset)
  return block.subarray(offset, end === -1 || end > offset + length ? offset + length : end)
}

/** Reads one header block; undefined for a block of zeros. The checksum must hold, as unsigned or signed bytes. */
export const readHeader = (block: Buffer): RawHeader | undefined => {
  let unsigned = 0
  let signed = 0
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : block[i]!
    unsigned += byte
    signed += byte > 127 ? byte - 256 : byte
  }
  if (unsigned === 8 * 0x20 && block.readUInt32BE(148) === 0) return undefined
  const sum = readNumber(block, 148, 8)
  if (sum !== unsigned && sum !== signed) throw invalidTar('invalid tar header')
  const magic = block.toString('latin1', 257, 265)
  const ustar = magic.startsWith('ustar\0')
  const gnu = magic === 'ustar  \0'
  const prefix = ustar ? text(block, 345, 155) : Buffer.alloc(0)
  const name = text(block, 0, 100)
  return {
    name: Buffer.from(prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), name]) : name),
    typeflag: String.fromCharCode(block[156]!),
    mode: readNumber(block, 100, 8),
    uid: readNumber(block, 108, 8),
    gid: readNumber(block, 116, 8),
    size: readNumber(block, 124, 12),
    mtime: readNumber(block, 136, 12),
    linkName: Buffer.from(text(block, 157, 100)),
    uname: ustar || gnu ? decodeName(text(block, 265, 32)) : '',
    gname: ustar || gnu ? decodeName(text(block, 297, 32)) : '',
    devMajor: ustar || gnu ? readNumber(block, 329, 8) : 0,
    devMinor: ustar || gnu ? readNumber(block, 337, 8) : 0,
    gnu,
  }
}

/** Records of a PAX extended header: "LENGTH KEY=VALUE\n", lengths in bytes. Values stay bytes. */
export const readPax = (body: Buffer): Map<string, Buffer> => {
  const records = new Map<string, Buffer>()
  let at = 0
  while (at < body.length) {
    const space = body.indexOf(0x20, at)
    if (space === -1 || space - at > 10) throw invalidTar('invalid extended header')
    const length = Number(body.toString('latin1', at, space))
    const end = at + length
    const equals = body.indexOf(0x3d, space)
    if (!Number.isInteger(length) || length < 5 || end > body.length || body[end - 1] !== 0x0a)
      throw invalidTar('invalid extended header')
    if (equals === -1 || equals >= end) throw invalidTar('invalid extended header')
    const key = body.toString('utf8', space + 1, equals)
    const value = Buffer.from(body.subarray(equals + 1, end - 1))
    const map = records.get('GNU.sparse.map')
    // The first sparse PAX format (0.0) repeats two keys in turn; together they are the later format's (0.1) single record.
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
      records.set('GNU.sparse.map', map ? Buffer.concat([map, Buffer.from(','), value]) : value)
    else records.set(key, value)
    at = end
  }
  return records
}
