/** A directory that files are read from, and what is found in it. */
import type { BigIntStats } from 'node:fs'
import { join } from 'node:path'
import { linkAt, lstatExact, namesIn } from '../../lib/named-files.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import { type Facts, factsOf } from './facts.ts'
import type { Listing } from './listing.ts'
import { createPacer } from './pacer.ts'
import type { Patterns } from './patterns.ts'

export interface Tree {
  /** Absolute path on this machine. */
  root: string
  /** What does not exist for the reader: .dockerignore, on paths relative to the root. */
  ignore?: Patterns | undefined
  /** Everything belongs to root, as in a build context. */
  resetOwner: boolean
  /** Are inode numbers stable, so that digests may be remembered by them? */
  stable: boolean
  /** Of a directory of our own: what is in it, below its root. */
  listing?: Listing | undefined
  /** Two trees with the same one have the same in them. */
  revision?: string | undefined
}

type EntryKind = 'file' | 'directory' | 'symlink' | 'char' | 'block' | 'fifo'
export interface Entry {
  /** Relative to the item that is copied; '' is the item itself. */
  path: string
  absolute: string
  kind: EntryKind
  /** Permission bits with setuid, setgid, sticky. */
  mode: number
  uid: number
  gid: number
  size: number
  /** Target of a symlink. */
  link: string
  rdev: bigint
  readonly xattrs: [string, Buffer][]
  mtimeNs: bigint
  /** Content that is in no file (here-documents, and the nothing that a socket holds). */
  data?: Buffer | undefined
  /** Of the content, where it is known (hex sha256). */
  digest?: string | undefined
  /** Nobody ever changes this file: another name of it is as good as a copy. */
  ours?: boolean | undefined
  /** In a listing: the same for all names of one file, where it has several there. */
  group?: string | undefined
  /** As it was when it was looked at; undefined with `data` and from a listing. */
  facts?: Facts | undefined
}

