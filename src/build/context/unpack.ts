/** Tar archives into a directory: ADD of a local archive, and build contexts that come as a stream. */
import {
  chmodSync,
  constants,
  createReadStream,
  lchownSync,
  linkSync,
  mkdirSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { Readable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { lstatOrNone } from '../../lib/named-files.ts'
import type { TarEntry } from '../../lib/tar/index.ts'
import { compressionOf, decompress, encodeName, readTar, writeNewFile } from '../../lib/tar/index.ts'
import type { Processes, SpecialFiles } from '../../sys/sys.ts'
import type { Owner } from './owner.ts'
import { createPacer } from './pacer.ts'

/** The plain bytes of a file that may be compressed in any way docker knows. */
export const plainStream = async (processes: Processes, path: string): Promise<Readable> => {
  const handle = await open(encodeName(path))
  const head = Buffer.alloc(6)
  try {
    await handle.read(head, 0, 6, 0)
  } finally {
    await handle.close()
  }
  const compression = compressionOf(head)
  if (compression !== 'xz' && compression !== 'bzip2') return await decompress(createReadStream(encodeName(path)))
  const child = processes.spawn([compression === 'xz' ? 'xz' : 'bzip2', '-dc', path], {
    fds: ['ignore', 'pipe', 'ignore'],
  })
  const out = async function* (): AsyncGenerator<Buffer> {
    try {
      yield* child.stdout as AsyncIterable<Buffer>
      const { code } = await child.exited
      if (code !== 0) throw new SlipwayError('invalid', `damaged ${compression} data`)
    } finally {
      child.kill('SIGKILL')
    }
  }
  return Readable.from(out())
}

/** Is the file a tar archive, by its content? */
export const isArchive = async (processes: Processes, path: string): Promise<boolean> => {
  let stream: Readable | undefined
  try {
    stream = await plainStream(processes, path)
    for await (const _ of readTar(stream)) return true
    return false
  } catch {
    // Whatever cannot be read as an archive is copied as a file.
    return false
  } finally {
    stream?.destroy()
  }
}

export interface UnpackTarget {
  files: SpecialFiles
  root: string
  /** Directory inside the root; it exists. */
  dest: string
  owner?: Owner | undefined
  /** Device nodes are made only where this is true. */
  devices: boolean
  signal?: AbortSignal | undefined
}

export const unpackFile = async (processes: Processes, path: string, target: UnpackTarget): Promise<void> => {
  const stream = await plainStream(processes, path)
  try {
    await unpackTar(stream, target)
  } finally {
    stream.destroy()
  }
}

/** Every name is resolved inside the root, so neither `..` nor a link made by the archive leads out of it. */
const unpackTar = async (stream: AsyncIterable<Uint8Array>, target: UnpackTarget): Promise<void> => {
  const { files, root } = target
  const pace = createPacer()
  const times: [string, bigint][] = []
  for await (const { entry, body } of readTar(stream)) {
    target.signal?.throwIfAborted()
    await pace()
    const inside = posix.join('/', target.dest, posix.join('/', entry.path))
    const folder = join(root, files.resolveInRoot(root, posix.dirname(inside)))
    const path = inside === '/' ? root : join(folder, posix.basename(inside))
    if (path !== root && !path.startsWith(`${root}/`)) continue
    mkdirSync(encodeName(folder), { recursive: true })
    if (entry.type === 'directory') {
      if (inside !== posix.join('/', target.dest)) makeDirectory(path)
      times.push([path, entry.mtimeNs])
    } else {
      const there = lstatOrNone(path)
      if (there?.isDirectory()) throw new SlipwayError('invalid', `cannot replace to directory ${inside} with file`)
      if (there) unlinkSync(encodeName(path))
      if (!(await create(entry, body, path, target))) continue
    }
    if (entry.type !== 'link') attributes(entry, path, target)
    if (entry.type !== 'directory' && entry.type !== 'link') files.setTimes(path, entry.mtimeNs, entry.mtimeNs)
  }
  for (const [path, time] of times.reverse()) files.setTimes(path, time, time)
}

const makeDirectory = (path: string): void => {
  const there = lstatOrNone(path)
  if (there?.isDirectory()) return
  if (there) unlinkSync(encodeName(path))
  mkdirSync(encodeName(path))
}

const create = async (
  entry: TarEntry,
  body: AsyncIterable<Buffer>,
  path: string,
  target: UnpackTarget,
): Promise<boolean> => {
  const { files, root } = target
  switch (entry.type) {
    case 'file': {
      await writeNewFile(path, body)
      return true
    }
    case 'symlink':
      symlinkSync(encodeName(entry.linkName), encodeName(path))
      return true
    case 'link': {
      const inside = posix.join('/', target.dest, posix.join('/', entry.linkName))
      const source = join(root, files.resolveInRoot(root, posix.dirname(inside)), posix.basename(inside))
      linkSync(encodeName(source), encodeName(path))
      return true
    }
    default: {
      if (!target.devices && entry.type !== 'fifo') return false
      const type = { char: constants.S_IFCHR, block: constants.S_IFBLK, fifo: constants.S_IFIFO }[entry.type as 'char']
      files.mknod(path, type | entry.mode, entry.devMajor, entry.devMinor)
      return true
    }
  }
}

const attributes = (entry: TarEntry, path: string, { files, owner }: UnpackTarget): void => {
  lchownSync(encodeName(path), owner?.uid ?? entry.uid, owner?.gid ?? entry.gid)
  if (entry.type !== 'symlink') chmodSync(encodeName(path), entry.mode)
  for (const [name, value] of entry.xattrs) files.setXattr(path, name, value)
}
