/** Digests of what steps read: from directories, solved filesystems and URLs; each is made once a build. */
import { redacted } from '../../lib/redacted.ts'
import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import type { StepResult } from '../cache/records.ts'
import { gitAuthorization, httpAuthorization } from '../context/authorization.ts'
import type { Download } from '../context/download.ts'
import { needsAgent, parseGitAddress } from '../context/git.ts'
import { digestSelected, factsOfSelection, type Selected } from '../context/select.ts'
import type { Tree } from '../context/tree.ts'
import { SyntaxFault } from '../dockerfile/source.ts'
import { soonSettled } from '../../lib/file-times.ts'
import type { CopyOp, CopySource, RunMount } from '../ops.ts'
import { policedGit, policedUrl } from '../policed.ts'
import type { SolverDeps } from './deps.ts'
import { topOf } from './deps.ts'
import { filesOf } from './exec-copy.ts'
import type { LocalNode, OpNode } from './graph.ts'
import { hashOf } from './keys.ts'
import type { Report } from './report.ts'
import { Workspace } from './workspace.ts'

/** A copy as far as it reads paths. */
interface PathCopy extends Pick<CopyOp, 'exclude'> {
  sources: Extract<CopySource, { kind: 'path' }>[]
}
interface State {
  /** As long as it is the same, so is the content. */
  key: string
  /** False where what was changed a moment ago may change again without that showing. */
  settled: boolean
}
interface Total {
  digest: string
  bytes: number
}

/** How often a directory is given time to settle. */
const mostWaits = 3
/** Entries of directories kept in memory during a build. */
const mostKept = 200_000

export class Contents {
  readonly #deps: SolverDeps
  readonly #options: { signal: AbortSignal; report: Report }
  readonly #digests = new Map<string, Promise<string>>()
  /** What was looked at to make the digests: copies take the very same. */
  readonly #selected = new Map<string, Selected[]>()
  #kept = 0
  /** What directories were when their digests were made. */
  readonly #states = new Map<string, State>()
  readonly #fetched = new Map<string, Promise<Download & { checksum: string | undefined }>>()
  /** By address: the digest of what was fetched, of a repository the commit. */
  readonly materials = new Map<string, string>()
  /** Bytes of the files in directories that steps read. */
  bytes = 0

  constructor(deps: SolverDeps, options: { signal: AbortSignal; report: Report }) {
    this.#deps = deps
    this.#options = options
  }

