/** Where results of builds go that are files: archives and directories of this machine. */
import { randomUUID } from 'node:crypto'
import { createWriteStream, lstatSync, type PathLike, renameSync, rmSync } from 'node:fs'
import { chmod, copyFile, link, lutimes, mkdir, readdir, rm, symlink, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Transform, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type FileTree, walkTrees, type WalkedFile } from '../../build/index.ts'
import type { BuildOutput } from '../../build/types.ts'
import type { OutputOrder } from '../../clients/control/index.ts'
import { decodeName, encodeName } from '../../lib/tar/index.ts'
import { layoutStore } from './layout-store.ts'

/** What an order's output is to the builder. */
export const outputOf = ({ type, attrs, path }: OutputOrder): BuildOutput => {
  if (path === undefined) return { type, attrs }
  return {
    type,
    attrs,
    archive: (data, signal, progress) => writeArchive(path, data, signal, progress),
    async files(trees, time, signal, progress) {
      const written = await writeTrees(path, trees, time, signal, progress)
      if (attrs.mode === 'delete') await removeOthers(path, '', written)
    },
    store: layoutStore(path),
  }
}

/** There when it is whole; a file that was there before stays until then. */
const writeArchive = async (
  path: string,
  data: Readable,
  signal: AbortSignal,
  progress: (bytes: number) => void,
): Promise<void> => {
  let bytes = 0
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      progress(bytes)
      done(null, chunk)
    },
  })
  await mkdir(dirname(path), { recursive: true })
  // A pipe or a device is written to as it is.
  const there = lstatSync(path, { throwIfNoEntry: false })
  const inPlace = there !== undefined && !there.isFile()
  // Not to be guessed: the directory may be everybody's.
  const part = inPlace ? path : `${path}.${randomUUID()}.part`
  try {
    await pipeline(data, count, createWriteStream(part, { mode: 0o644, flags: inPlace ? 'w' : 'wx' }), { signal })
    if (!inPlace) renameSync(part, path)
  } finally {
    if (!inPlace) rmSync(part, { force: true })
  }
}

/** Over what is there: a file takes the place of a file, a directory is shared. Nothing is written through a link. */
const writeTrees = async (
  directory: string,
  trees: readonly FileTree[],
  time: bigint | undefined,
  signal: AbortSignal,
  progress: (bytes: number) => void,
): Promise<ReadonlySet<string>> => {
  const written = new Set<string>()
  await mkdir(directory, { recursive: true })
  let bytes = 0
  const directories: [PathLike, WalkedFile][] = []
  for (const file of walkTrees(trees)) {
    signal.throwIfAborted()
    const place = encodeName(join(directory, file.path))
    if (file.stat.isDirectory()) directories.push([place, file])
    await put(place, file, directory)
    written.add(file.path)
    if (file.stat.isFile() && file.link === undefined) progress((bytes += Number(file.stat.size)))
    if (!file.stat.isDirectory()) await stamp(place, file, time)
  }
  // What is written into a directory changes its time.
  for (const [place, file] of directories.reverse()) await stamp(place, file, time)
  return written
}

/** Takes away what is below `path` of the directory and was not written. No link is followed. */
const removeOthers = async (directory: string, path: string, written: ReadonlySet<string>): Promise<void> => {
  const at = join(directory, path)
  for (const entry of await readdir(encodeName(at), { withFileTypes: true, encoding: 'buffer' })) {
    const name = decodeName(entry.name)
    const each = path === '' ? name : `${path}/${name}`
    if (!written.has(each)) await rm(encodeName(join(directory, each)), { recursive: true })
    else if (entry.isDirectory()) await removeOthers(directory, each, written)
  }
}

const put = async (
  place: PathLike,
  { stat, absolute, link: linked, target }: WalkedFile,
  root: string,
): Promise<void> => {
  const there = lstatSync(place, { throwIfNoEntry: false })
  if (stat.isDirectory()) {
    if (there && !there.isDirectory()) rmSync(place)
    await mkdir(place, { recursive: true })
    return
  }
  if (there) rmSync(place, { recursive: true })
  if (target !== undefined) await symlink(encodeName(target), place)
  else if (linked !== undefined) await link(encodeName(join(root, linked)), place)
  else if (stat.isFile()) await copyFile(encodeName(absolute), place)
}

const stamp = async (place: PathLike, { stat, target }: WalkedFile, time: bigint | undefined): Promise<void> => {
  const seconds = Number(time ?? stat.mtimeNs) / 1e9
  if (target !== undefined) return lutimes(place, seconds, seconds)
  // Devices and sockets are not made.
  if (!lstatSync(place, { throwIfNoEntry: false })) return
  await chmod(place, Number(stat.mode & 0o7777n))
  await utimes(place, seconds, seconds)
}
