import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  write,
} from 'node:fs'
import { posix } from 'node:path'
import { promisify } from 'node:util'
import { SlipwayError } from '../../errors.ts'
import { encodeName, type TarEntry } from '../../lib/tar/index.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import { childPath } from './pack.ts'

const writeAt = promisify(write)
const oPath = 0x200000
const typeBits = { char: 0o020000, block: 0o060000, fifo: 0o010000 } as const

interface UnpackMember {
  entry: TarEntry
  body: AsyncIterable<Uint8Array>
}
interface UnpackTarget {
  files: SpecialFiles
  /** The container's root; nothing is written outside of it. */
  root: string
  /** Directory in it that the archive's names are relative to. */
  base: string
  noOverwriteDirNonDir: boolean
  /** Everything is given to this user instead of the archive's. */
  owner: { uid: number; gid: number } | undefined
}

/** A member's name below the base; refused when it means something outside. */
const cleanName = (path: string): string => {
  const clean = posix.normalize(path.replace(/^\/+/, '')).replace(/\/+$/, '')
  if (clean === '..' || clean.startsWith('../'))
    throw new SlipwayError('bad-request', `invalid tar entry: "${path}" is outside of the target`)
  return clean === '.' ? '' : clean
}

/** Makes missing parents, then opens the last one. Links on the way are followed within the root only. */
const openDirectory = (target: UnpackTarget, path: string): number => {
  const { files, root } = target
  try {
    return files.openInRoot(root, path, oPath | constants.O_DIRECTORY)
  } catch (error) {
    if (!(error instanceof SlipwayError && error.code === 'not-found') || path === '/') throw error
  }
  const parent = openDirectory(target, posix.dirname(path))
  try {
    const at = childPath(parent, posix.basename(path))
    if (lstatSync(at, { throwIfNoEntry: false }))
      throw new SlipwayError(
        'bad-request',
        `cannot create a directory at "${path}": a link that leads nowhere is there`,
      )
    mkdirSync(at, { mode: 0o755 })
    if (target.owner) lchownSync(at, target.owner.uid, target.owner.gid)
  } finally {
    closeSync(parent)
  }
  return files.openInRoot(root, path, oPath | constants.O_DIRECTORY)
}

const mountOf = (fd: number): string => /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!

/** Unlinked from here, a mount point of a running container would lose its mount. */
const mustNotBeMountPoint = (parent: number, at: string | Buffer, path: string): void => {
  const fd = openSync(at, oPath | constants.O_NOFOLLOW)
  try {
    if (mountOf(fd) !== mountOf(parent))
      throw new SlipwayError('internal', `unlinkat ${path}: device or resource busy`, {
        hint: 'Something is mounted there. A program in the container can write to it.',
      })
  } finally {
    closeSync(fd)
  }
}

/** True when the directory that is there already is what the entry wants. */
const makeRoom = (
  target: UnpackTarget,
  parent: number,
  at: string | Buffer,
  there: Stats | undefined,
  entry: TarEntry,
  path: string,
): boolean => {
  if (!there) return false
  const directory = entry.type === 'directory'
  if (there.isDirectory() && directory) return true
  if (target.noOverwriteDirNonDir && there.isDirectory() !== directory)
    throw new SlipwayError(
      'bad-request',
      there.isDirectory()
        ? `cannot overwrite directory "${path}" with non-directory "${path}"`
        : `cannot overwrite non-directory "${path}" with directory "${path}"`,
    )
  mustNotBeMountPoint(parent, at, path)
  if (there.isDirectory()) rmSync(typeof at === 'string' ? at : at.toString(), { recursive: true })
  else unlinkSync(at)
  return false
}

const writeFileBody = async (
  at: string | Buffer,
  { entry, body }: UnpackMember,
  owner: { uid: number; gid: number },
): Promise<void> => {
  const fd = openSync(at, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  try {
    for await (const chunk of body)
      for (let done = 0; done < chunk.length; ) done += (await writeAt(fd, chunk, done)).bytesWritten
    // The owner first: a change of owner takes setuid away.
    fchownSync(fd, owner.uid, owner.gid)
    fchmodSync(fd, entry.mode)
  } finally {
    closeSync(fd)
  }
}

const makeLink = (target: UnpackTarget, at: string | Buffer, entry: TarEntry): void => {
  const source = posix.join(target.base, cleanName(entry.linkName))
  const parent = target.files.openInRoot(target.root, posix.dirname(source), oPath | constants.O_DIRECTORY)
  try {
    linkSync(childPath(parent, posix.basename(source)), at)
  } finally {
    closeSync(parent)
  }
}

const settle = (target: UnpackTarget, parent: number, name: string, entry: TarEntry): void => {
  const at = childPath(parent, name)
  if (typeof at !== 'string') return
  for (const [key, value] of entry.xattrs) if (key === 'security.capability') target.files.setXattr(at, key, value)
  target.files.setTimes(at, entry.mtimeNs, entry.mtimeNs)
}

/** Puts one member in its place, as docker does: what is in the way is replaced, existing directories stay. */
export const unpackMember = async (target: UnpackTarget, member: UnpackMember): Promise<void> => {
  const { entry } = member
  const path = posix.join(target.base, cleanName(entry.path))
  const owner = target.owner ?? { uid: entry.uid, gid: entry.gid }
  // The place to unpack to is there, and stays as it is.
  if (path === posix.normalize(target.base) || path === '/') return
  const parent = openDirectory(target, posix.dirname(path))
  try {
    const name = posix.basename(path)
    const at = childPath(parent, name)
    const exists = makeRoom(target, parent, at, lstatSync(at, { throwIfNoEntry: false }), entry, path)
    switch (entry.type) {
      case 'directory':
        if (!exists) mkdirSync(at, { mode: 0o700 })
        settleDirectory(at, entry.mode, owner)
        break
      case 'file':
        await writeFileBody(at, member, owner)
        break
      case 'symlink':
        symlinkSync(encodeName(entry.linkName), at)
        lchownSync(at, owner.uid, owner.gid)
        break
      case 'link':
        makeLink(target, at, entry)
        return
      default:
        if (typeof at !== 'string') throw new SlipwayError('invalid', `a device needs a UTF-8 name: ${path}`)
        target.files.mknod(at, typeBits[entry.type] | entry.mode, entry.devMajor, entry.devMinor)
        lchownSync(at, owner.uid, owner.gid)
    }
    settle(target, parent, name, entry)
  } finally {
    closeSync(parent)
  }
}

const settleDirectory = (at: string | Buffer, mode: number, owner: { uid: number; gid: number }): void => {
  const fd = openSync(at, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    fchownSync(fd, owner.uid, owner.gid)
    fchmodSync(fd, mode)
  } finally {
    closeSync(fd)
  }
}
