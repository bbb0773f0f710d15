/** Which files a COPY or a bind mount means. */
import { createHash } from 'node:crypto'
import { basename, join, posix } from 'node:path'
import { lstatOrNone, namesIn } from '../../lib/named-files.ts'
import type { SpecialFiles, TreeFacts } from '../../sys/sys.ts'
import { SyntaxFault } from '../dockerfile/source.ts'
import type { FileDigests } from './digests.ts'
import { hashEntry } from './digests.ts'
import { globExpression, hasWildcards, unescapeGlob } from './glob.ts'
import { createPacer } from './pacer.ts'
import type { Patterns } from './patterns.ts'
import { compilePatterns } from './patterns.ts'
import type { Entry, Tree } from './tree.ts'
import { entryIn, unseen, walk } from './tree.ts'

export interface Selected {
  /** The name it has in a destination directory; '' when its children go there (a directory's contents, --parents). */
  name: string
  /** The item itself (path '') unless name is '' and it has no metadata of its own, then what is below it. */
  entries: Entry[]
  /** Directories that are there only because something below them is. */
  passages?: ReadonlySet<Entry> | undefined
}
interface Selection {
  /** Absolute in the tree; a pattern unless `pivot` is given and it has no wildcards. */
  path: string
  /** With --parents: names are kept relative to this directory. */
  pivot?: string | undefined
  exclude: readonly string[]
}

/** Missing without wildcards: a SyntaxFault `"/path": not found`. A pattern that matches nothing selects nothing. */
export const select = async (
  tree: Tree,
  files: SpecialFiles,
  selection: Selection,
  signal?: AbortSignal,
): Promise<Selected[]> => {
  const exclude = selection.exclude.length > 0 ? compilePatterns(selection.exclude) : undefined
  if (selection.pivot !== undefined) return await withParents(tree, files, selection, selection.pivot, exclude, signal)
  const wild = hasWildcards(selection.path)
  const found: Selected[] = []
  for (const { path, resolved } of itemsOf(tree, files, selection)) {
    const item = await itemAt(tree, files, path, resolved, exclude, signal)
    if (item) found.push(item)
    else if (!wild) throw notFound(path)
  }
  return found
}

/** Paths that a selection means, and where they really are; with --parents, those that it begins at. */
const itemsOf = (tree: Tree, files: SpecialFiles, { path, pivot }: Selection): { path: string; resolved: string }[] => {
  const start = pivot ?? path
  const paths = hasWildcards(start) ? matchPaths(tree, files, start) : [unescapeGlob(start)]
  return paths.map((each) => ({ path: each, resolved: files.resolveInRoot(tree.root, each) }))
}

/**
 * What the file system says of everything that `select` looks at. As long as the digest is the same, a selection has the same
 * in it. undefined where it cannot be told: `select` says why.
 */
export const factsOfSelection = async (
  tree: Tree,
  files: SpecialFiles,
  selection: Selection,
  signal?: AbortSignal,
): Promise<TreeFacts | undefined> => {
  const exclude = selection.exclude.length > 0 ? compilePatterns(selection.exclude) : undefined
  const pacer = createPacer()
  const pace = (): Promise<void> | undefined => {
    signal?.throwIfAborted()
    return pacer()
  }
  const parts: unknown[] = [selection.path, selection.pivot ?? '', selection.exclude, tree.ignore?.lines ?? []]
  let settledMs = 0
  for (const { path, resolved } of itemsOf(tree, files, selection)) {
    const leaveOut = unseen(tree, { from: resolved, exclude })
    const facts = await files.treeFacts(join(tree.root, resolved), { leaveOut, pace })
    if (!facts) return undefined
    parts.push(path, resolved, facts.digest)
    settledMs = Math.max(settledMs, facts.settledMs)
  }
  return { digest: createHash('sha256').update(JSON.stringify(parts)).digest('hex'), settledMs }
}

const notFound = (path: string): SyntaxFault =>
  new SyntaxFault(`failed to calculate checksum of ref: "${path}": not found`, {
    near: basename(path),
    hint: 'Paths are relative to the root of the build context; .dockerignore may exclude it.',
  })

const exists = (path: string): boolean => lstatOrNone(path) !== undefined

const itemAt = async (
  tree: Tree,
  files: SpecialFiles,
  path: string,
  resolved: string,
  exclude: Patterns | undefined,
  signal: AbortSignal | undefined,
): Promise<Selected | undefined> => {
  const absolute = join(tree.root, resolved)
  if (!exists(absolute)) return undefined
  const item = entryIn(tree, files, '', resolved)
  if (!item) return undefined
  const relative = resolved.slice(1)
  const ignored = relative !== '' && (tree.ignore?.matches(relative) ?? false)
  if (item.kind !== 'directory') {
    const name = basename(path)
    return ignored || exclude?.matches(name) ? undefined : { name, entries: [item] }
  }
  if (ignored && !tree.ignore!.mayExceptBelow(relative)) return undefined
  const below = await walk(tree, files, { from: resolved, exclude, signal })
  return ignored && below.length === 0 ? undefined : { name: '', entries: [item, ...below] }
}

