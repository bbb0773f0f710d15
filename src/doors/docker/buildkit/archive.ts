/** Archives that results are sent as: a root filesystem as tar, and an image's archive under names of the client's choice. */
import { createReadStream, lstatSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { packTar, readTar, type TarEntryType, type TarMember, tarEntry } from '../../../lib/tar/index.ts'
import { familiarName, parseReference, withTag } from '../../../spec/oci/index.ts'
import type { Sys } from '../../../sys/sys.ts'

/** Everything below `root`, sorted bytewise. */
export const packDirectory = (root: string, files: Sys['files']): Readable =>
  packTar(members(root, '', new Map(), files))

const typeOf = (mode: number): TarEntryType | undefined =>
  (
    ({
      0o100000: 'file',
      0o040000: 'directory',
      0o120000: 'symlink',
      0o020000: 'char',
      0o060000: 'block',
      0o010000: 'fifo',
    }) as const
  )[(mode & 0o170000) as 0o100000]

async function* members(
  root: string,
  directory: string,
  links: Map<string, string>,
  files: Sys['files'],
): AsyncGenerator<TarMember> {
  const names = readdirSync(join(root, directory), { encoding: 'buffer' }).sort(Buffer.compare).map(String)
  for (const name of names) {
    const path = directory === '' ? name : `${directory}/${name}`
    const absolute = join(root, path)
    const stat = lstatSync(absolute, { bigint: true })
    const type = typeOf(Number(stat.mode))
    if (!type) continue
    const key = `${stat.dev}:${stat.ino}`
    const earlier = type === 'file' && stat.nlink > 1n ? links.get(key) : undefined
    if (type === 'file' && stat.nlink > 1n && earlier === undefined) links.set(key, path)
    const entry = tarEntry({
      path,
      type: earlier === undefined ? type : 'link',
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      size: type === 'file' && earlier === undefined ? Number(stat.size) : 0,
      mtimeNs: stat.mtimeNs,
      linkName: type === 'symlink' ? readlinkSync(absolute) : (earlier ?? ''),
      devMajor: Number((stat.rdev >> 8n) & 0xfffn),
      devMinor: Number((stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n)),
      xattrs: new Map(
        files
          .listXattrs(absolute)
          .filter((xattr) => xattr === 'security.capability' || xattr.startsWith('user.'))
          .map((xattr) => [xattr, Buffer.from(files.getXattr(absolute, xattr) ?? [])]),
      ),
    })
    yield entry.type === 'file' ? { entry, body: createReadStream(absolute) } : { entry }
    if (type === 'directory') yield* members(root, path, links, files)
  }
}

interface Index {
  manifests: { annotations?: Record<string, string> }[]
}

/** The archive of one image that has no names in it, with names. */
export const renamed = (archive: Readable, names: readonly string[]): Readable =>
  packTar(renamedMembers(archive, names))

async function* renamedMembers(archive: Readable, names: readonly string[]): AsyncGenerator<TarMember> {
  for await (const { entry, body } of readTar(archive)) {
    if (entry.path !== 'index.json' && entry.path !== 'manifest.json') {
      yield { entry, body }
      continue
    }
    const chunks: Buffer[] = []
    for await (const chunk of body) chunks.push(chunk)
    const before = JSON.parse(Buffer.concat(chunks).toString()) as unknown
    const after = Buffer.from(
      JSON.stringify(
        entry.path === 'index.json' ? withIndexNames(before as Index, names) : withRepoTags(before as object[], names),
      ),
    )
    yield { entry: { ...entry, size: after.length }, body: after }
  }
}

const withIndexNames = (index: Index, names: readonly string[]): Index => ({
  ...index,
  manifests: index.manifests.flatMap((manifest) =>
    names.map((name) => ({
      ...manifest,
      annotations: {
        'io.containerd.image.name': name,
        'org.opencontainers.image.ref.name': withTag(parseReference(name)).tag ?? '',
      },
    })),
  ),
})
const withRepoTags = (manifest: object[], names: readonly string[]): object[] =>
  manifest.map((image) => ({ ...image, RepoTags: names.map((name) => familiarName(name)) }))
