/** Files of this machine as tar members, and tar members as files of this machine, for `cp`. */
import { createReadStream, existsSync, lstatSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { chmod, link, mkdir, rm, symlink, utimes } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { SlipwayError } from '../../../errors.ts'
import {
  readTar,
  type ReadMember,
  tarEntry,
  type TarEntry,
  type TarMember,
  writeNewFile,
} from '../../../lib/tar/index.ts'

/** `path` and everything below it under `name`. Sockets are left out: an archive cannot hold them. */
export function* membersOf(path: string, name: string): Generator<TarMember> {
  const stat = lstatSync(path, { bigint: true })
  const [mode, uid, gid] = [Number(stat.mode) & 0o7777, Number(stat.uid), Number(stat.gid)]
  const common = { path: name, mode, uid, gid, mtimeNs: stat.mtimeNs }
  if (stat.isSymbolicLink()) yield { entry: tarEntry({ ...common, type: 'symlink', linkName: readlinkSync(path) }) }
  else if (stat.isDirectory()) {
    yield { entry: tarEntry({ ...common, type: 'directory' }) }
    for (const each of readdirSync(path).sort()) yield* membersOf(join(path, each), posix.join(name, each))
  } else if (stat.isFile()) {
    const size = Number(stat.size)
    // A file that grows while it is read is read as long as it was.
    const body = size === 0 ? undefined : createReadStream(path, { end: size - 1, highWaterMark: 1 << 20 })
    yield { entry: tarEntry({ ...common, size }), body }
  } else if (stat.isFIFO()) yield { entry: tarEntry({ ...common, type: 'fifo' }) }
}

/** The name an archive's first part goes by: `from` → `to`. */
export const renamed = (path: string, from: string, to: string): string => {
  const clean = path.replace(/^\.?\/+/, '')
  if (from === to) return clean
  if (from === '.') return posix.join(to, clean)
  if (clean === from || clean === `${from}/`) return to
  return clean.startsWith(`${from}/`) ? posix.join(to, clean.slice(from.length + 1)) : clean
}

const refused = (path: string, why: string): SlipwayError =>
  new SlipwayError('invalid', `invalid tar entry ${path}: ${why}`)

/** Where an entry goes. What a container has packed never leads out of `root`: not by '..', not through a link. */
const placeOf = (root: string, name: string): string => {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw refused(name, 'it points outside')
  let at = root
  for (const part of parts.slice(0, -1)) {
    at = join(at, part)
    if (lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink()) throw refused(name, 'it leads through a link')
  }
  return join(root, ...parts)
}

/** Unpacks below `root`, as ourselves; `rename` gives the names. */
export const unpack = async (
  source: AsyncIterable<Uint8Array>,
  root: string,
  rename: (path: string) => string,
): Promise<void> => {
  const directories: [string, TarEntry][] = []
  for await (const member of readTar(source)) {
    const name = rename(member.entry.path)
    const place = placeOf(root, name)
    if (member.entry.type === 'directory') directories.push([place, member.entry])
    await put(member, place, (target) => placeOf(root, rename(target)))
  }
  // What is written into a directory changes its time.
  for (const [place, entry] of directories.reverse()) await stampOf(place, entry)
}

const stampOf = async (place: string, { mtimeNs, mode }: TarEntry): Promise<void> => {
  await chmod(place, mode & 0o7777)
  const seconds = Number(mtimeNs) / 1e9
  await utimes(place, seconds, seconds)
}

const put = async ({ entry, body }: ReadMember, place: string, linked: (target: string) => string): Promise<void> => {
  const there = lstatSync(place, { throwIfNoEntry: false })
  const directory = entry.type === 'directory'
  if (there && !there.isSymbolicLink() && there.isDirectory() !== directory)
    throw new SlipwayError(
      'conflict',
      directory
        ? `cannot overwrite non-directory ${JSON.stringify(place)} with directory`
        : `cannot overwrite directory ${JSON.stringify(place)} with non-directory`,
    )
  if (directory) {
    if (there?.isSymbolicLink()) await rm(place)
    await mkdir(place, { recursive: true })
    return
  }
  if (there) await rm(place)
  await mkdir(dirname(place), { recursive: true })
  if (entry.type === 'symlink') return symlink(entry.linkName, place)
  if (entry.type === 'link') return link(linked(entry.linkName), place)
  if (entry.type !== 'file') throw refused(entry.path, `a ${entry.type} device or pipe cannot be made here`)
  await writeNewFile(place, body)
  await stampOf(place, entry)
}

/** What is at a local path, links followed; undefined: nothing. */
export const kindOf = (path: string): 'directory' | 'file' | undefined =>
  existsSync(path) ? (statSync(path).isDirectory() ? 'directory' : 'file') : undefined
