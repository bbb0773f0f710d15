import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  read,
  readdirSync,
  readlinkSync,
} from 'node:fs'
import { promisify } from 'node:util'
import {
  decodeName,
  encodeName,
  type TarEntry,
  type TarEntryType,
  type TarMember,
  tarEntry,
} from '../../lib/tar/index.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import { majorOf, minorOf } from '../runtime/devices.ts'

const readAt = promisify(read)
const blockSize = 256 << 10

/** A path below an open directory, as node:fs takes it; names that are not UTF-8 need bytes. */
export const childPath = (dir: number, name: string): string | Buffer => {
  const encoded = encodeName(name)
  return typeof encoded === 'string'
    ? `/proc/self/fd/${dir}/${encoded}`
    : Buffer.concat([Buffer.from(`/proc/self/fd/${dir}/`), encoded])
}

const typeOf = (stat: BigIntStats): TarEntryType | undefined => {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isCharacterDevice()) return 'char'
  if (stat.isBlockDevice()) return 'block'
  return stat.isFIFO() ? 'fifo' : undefined // sockets are not archived
}

const entryOf = (path: string, stat: BigIntStats, type: TarEntryType, more: Partial<TarEntry>): TarEntry =>
  tarEntry({
    path: type === 'directory' && !path.endsWith('/') ? `${path}/` : path,
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: stat.mtimeNs,
    ...(type === 'char' || type === 'block'
      ? { devMajor: majorOf(Number(stat.rdev)), devMinor: minorOf(Number(stat.rdev)) }
      : {}),
    ...more,
  })

/** Exactly `size` bytes, whatever happens to the file meanwhile. */
const body = async function* (fd: number, size: number): AsyncGenerator<Uint8Array> {
  let at = 0
  while (at < size) {
    const block = Buffer.alloc(Math.min(blockSize, size - at))
    const { bytesRead } = await readAt(fd, block, 0, block.length, at)
    yield bytesRead === 0 ? block : block.subarray(0, bytesRead)
    at += bytesRead === 0 ? block.length : bytesRead
  }
}

interface Walk {
  files: SpecialFiles
  /** First path by device and inode, for hard links. */
  seen: Map<string, string>
}

/**
 * The members of one file or tree. Every step is taken from an open directory, and the last part never followed: links
 * swapped in by the container's processes lead nowhere.
 */
export async function* packMembers(walk: Walk, dir: number, name: string, as: string): AsyncGenerator<TarMember> {
  const path = childPath(dir, name)
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  const type = stat && typeOf(stat)
  if (!stat || !type) return
  if (type === 'directory') {
    yield* packDirectory(walk, path, stat, as)
    return
  }
  const id = `${stat.dev}:${stat.ino}`
  const first = stat.nlink > 1n ? walk.seen.get(id) : undefined
  if (first !== undefined) {
    yield { entry: entryOf(as, stat, 'link', { linkName: first }) }
    return
  }
  if (stat.nlink > 1n) walk.seen.set(id, as)
  const xattrs = xattrsOf(walk.files, path)
  if (type === 'symlink')
    yield {
      entry: entryOf(as, stat, type, { linkName: decodeName(readlinkSync(path, { encoding: 'buffer' })), xattrs }),
    }
  else if (type === 'file') yield* packFile(path, as, xattrs)
  else yield { entry: entryOf(as, stat, type, { xattrs }) }
}

async function* packDirectory(
  walk: Walk,
  path: string | Buffer,
  stat: BigIntStats,
  as: string,
): AsyncGenerator<TarMember> {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  } catch (error) {
    // Removed, or no directory any more.
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code!)) return
    throw error
  }
  try {
    yield { entry: entryOf(as, stat, 'directory', { xattrs: xattrsOf(walk.files, path) }) }
    const names = readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' }).sort(Buffer.compare)
    for (const name of names) {
      const decoded = decodeName(name)
      yield* packMembers(walk, fd, decoded, as.endsWith('/') ? `${as}${decoded}` : `${as}/${decoded}`)
    }
  } finally {
    closeSync(fd)
  }
}

async function* packFile(path: string | Buffer, as: string, xattrs: TarEntry['xattrs']): AsyncGenerator<TarMember> {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (['ENOENT', 'ELOOP'].includes((error as NodeJS.ErrnoException).code!)) return
    throw error
  }
  try {
    // Asked of what is open: it may be another file than the one that was looked at.
    const stat = fstatSync(fd, { bigint: true })
    if (!stat.isFile()) return
    const size = Number(stat.size)
    yield { entry: entryOf(as, stat, 'file', { size, xattrs }), body: body(fd, size) }
  } finally {
    closeSync(fd)
  }
}

/** Capabilities are all that a copy has to keep. */
const xattrsOf = (files: SpecialFiles, path: string | Buffer): TarEntry['xattrs'] => {
  if (typeof path !== 'string') return new Map()
  const value = files.getXattr(path, 'security.capability')
  return value === undefined ? new Map() : new Map([['security.capability', Buffer.from(value)]])
}