/** Paths that match, segment by segment, in bytewise order. */
const matchPaths = (tree: Tree, files: SpecialFiles, pattern: string): string[] => {
  let found = ['/']
  for (const segment of pattern.split('/').filter((part) => part !== '')) {
    if (!hasWildcards(segment)) {
      found = found.map((path) => posix.join(path, unescapeGlob(segment)))
      continue
    }
    const expression = globExpression(segment)
    found = found.flatMap((path) =>
      names(join(tree.root, files.resolveInRoot(tree.root, path)))
        .filter((name) => expression.test(name))
        .map((name) => posix.join(path, name)),
    )
  }
  return found.filter((path) =>
    exists(join(tree.root, files.resolveInRoot(tree.root, posix.dirname(path)), basename(path))),
  )
}

const names = (directory: string): string[] => {
  try {
    return namesIn(directory)
  } catch (error) {
    if (['ENOTDIR', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}

const withParents = async (
  tree: Tree,
  files: SpecialFiles,
  selection: Selection,
  pivot: string,
  exclude: Patterns | undefined,
  signal: AbortSignal | undefined,
): Promise<Selected[]> => {
  const { path } = selection
  const wanted = posix.relative(pivot, path)
  const mustExist = !hasWildcards(path)
  const found: Selected[] = []
  for (const { resolved: start } of itemsOf(tree, files, selection)) {
    const stat = lstatOrNone(join(tree.root, start))
    // A link that a pattern matches may lead nowhere.
    if (!stat && hasWildcards(pivot)) continue
    if (!stat) throw notFound(pivot)
    const below = stat.isDirectory() ? await walk(tree, files, { from: start, exclude, signal }) : []
    const item = takeMatching(below, wanted)
    if (item.entries.length === 0 && mustExist) throw notFound(path)
    found.push(item)
  }
  return found
}

/** The entries that `wanted` selects, with what is below them and the directories that lead there. '' selects all. */
const takeMatching = (all: Entry[], wanted: string): Selected => {
  if (wanted === '') return { name: '', entries: all }
  const include = compilePatterns([wanted])
  const taken = new Set<Entry>()
  const passages = new Set<Entry>()
  const directories = new Map<string, Entry>()
  for (const entry of all) {
    if (entry.kind === 'directory') directories.set(entry.path, entry)
    if (!include.matches(entry.path)) continue
    for (let up = posix.dirname(entry.path); up !== '.'; up = posix.dirname(up)) {
      const parent = directories.get(up)
      if (parent && !taken.has(parent)) passages.add(parent)
    }
    taken.add(entry)
  }
  return { name: '', entries: all.filter((entry) => taken.has(entry) || passages.has(entry)), passages }
}

const batchSize = 1000
const pathsOf = (passages: Selected['passages']): string[] => [...(passages ?? [])].map(({ path }) => path)

/** Digests of files that are remembered, so that they can be told apart without being read. */
export const knowDigests = async (selected: readonly Selected[], digests: FileDigests): Promise<void> => {
  const pace = createPacer()
  for (const { entries } of selected)
    for (let at = 0; at < entries.length; at += batchSize) {
      await pace()
      const asked = entries
        .slice(at, at + batchSize)
        .filter(({ kind, facts, digest }) => kind === 'file' && facts && !digest)
      if (asked.length > 0) for (const [entry, digest] of digests.known(asked)) entry.digest = digest
    }
}

/** One digest for everything selected. */
export const digestSelected = async (
  selected: readonly Selected[],
  tree: Tree,
  digests: FileDigests,
  signal?: AbortSignal,
): Promise<{ digest: string; bytes: number }> => {
  const hash = createHash('sha256')
  const pace = createPacer()
  let bytes = 0
  for (const { name, entries, passages } of selected) {
    hash.update(`${JSON.stringify([name, pathsOf(passages)])}\n`)
    for (let at = 0; at < entries.length; at += batchSize) {
      const batch = entries.slice(at, at + batchSize)
      const remembered = tree.stable ? digests.known(batch.filter(({ kind }) => kind === 'file')) : undefined
      for (const entry of batch) {
        await pace()
        signal?.throwIfAborted()
        bytes += entry.size
        if (entry.kind === 'file') entry.digest ??= remembered?.get(entry) ?? (await digests.read(entry, tree.stable))
        hashEntry(hash, entry, entry.digest ?? '')
      }
    }
  }
  digests.flush()
  return { digest: hash.digest('hex'), bytes }
}
