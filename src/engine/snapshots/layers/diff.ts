import { type BigIntStats, closeSync, openSync, readSync } from 'node:fs'
import { linkAt, lstatExact, namesIn } from '../../../lib/named-files.ts'
import { encodeName, encodeTarHeader, type TarEntry, tarEnd, tarEntry, tarPadding } from '../../../lib/tar/index.ts'
import { deviceNumbers, isWhiteout } from './files.ts'
import { isLayerXattr, opaqueXattr, type Special } from './special.ts'

const chunkSize = 256 * 1024

/**
 * The layer that an overlay's upper directory is, as a tar archive: depth first, names sorted bytewise, whiteouts before
 * their siblings (and without a time),
 * numeric owners only, times in whole seconds, the first name of a file with several holding its content.
 * The same tree always gives the same bytes. The root itself is left out, as everybody does, and so are sockets.
 * What was given is overwritten when more is asked for.
 */
export function* layerTar(root: string, special: Special, tally: Tally = { bytes: 0 }): Generator<Buffer> {
  yield* directory(root, '', { special, tally, links: new Map(), memory: Buffer.allocUnsafeSlow(chunkSize) })
  yield tarEnd
}

/** What is counted on the way. */
interface Tally {
  /** Of files; one with several names counts once. */
  bytes: number
}
type Links = Map<string, string>
interface Writing {
  special: Special
  tally: Tally
  links: Links
  /** What is read of files. */
  memory: Buffer
}

function* directory(root: string, path: string, writing: Writing): Generator<Buffer> {
  const { special, tally, links, memory } = writing
  const prefix = path === '' ? '' : `${path}/`
  // A file of that name would become a whiteout for whoever reads the layer.
  const names = namesIn(`${root}/${path}`).filter((name) => !name.startsWith('.wh.'))
  const stats = names.map((name) => lstatExact(`${root}/${prefix}${name}`))
  const asked = names.filter((_, i) => stats[i]!.isFile() || stats[i]!.isDirectory())
  const answers = special.xattrs(asked.map((name) => `${root}/${prefix}${name}`))
  const xattrs = new Map(asked.map((name, i) => [name, answers[i]!]))
  for (const [i, name] of names.entries())
    if (isWhiteout(stats[i]!)) yield encodeTarHeader(tarEntry({ path: `${prefix}.wh.${name}`, mode: 0o600 }))
  for (const [i, name] of names.entries()) {
    const stat = stats[i]!
    if (stat.isSocket() || isWhiteout(stat)) continue
    const full = `${prefix}${name}`
    const attributes = xattrs.get(name)
    const entry = describe(root, full, stat, attributes, links)
    yield encodeTarHeader(entry)
    if (entry.type === 'file') tally.bytes += entry.size
    if (entry.type === 'file' && entry.size > 0) yield* content(`${root}/${full}`, entry.size, memory)
    if (entry.type !== 'directory') continue
    if (attributes?.has(opaqueXattr)) yield encodeTarHeader(tarEntry({ path: `${full}/.wh..wh..opq`, mode: 0o600 }))
    yield* directory(root, full, writing)
  }
}

const describe = (
  root: string,
  path: string,
  stat: BigIntStats,
  xattrs: Map<string, Buffer> | undefined,
  links: Links,
): TarEntry => {
  const entry = tarEntry({
    path,
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: wholeSeconds(stat),
  })
  if (stat.isDirectory()) entry.type = 'directory'
  else if (stat.nlink > 1n) {
    const key = `${stat.dev}:${stat.ino}`
    const first = links.get(key)
    if (first !== undefined) return { ...entry, type: 'link', linkName: first }
    links.set(key, path)
  }
  if (stat.isFile()) entry.size = Number(stat.size)
  else if (stat.isSymbolicLink()) {
    entry.type = 'symlink'
    entry.mode = 0o777
    entry.linkName = linkAt(`${root}/${path}`)
  } else if (stat.isCharacterDevice() || stat.isBlockDevice()) {
    const { major, minor } = deviceNumbers(stat.rdev)
    entry.type = stat.isBlockDevice() ? 'block' : 'char'
    entry.devMajor = major
    entry.devMinor = minor
  } else if (stat.isFIFO()) entry.type = 'fifo'
  if (xattrs) for (const [name, value] of xattrs) if (isLayerXattr(name)) setOn(entry, name, value)
  return entry
}

const setOn = (entry: TarEntry, name: string, value: Buffer): void => {
  entry.xattrs.set(name, value)
}

const wholeSeconds = (stat: BigIntStats): bigint => {
  const ns = stat.mtimeNs
  return ns - (((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)
}

/** Exactly `size` bytes: a file that shrinks while it is read is filled with zeros, one that grows is cut. */
function* content(file: string, size: number, memory: Buffer): Generator<Buffer> {
  const fd = openSync(encodeName(file), 'r')
  try {
    for (let left = size; left > 0; ) {
      const chunk = memory.subarray(0, left)
      const got = readSync(fd, chunk)
      if (got === 0) chunk.fill(0)
      const taken = got === 0 ? chunk : chunk.subarray(0, got)
      left -= taken.length
      yield taken
    }
  } finally {
    closeSync(fd)
  }
  const padding = tarPadding(size)
  if (padding.length > 0) yield padding
}