const relativeTo = (inTree: string): string => (inTree === '.' ? '' : inTree.replace(/^\//, ''))

/** What `inTree` (a path in the tree, no link in it followed) is, under the name of `path`. */
export const entryIn = (tree: Tree, files: SpecialFiles, path: string, inTree: string): Entry | undefined => {
  const listed = tree.listing?.get(relativeTo(inTree))
  if (listed) return { ...listed, path }
  return entryOf(tree, files, path, join(tree.root, inTree))
}

/** undefined for what cannot be copied. */
export const entryOf = (tree: Tree, files: SpecialFiles, path: string, absolute: string): Entry | undefined => {
  const stat = lstatExact(absolute)
  const kind = kindOf(stat)
  return kind && new FoundEntry(tree, files, path, absolute, kind, stat)
}

/** A class, since a getter in each of ten thousand objects would cost more than all that is in them. */
class FoundEntry implements Entry {
  readonly path: string
  readonly absolute: string
  readonly kind: EntryKind
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly link: string
  readonly rdev: bigint
  readonly mtimeNs: bigint
  readonly facts: Facts
  readonly data: Buffer | undefined
  digest: string | undefined
  readonly #files: SpecialFiles
  #xattrs: Entry['xattrs'] | undefined

  constructor(
    tree: Tree,
    files: SpecialFiles,
    path: string,
    absolute: string,
    ...[kind, stat]: [EntryKind, BigIntStats]
  ) {
    this.path = path
    this.absolute = absolute
    this.kind = kind
    this.mode = Number(stat.mode & 0o7777n)
    this.uid = tree.resetOwner ? 0 : Number(stat.uid)
    this.gid = tree.resetOwner ? 0 : Number(stat.gid)
    this.size = kind === 'file' ? Number(stat.size) : 0
    this.data = stat.isSocket() ? Buffer.alloc(0) : undefined
    this.link = kind === 'symlink' ? linkAt(absolute) : ''
    this.rdev = kind === 'char' || kind === 'block' ? stat.rdev : 0n
    this.mtimeNs = stat.mtimeNs
    this.facts = factsOf(stat)
    this.#files = files
  }

  /** Asked for when they are needed: an unchanged context does not need them. */
  get xattrs(): Entry['xattrs'] {
    return (this.#xattrs ??= xattrsOf(this.#files, this.absolute))
  }
}

/** A file that exists only as text: 0644, root's. */
export const inlineEntry = (data: string, mtimeNs: bigint): Entry => ({
  path: '',
  absolute: '',
  kind: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: Buffer.byteLength(data),
  link: '',
  rdev: 0n,
  xattrs: [],
  mtimeNs,
  data: Buffer.from(data),
})

const kindOf = (stat: BigIntStats): EntryKind | undefined => {
  // A socket is nothing without who listens on it: its copy is an empty file.
  if (stat.isFile() || stat.isSocket()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isCharacterDevice()) return 'char'
  if (stat.isBlockDevice()) return 'block'
  return stat.isFIFO() ? 'fifo' : undefined
}

/** Those that belong to the file and not to this machine. */
export const isKeptXattr = (name: string): boolean => name === 'security.capability' || name.startsWith('user.')

export const xattrsOf = (files: Pick<SpecialFiles, 'listXattrs' | 'getXattr'>, path: string): [string, Buffer][] =>
  files
    .listXattrs(path)
    .filter(isKeptXattr)
    .sort()
    .flatMap((name): [string, Buffer][] => {
      const value = files.getXattr(path, name)
      return value ? [[name, Buffer.from(value)]] : []
    })

interface WalkOptions {
  /** Path of the start, relative to the root of the tree. */
  from: string
  /** On paths relative to the start. */
  exclude?: Patterns | undefined
  signal?: AbortSignal | undefined
}

/**
 * Everything below `from` in bytewise order, parents first, without `from` itself. An ignored directory shows up only where
 * an exception selects something in it.
 */
export const walk = async (tree: Tree, files: SpecialFiles, options: WalkOptions): Promise<Entry[]> => {
  const found: Entry[] = []
  const pace = createPacer()
  const prefix = prefixOf(options.from)
  /** `pending`: ignored directories above, to be reported with their first child. */
  const descend = async (path: string, pending: Entry[]): Promise<void> => {
    options.signal?.throwIfAborted()
    const inTree = join(options.from, path)
    const names = tree.listing?.names(relativeTo(inTree)) ?? namesIn(join(tree.root, inTree))
    for (const name of names) {
      await pace()
      const child = path === '' ? name : `${path}/${name}`
      const verdict = judge(tree, options, child, prefix)
      if (verdict === 'skip') continue
      const entry = entryIn(tree, files, child, join(options.from, child))
      if (!entry || (verdict === 'descend' && entry.kind !== 'directory')) continue
      if (verdict === 'take') found.push(...pending.splice(0), entry)
      if (entry.kind === 'directory') {
        const waiting = verdict === 'take' ? [] : [...pending, entry]
        const before = found.length
        await descend(child, waiting)
        if (found.length > before) pending.length = 0
      }
    }
  }
  await descend('', [])
  return found
}

/** What `walk` does not see, with all that is below it; undefined where it sees everything. */
export const unseen = (tree: Tree, options: Pick<WalkOptions, 'from' | 'exclude'>) => {
  if (!tree.ignore && !options.exclude) return undefined
  const prefix = prefixOf(options.from)
  return (child: string): boolean => judge(tree, options, child, prefix) === 'skip'
}

/** In front of paths below `from`, to make them relative to the root. */
const prefixOf = (from: string): string => {
  const relative = relativeTo(join(from))
  return relative === '' ? '' : `${relative}/`
}

const judge = (
  tree: Tree,
  { exclude }: Pick<WalkOptions, 'exclude'>,
  child: string,
  prefix: string,
): 'take' | 'descend' | 'skip' => {
  const inTree = `${prefix}${child}`
  const ignored = tree.ignore?.matches(inTree) ?? false
  const excluded = exclude?.matches(child) ?? false
  if (!ignored && !excluded) return 'take'
  const mayHold = (!ignored || tree.ignore!.mayExceptBelow(inTree)) && (!excluded || exclude!.mayExceptBelow(child))
  return mayHold ? 'descend' : 'skip'
}
