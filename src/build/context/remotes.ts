/** Directories on the client's machine that one build reads: planned with first, fetched when it is known what is needed. */
import { posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { decodeName } from '../../lib/tar/index.ts'
import { sourcePath } from '../solver/content.ts'
import type { LocalNode, Rootfs } from '../solver/graph.ts'
import { isCopy, isRun, localReads } from '../solver/graph.ts'
import type { BuildRequest, RemoteDirectory } from '../types.ts'
import { parseDockerignore } from './dockerignore.ts'
import type { KeptContexts, KeptCopy } from './kept.ts'
import { readRemote } from './kept.ts'
import type { FoundDockerfile } from './open.ts'
import { compilePatterns } from './patterns.ts'
import type { Tree } from './tree.ts'

export class Remotes {
  readonly #kept: KeptContexts
  readonly #pending = new Map<Tree, { remote: RemoteDirectory; exclude: readonly string[] }>()
  readonly #copies: KeptCopy[] = []

  constructor(kept: KeptContexts) {
    this.#kept = kept
  }

  /** A tree whose root is known only after fetch(). */
  tree(remote: RemoteDirectory, exclude: readonly string[]): Tree {
    const ignore = exclude.length > 0 ? compilePatterns(exclude) : undefined
    const tree: Tree = { root: '', ignore, resetOwner: true, stable: false }
    this.#pending.set(tree, { remote, exclude })
    return tree
  }

  /** Those of the graph's directories that are still to be fetched, with what is read from them; undefined: everything. */
  wanted(roots: readonly Rootfs[]): [LocalNode, string[] | undefined][] {
    return [...localPaths(roots)].filter(([local]) => this.#pending.has(local.tree))
  }

  async fetch(
    local: LocalNode,
    follow: readonly string[] | undefined,
    signal: AbortSignal,
    progress: (bytes: number) => void,
  ): Promise<number> {
    const { remote, exclude } = this.#pending.get(local.tree)!
    const copy = await this.#kept.sync(remote, { exclude, follow }, signal, progress)
    this.#copies.push(copy)
    local.tree.root = copy.root
    local.tree.listing = copy.listing
    local.tree.revision = copy.revision
    return copy.fetched
  }

  close(): void {
    for (const copy of this.#copies.splice(0)) copy.release()
  }
}

/** What steps read from each directory. */
const localPaths = (roots: readonly Rootfs[]): Map<LocalNode, string[] | undefined> => {
  const found = new Map<LocalNode, Set<string> | undefined>()
  const add = (local: LocalNode, paths: string[]): void => {
    // URLs and here-documents of a copy need nothing of it.
    if (paths.length === 0) return
    const before = found.has(local) ? found.get(local) : new Set<string>()
    const all = before && new Set([...before, ...paths.map(followed)])
    found.set(local, all?.has('') ? undefined : all)
  }
  for (const { local, step, index } of localReads(roots)) {
    if (isRun(step)) add(local, [sourcePath(step.op.mounts[index]!)])
    else if (isCopy(step)) {
      const paths = step.op.sources.flatMap((each) => (each.kind === 'path' ? [each.path] : []))
      add(local, paths)
    }
  }
  return new Map([...found].map(([local, paths]) => [local, paths && [...paths].sort()]))
}

/** Clients match a path segment by segment, so it is cut where `**` begins. '' is everything. */
const followed = (path: string): string => {
  const segments = posix
    .join('/', path)
    .split('/')
    .filter((segment) => segment !== '')
  const deep = segments.findIndex((segment) => segment.includes('**'))
  return (deep < 0 ? segments : segments.slice(0, deep)).join('/')
}

/** The Dockerfile and its ignore file of a build whose context or Dockerfile is on the client's machine. */
export const findRemoteDockerfile = async (
  { context, dockerfile = { path: 'Dockerfile' } }: Pick<BuildRequest, 'context' | 'dockerfile'>,
  signal: AbortSignal,
): Promise<FoundDockerfile | undefined> => {
  const whole = 'remote' in context ? context.remote : undefined
  if ('inline' in dockerfile) {
    if (!whole) return undefined
    return { file: 'Dockerfile', text: dockerfile.inline, ignore: await ignoreOf(whole, signal) }
  }
  const from = 'remote' in dockerfile ? dockerfile.remote : whole
  if (!from) return undefined
  const name = posix.join('/', dockerfile.path).slice(1)
  const own = `${name}.dockerignore`
  const other = name === 'Dockerfile' ? ['dockerfile'] : []
  // At the same time: a client needs long for each answer.
  const usual = ignoreOf(whole, signal)
  usual.catch(() => {}) // it may not be needed
  const found = await readRemote(from, [name, own, ...other], signal)
  const used = [name, ...other].find((each) => found.has(each))
  if (used === undefined) {
    throw new SlipwayError('not-found', `failed to read dockerfile: open ${name}: no such file or directory`, {
      hint: 'Name it with --file, or put a Dockerfile at the root of the build context.',
      at: { file: name },
    })
  }
  const beside = found.get(own)
  return {
    file: used,
    text: decodeName(found.get(used)!),
    ignore: beside ? { file: own, patterns: parseDockerignore(decodeName(beside)) } : await usual,
  }
}

const ignoreOf = async (
  whole: RemoteDirectory | undefined,
  signal: AbortSignal,
): Promise<FoundDockerfile['ignore']> => {
  const patterns = whole && (await remoteIgnore(whole, signal))
  return patterns && { file: '.dockerignore', patterns }
}

export const remoteIgnore = async (remote: RemoteDirectory, signal: AbortSignal): Promise<string[] | undefined> => {
  const file = (await readRemote(remote, ['.dockerignore'], signal)).get('.dockerignore')
  return file && parseDockerignore(decodeName(file))
}