  /** Waits until nothing is read any more. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#digests.values(), ...this.#fetched.values()])
  }

  /** Of what is read from a directory. */
  local(local: LocalNode, op: Pick<CopyOp, 'sources' | 'exclude'>): Promise<string> {
    const sources = op.sources.filter((source) => source.kind === 'path')
    return this.#once(hashOf(local.tree.root, sources, op.exclude), async () => {
      if (sources.length === 0) return ''
      return await this.#treeDigest(local.tree, { sources, exclude: op.exclude })
    })
  }

  #once(key: string, task: () => Promise<string>): Promise<string> {
    let found = this.#digests.get(key)
    if (!found) {
      found = task()
      found.catch(() => {})
      this.#digests.set(key, found)
    }
    return found
  }

  async #treeDigest(tree: Tree, op: PathCopy): Promise<string> {
    const { digests } = this.#deps
    const state = await this.#stateOf(tree, op)
    if (tree.stable && state) this.#states.set(hashOf(tree.root, op.sources, op.exclude), state)
    const known = state && digests.total(state.key)
    const total = known ?? (await this.#digest(tree, op))
    this.bytes += total.bytes
    if (!known && state?.settled) digests.setTotal(state.key, total)
    return total.digest
  }

  async #digest(tree: Tree, op: PathCopy): Promise<Total> {
    const { signal } = this.#options
    const found = await filesOf(this.#deps, op, { tree, downloads: new Map() }, signal)
    const parts: string[] = []
    let total = 0
    for (const [i, { selected }] of found.entries()) {
      this.#keep(tree, op.sources[i]!, op.exclude, selected)
      const { digest, bytes } = await digestSelected(selected, tree, this.#deps.digests, signal)
      parts.push(digest)
      total += bytes
    }
    return { digest: hashOf(parts), bytes: total }
  }

  /** What stands for the content. undefined: it has to be read. */
  async #stateOf(tree: Tree, op: PathCopy): Promise<State | undefined> {
    if (tree.revision !== undefined) {
      const key = hashOf('revision', tree.revision, tree.ignore?.lines ?? [], op.sources, op.exclude)
      return { key, settled: true }
    }
    if (!tree.stable) return undefined
    // What was changed a moment ago may change again without its times telling. Then it has to be read each time.
    for (let waits = 0; ; waits++) {
      const found = await this.#factsOf(tree, op)
      if (!found) return undefined
      const { key, settledIn } = found
      // Times that only count seconds take longer than a build should wait, and what changes all the time does not settle.
      // Ours is in whole milliseconds, so that a change can seem to come from a moment later.
      if (settledIn <= 0 || settledIn > 2 * soonSettled || waits === mostWaits) return { key, settled: settledIn <= 0 }
      // A timer ends too soon by what its turn of the loop has taken before.
      await setTimeout(settledIn + 2, undefined, { signal: this.#options.signal })
    }
  }

  async #factsOf(tree: Tree, op: PathCopy): Promise<{ key: string; settledIn: number } | undefined> {
    const parts: string[] = []
    let settledIn = 0
    for (const source of op.sources) {
      const now = Date.now()
      const selection = { path: source.path, pivot: source.pivot, exclude: op.exclude }
      const facts = await factsOfSelection(tree, this.#deps.sys.files, selection, this.#options.signal)
      if (!facts) return undefined
      parts.push(facts.digest)
      settledIn = Math.max(settledIn, facts.settledMs - now)
    }
    return { key: hashOf('facts', parts), settledIn }
  }

  /**
   * Is what a step has copied just now what its digest says? Where the files were looked at to make the digest, the copy has
   * compared them.
   */
  async isAsDigested({ tree }: LocalNode, op: Pick<CopyOp, 'sources' | 'exclude'>): Promise<boolean> {
    const sources = op.sources.filter((source) => source.kind === 'path')
    const state = this.#states.get(hashOf(tree.root, sources, op.exclude))
    if (state === undefined) return true
    if (!state.settled) return false
    if (sources.every((source) => this.selected(tree, source, op.exclude))) return true
    return (await this.#factsOf(tree, { sources, exclude: op.exclude }))?.key === state.key
  }

  #keep(tree: Tree, source: CopySource, exclude: readonly string[], selected: Selected[]): void {
    const count = selected.reduce((sum, { entries }) => sum + entries.length, 0)
    if (this.#kept + count > mostKept || !(tree.stable || tree.listing)) return
    this.#kept += count
    this.#selected.set(hashOf(tree.root, source, exclude), selected)
  }

  /** What `local` has found for a source, where it still knows. */
  selected(tree: Tree, source: CopySource, exclude: readonly string[]): Selected[] | undefined {
    return this.#selected.get(hashOf(tree.root, source, exclude))
  }

  /** Of what is read from a solved filesystem; remembered, as snapshots never change. */
  async snapshot(result: StepResult, op: Pick<CopyOp, 'sources' | 'exclude'>): Promise<string> {
    const { records, sys, snapshots, workDir } = this.#deps
    const top = topOf(result)
    const sources = op.sources.filter((source) => source.kind === 'path')
    if (sources.length === 0) return ''
    const selection = hashOf(sources, op.exclude)
    return await this.#once(hashOf(top ?? '', selection), async () => {
      const known = top === undefined ? undefined : records.treeDigest(top, selection)
      if (known !== undefined) return known
      const space = new Workspace(workDir, sys.mounts, snapshots)
      try {
        const root = await space.readable(top)
        const digest = await this.#treeDigest(
          { root, resetOwner: false, stable: false },
          { sources, exclude: op.exclude },
        )
        if (top !== undefined) records.setTreeDigest(top, selection, digest)
        return digest
      } finally {
        await space.close()
      }
    })
  }

  /** Of what the URLs of a copy give now. */
  async remote(node: OpNode<CopyOp>): Promise<string[]> {
    const urls = node.op.sources.filter((source) => source.kind === 'url')
    return await Promise.all(urls.map(async (source) => (await this.download(node, source)).digest))
  }

  /** Fetched once a build. A wrong checksum is a SyntaxFault. */
  download(node: OpNode, source: Extract<CopySource, { kind: 'url' }>) {
    const key = hashOf(source)
    let found = this.#fetched.get(key)
    if (!found) {
      const { report, signal } = this.#options
      const vertex = { ...node.vertex, id: randomUUID(), name: redacted(source.url) }
      const given = source.git ? parseGitAddress(source.url, { anyHttp: true }) : undefined
      found = report.during(vertex, async () => {
        const { env } = node
        if (given) {
          const keepGitDir = source.keepGitDir ?? given.keepGitDir
          const checksum = source.checksum ?? given.checksum
          const address = policedGit(env.sourceRules, { ...given, keepGitDir, checksum })
          const agent = needsAgent(address) ? await env.ssh('default') : undefined
          const authorization = await gitAuthorization(address, env.secret)
          return { ...(await this.#deps.git.get(address, { signal, agent, authorization })), checksum: undefined }
        }
        const { url, checksum } = policedUrl(env.sourceRules, source)
        const file = await this.#deps.downloads.get(url, {
          signal,
          authorization: await httpAuthorization(url, env.secret),
          progress: (current, total) =>
            report.emit({ type: 'status', id: vertex.id, name: source.name, current, total }),
        })
        return { ...file, checksum }
      })
      found.catch(() => {})
      this.#fetched.set(key, found)
    }
    return found.then((file) => {
      this.materials.set(source.url, file.digest)
      if (file.checksum !== undefined && !file.digest.startsWith(file.checksum))
        throw new SyntaxFault(`digest mismatch ${file.digest}: ${file.checksum}`, { near: '--checksum' })
      return file
    })
  }
}

/** The path a mount shows. */
export const sourcePath = (mount: RunMount): string => ('source' in mount ? mount.source : '/')

/** A bind mount as a copy of what it shows, into /mount/. */
export const bindCopy = (path: string): CopyOp => ({
  kind: 'copy',
  verb: 'COPY',
  from: { kind: 'context' },
  sources: [{ kind: 'path', path: path.replace(/[*?[\\]/g, '\\$&'), unpack: false }],
  dest: '/mount/',
  parents: false,
  exclude: [],
  link: false,
  keepSource: true,
})
