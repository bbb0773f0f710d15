/** Root filesystems as files: what the exporters local and tar send. */
import type { BigIntStats } from 'node:fs'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { bytewise, linkAt, lstatExact, namesIn } from '../../lib/named-files.ts'
import { encodeName, packTar, type TarEntryType, type TarMember, tarEntry } from '../../lib/tar/index.ts'
import type { SpecialFiles } from '../../sys/sys.ts'

/** Files below `root` as if they lay at `path`, relative; '' is the top. */
export interface FileTree {
  path: string
  root: string
}
export interface WalkedFile {
  /** Relative, with '/'. */
  path: string
  absolute: string
  stat: BigIntStats
  /** Of a hard link: the path of the file it is, which came earlier. */
  link: string | undefined
  /** Of a symlink. */
  target: string | undefined
}

interface Place {
  absolute: string | undefined
  /** Trees that begin further down. */
  below: FileTree[]
}

/** Everything, each name after its parent, siblings bytewise. Several trees may share directories, but no file. */
export function* walkTrees(trees: readonly FileTree[]): Generator<WalkedFile> {
  yield* walk(
    '',
    trees.map(({ path, root }) =>
      path === '' ? { absolute: root, below: [] } : { absolute: undefined, below: [{ path, root }] },
    ),
    new Map(),
  )
}

function* walk(directory: string, places: readonly Place[], links: Map<string, string>): Generator<WalkedFile> {
  const names = new Map<string, Place[]>()
  const add = (name: string, place: Place): void => void names.set(name, [...(names.get(name) ?? []), place])
  for (const { absolute, below } of places) {
    if (absolute !== undefined)
      for (const name of namesIn(absolute)) add(name, { absolute: join(absolute, name), below: [] })
    for (const { path, root } of below) {
      const [first = '', ...rest] = path.split('/')
      add(
        first,
        rest.length === 0
          ? { absolute: root, below: [] }
          : { absolute: undefined, below: [{ path: rest.join('/'), root }] },
      )
    }
  }
  for (const name of bytewise([...names.keys()])) {
    const path = directory === '' ? name : `${directory}/${name}`
    const found = names.get(name)!
    const first = found.find(({ absolute }) => absolute !== undefined) ?? found[0]!
    const absolute = first.absolute ?? first.below[0]!.root
    const stat = lstatExact(absolute)
    const isDirectory = stat.isDirectory() || first.absolute === undefined
    const others = found.filter((place) => place !== first && place.absolute !== undefined)
    if (others.some((other) => !lstatExact(other.absolute!).isDirectory() || !isDirectory))
      throw new SlipwayError(
        'conflict',
        `cannot overwrite ${path} of one platform with another's when split option is disabled`,
      )
    const key = `${stat.dev}:${stat.ino}`
    const link = stat.isFile() && stat.nlink > 1n ? links.get(key) : undefined
    if (stat.isFile() && stat.nlink > 1n && link === undefined) links.set(key, path)
    yield { path, absolute, stat, link, target: stat.isSymbolicLink() ? linkAt(absolute) : undefined }
    if (isDirectory) yield* walk(path, found, links)
  }
}

/** `time`: of all files (ns since 1970), instead of their own. */
export const packTrees = (trees: readonly FileTree[], files: SpecialFiles, time: bigint | undefined): Readable =>
  packTar(members(trees, files, time))

const types: Record<number, TarEntryType> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'symlink',
  0o020000: 'char',
  0o060000: 'block',
  0o010000: 'fifo',
}

async function* members(
  trees: readonly FileTree[],
  files: SpecialFiles,
  time: bigint | undefined,
): AsyncGenerator<TarMember> {
  for (const { path, absolute, stat, link, target } of walkTrees(trees)) {
    const type = types[Number(stat.mode) & 0o170000]
    if (!type) continue
    const entry = tarEntry({
      path,
      type: link === undefined ? type : 'link',
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      size: type === 'file' && link === undefined ? Number(stat.size) : 0,
      mtimeNs: time ?? stat.mtimeNs,
      linkName: target ?? link ?? '',
      devMajor: Number((stat.rdev >> 8n) & 0xfffn),
      devMinor: Number((stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n)),
      xattrs: new Map(
        files
          .listXattrs(absolute)
          .filter((xattr) => xattr === 'security.capability' || xattr.startsWith('user.'))
          .map((xattr) => [xattr, Buffer.from(files.getXattr(absolute, xattr) ?? [])]),
      ),
    })
    yield entry.type === 'file' ? { entry, body: createReadStream(encodeName(absolute)) } : { entry }
  }
}
