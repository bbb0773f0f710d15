/** Solves one build's graph: looks steps up by their keys, performs the others, and shares what other builds are doing. */
import { randomUUID } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Image } from '../../engine/types.ts'
import { isError, SlipwayError } from '../../errors.ts'
import { chainIds } from '../../spec/oci/index.ts'
import type { CacheRecord, StepResult } from '../cache/records.ts'
import type { UsedRecord } from '../cache/remote/collect.ts'
import type { ImportedCaches } from '../cache/remote/import.ts'
import { stepPrefix } from '../cache/step-prefix.ts'
import type { Download } from '../context/download.ts'
import type { Share } from '../context/share.ts'
import type { Tree } from '../context/tree.ts'
import type { Source as DockerfileSource } from '../dockerfile/source.ts'
import type { CopyOp, CopySource, RunMount } from '../ops.ts'
import { bindCopy, Contents, sourcePath } from './content.ts'
import type { SolverDeps } from './deps.ts'
import { topOf } from './deps.ts'
import type { CopyInputs, Executed } from './exec-copy.ts'
import { executeCopy, executeMerge, executeMkdir } from './exec-copy.ts'
import type { MountInputs } from './exec-run.ts'
import { executeRun, withCaches } from './exec-run.ts'
import type { StepContext } from './flights.ts'
import type { MergeNode, OpNode, Rootfs, Source } from './graph.ts'
import { isCopy, isMkdir, isRun, localReads } from './graph.ts'
import { defKey, hashOf } from './keys.ts'
import { locate } from './locate.ts'
import type { Report } from './report.ts'
import { Workspace } from './workspace.ts'

interface SolveOptions {
  source: DockerfileSource
  signal: AbortSignal
  report: Report
  /** Other builders' caches. */
  imported: ImportedCaches
}

const scratchResult: StepResult = { snapshots: [], steps: [], contentKey: 'scratch' }

/** A key of a node that needs no step to be performed, and whether --no-cache is anywhere below it. */
interface ChainKey {
  /** What a later build finds the result by. */
  plain: string
  /** What this build may find it by. */
  own: string
}

export class Solve {
  readonly #deps: SolverDeps
  readonly #options: SolveOptions
  readonly #salt = randomUUID()
  readonly #results = new Map<Rootfs, Promise<StepResult>>()
  readonly #chains = new Map<Source, Promise<ChainKey>>()
  readonly #contents: Contents
  readonly #held = new Set<string>()
  /** Errors that were shown at the step they belong to; steps that only wait for it stay silent. */
  readonly #shown = new WeakSet<object>()
  /** Did every step come from the cache? */
  cached = true

  constructor(deps: SolverDeps, options: SolveOptions) {
    this.#deps = deps
    this.#options = options
    this.#contents = new Contents(deps, options)
  }

  /** What steps have fetched from elsewhere: a digest or commit by its address. */
  get materials(): ReadonlyMap<string, string> {
    return this.#contents.materials
  }

  /** What an ADD in the graph fetches; once a build. */
  fetched(node: OpNode, source: Extract<CopySource, { kind: 'url' }>): Promise<Download> {
    return this.#contents.download(node, source)
  }

  /** The solved node. Errors point at the instruction. */
  result(node: Rootfs): Promise<StepResult> {
    let found = this.#results.get(node)
    if (!found) {
      found = this.#solve(node)
      found.catch(() => {})
      this.#results.set(node, found)
    }
    return found
  }

  /** Looks at everything the graph reads from directories, side by side; what is missing is reported by the step itself. Bytes of all files. */
  async loadContext(roots: readonly Source[]): Promise<number> {
    const wanted = localReads(roots).flatMap(({ local, step, index }) => {
      if (isCopy(step)) return [this.#contents.local(local, step.op)]
      return isRun(step) ? [this.#contents.local(local, bindCopy(sourcePath(step.op.mounts[index]!)))] : []
    })
    await Promise.allSettled(wanted)
    return this.#contents.bytes
  }

  /** Waits until nothing of this build runs any more, and lets go of what it used. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#results.values(), ...this.#chains.values()])
    await this.#contents.settle()
    for (const snapshot of this.#held) {
      const left = (this.#deps.inUse.get(snapshot) ?? 1) - 1
      if (left > 0) this.#deps.inUse.set(snapshot, left)
      else this.#deps.inUse.delete(snapshot)
    }
    this.#held.clear()
  }

  #hold<T extends Pick<StepResult, 'snapshots'>>(result: T): T {
    for (const snapshot of result.snapshots) {
      if (this.#held.has(snapshot)) continue
      this.#held.add(snapshot)
      this.#deps.inUse.set(snapshot, (this.#deps.inUse.get(snapshot) ?? 0) + 1)
    }
    return result
  }

  async #solve(node: Rootfs): Promise<StepResult> {
    if (node.kind === 'scratch') return scratchResult
    const { report } = this.#options
    if (node.kind === 'image') {
      report.end(node.vertex, { cached: true })
      const { snapshots } = node.image
      return this.#hold({ snapshots, steps: [], contentKey: imageKey(node.image) })
    }
    try {
      this.#options.signal.throwIfAborted()
      const chain = await this.#chain(node)
      const known = await this.#lookup(chain.own, node)
      if (known) {
        this.#showCached(node)
        return this.#hold(known.result)
      }
      return this.#hold(await this.#fromInputs(node, chain))
    } catch (error) {
      throw this.#located(node, error)
    }
  }

  async #lookup(key: string, node: OpNode | MergeNode): Promise<CacheRecord | undefined> {
    return (
      (await this.#recorded(key)) ??
      (await this.#options.imported.take(key, baseOf(node), node.vertex, (result) => this.#hold(result)))
    )
  }

  async #recorded(key: string): Promise<CacheRecord | undefined> {
    const { records, snapshots } = this.#deps
    const record = records.find(key)
    if (!record) return undefined
    // From here on nobody takes it away.
    this.#hold(record.result)
    if (record.snapshot !== undefined && snapshots.pathOf(record.snapshot) === undefined) {
      records.drop(record.id)
      return undefined
    }
    records.used(record.id)
    return record
  }

  /** A hit needs nothing below it, but the user sees all of it. */
  #showCached(node: Source): void {
    if (node.kind === 'scratch' || node.kind === 'local') return
    if (node.kind !== 'image') {
      this.#showCached(node.input)
      for (const source of node.kind === 'op' ? node.sources : [node.layer]) if (source) this.#showCached(source)
    }
    this.#options.report.end(node.vertex, { cached: true })
  }

  async #fromInputs(node: OpNode | MergeNode, chain: ChainKey): Promise<StepResult> {
    const { records, flights } = this.#deps
    const input = this.result(node.input)
    const prepared = node.kind === 'merge' ? await this.#prepareMerge(node) : await this.#prepare(node)
    const below = await input
    const content = hashOf('content', prepared.definition, below.contentKey, prepared.sources)
    const salted = chain.own !== chain.plain
    const record = salted ? undefined : await this.#lookup(content, node)
    if (record) {
      records.alias(chain.plain, record.id)
      this.#showCached(node)
      return record.result
    }
    this.cached = false
    const key = salted ? hashOf(content, chain.own) : content
    const { report, signal } = this.#options
    report.announce(node.vertex)
    const result = await flights.run(key, report.listener(node.vertex), signal, async (context) => {
      return await prepared.perform(below, (execute) =>
        this.#commit({ node, below, keys: [chain.plain, content], content, context, execute }),
      )
    })
    // Another build may have performed it under another key.
    if (result.record !== undefined) records.alias(chain.plain, result.record)
    report.end(node.vertex)
    return result
  }

  /** Runs a step in a workspace of its own and records what became of it. */
  async #commit(step: {
    node: OpNode | MergeNode
    below: StepResult
    keys: string[]
    content: string
    context: StepContext
    execute: (space: Workspace, context: StepContext) => Promise<Executed>
  }): Promise<StepResult> {
    const { sys, snapshots, slots, workDir, records, clock } = this.#deps
    return await slots.run(async () => {
      step.context.signal.throwIfAborted()
      step.context.emit({ type: 'begun', time: clock.now() })
      const space = new Workspace(workDir, sys.mounts, snapshots)
      try {
        const { key, root, changed, cacheable, committed } = await step.execute(space, step.context)
        step.context.signal.throwIfAborted()
        if (step.node.kind !== 'merge') space.unmount(root)
        const id = randomUUID().replaceAll('-', '')
        const snapshot = changed ? `${stepPrefix}${id}` : topOf(step.below)
        // Two runs of a command need not give the same; copies do.
        const exact = step.node.kind === 'merge' || step.node.op.kind !== 'run'
        if (!exact) await snapshots.trim(key)
        if (changed) {
          await space.commit(key, snapshot!)
          committed?.(snapshot!)
        }
        const createdAt = clock.now()
        const result: StepResult = {
          snapshots: changed ? [...step.below.snapshots, snapshot!] : step.below.snapshots,
          steps: [...step.below.steps, { layer: changed, createdAt }],
          contentKey: exact && cacheable ? step.content : hashOf(step.content, id),
          ...(cacheable ? { record: id } : {}),
        }
        const keys = cacheable ? step.keys : []
        const description = step.node.vertex.name
        records.add({ id, type: 'regular', description, snapshot, owned: changed, result, createdAt }, keys)
        return result
      } finally {
        await space.close()
      }
    })
  }

  // ── keys ──

  /** What a later build finds a node's result by. */
  async keyOf(node: Source): Promise<string> {
    return (await this.#chain(node)).plain
  }

  /** What an imported cache has by this key. */
  offered(key: string): UsedRecord | undefined {
    return this.#options.imported.offered(key)
  }

  #chain(node: Source): Promise<ChainKey> {
    let found = this.#chains.get(node)
    if (!found) {
      found = this.#makeChain(node)
      found.catch(() => {})
      this.#chains.set(node, found)
    }
    return found
  }

  async #makeChain(node: Source): Promise<ChainKey> {
    const same = (key: string): ChainKey => ({ plain: key, own: key })
    if (node.kind === 'scratch') return same('scratch')
    if (node.kind === 'image') return same(imageKey(node.image))
    if (node.kind === 'local') throw new SlipwayError('internal', 'a directory has no key of its own')
    const inputs = node.kind === 'merge' ? [node.input, node.layer] : [node.input]
    const chains = await Promise.all(inputs.map((input) => this.#chain(input)))
    const parts = node.kind === 'merge' ? [] : await this.#sourceKeys(node)
    const definition = node.kind === 'merge' ? 'merge' : defKey(node)
    const combine = (pick: (chain: ChainKey) => string): string =>
      hashOf(
        'chain',
        definition,
        chains.map(pick),
        parts.map((part) => (typeof part === 'string' ? part : pick(part))),
      )
    const plain = combine((chain) => chain.plain)
    const own = combine((chain) => chain.own)
    if (node.kind === 'op' && node.noCache) return { plain, own: hashOf(plain, this.#salt) }
    return { plain, own }
  }

  /** For each source: the digest of what is read from a directory, the key of a filesystem. */
  async #sourceKeys(node: OpNode): Promise<(string | ChainKey)[]> {
    if (isRun(node)) {
      return await Promise.all(
        node.sources.map(async (source, i) => {
          if (!source) return ''
          const path = sourcePath(node.op.mounts[i]!)
          if (source.kind === 'local') return await this.#contents.local(source, bindCopy(path))
          const { plain, own } = await this.#chain(source)
          return { plain: hashOf(plain, path), own: hashOf(own, path) }
        }),
      )
    }
    if (!isCopy(node)) return []
    const remote = await this.#contents.remote(node)
    const source = node.sources[0]!
    if (source.kind === 'local') return [await this.#contents.local(source, node.op), ...remote]
    const { plain, own } = await this.#chain(source)
    const paths = [node.op.sources, node.op.exclude]
    return [{ plain: hashOf(plain, paths), own: hashOf(own, paths) }, ...remote]
  }

  // ── steps ──

  async #prepareMerge(node: MergeNode): Promise<Prepared> {
    const layer = await this.result(node.layer)
    return {
      definition: 'merge',
      sources: [layer.contentKey],
      perform: (below, commit) =>
        commit((space, { signal }) => executeMerge(this.#deps, space, topOf(layer)!, topOf(below), signal)),
    }
  }

  async #prepare(node: OpNode): Promise<Prepared> {
    const definition = defKey(node)
    if (isRun(node)) {
      const inputs = await Promise.all(
        node.sources.map((source, i) => this.#mountInput(node, node.op.mounts[i]!, source)),
      )
      const sources = await Promise.all(inputs.map((input, i) => this.#mountKey(node.op.mounts[i]!, input)))
      return {
        definition,
        sources,
        perform: (below, commit) =>
          withCaches(this.#deps, node, inputs, (caches) =>
            commit((space, own) => executeRun(this.#deps, space, node, topOf(below), inputs, caches, own)),
          ),
      }
    }
    if (isMkdir(node)) {
      return {
        definition,
        sources: [],
        perform: (below, commit) => commit((space) => executeMkdir(this.#deps, space, node.op, topOf(below))),
      }
    }
    return await this.#prepareCopy(node as OpNode<CopyOp>, definition)
  }

  async #prepareCopy(node: OpNode<CopyOp>, definition: string): Promise<Prepared> {
    const source = node.sources[0]!
    const result = source.kind === 'local' ? undefined : await this.result(source)
    const digest =
      source.kind === 'local'
        ? await this.#contents.local(source, node.op)
        : await this.#contents.snapshot(result!, node.op)
    const downloads = new Map<string, { path: string; modifiedMs: number }>()
    for (const each of node.op.sources)
      if (each.kind === 'url') downloads.set(each.url, await this.#contents.download(node, each))
    return {
      definition,
      sources: [digest, ...(await this.#contents.remote(node))],
      perform: (below, commit) =>
        commit(async (space, { signal }) => {
          const tree: Tree =
            source.kind === 'local'
              ? source.tree
              : { root: await space.readable(topOf(result!)), resetOwner: false, stable: false }
          const inputs: CopyInputs = {
            tree,
            downloads,
            selected: (each) => this.#contents.selected(tree, each, node.op.exclude),
            share: source.kind === 'local' && tree.stable && !tree.listing ? this.#share(node.op, tree) : undefined,
          }
          const done = await executeCopy(this.#deps, space, node.op, topOf(below), inputs, signal)
          if (source.kind === 'local' && !(await this.#contents.isAsDigested(source, node.op)))
            return { ...done, cacheable: false }
          if (!done.cacheable || !inputs.share) return done
          const { share } = inputs
          return { ...done, committed: (snapshot) => this.#deps.copies.keep(placeOf(node.op, tree), snapshot, share) }
        }),
    }
  }

  /** What the last result of the same copy may have in common with this one. */
  #share(op: CopyOp, tree: Tree): Share {
    return this.#deps.copies.open(placeOf(op, tree), (snapshot) => this.#hold({ snapshots: [snapshot] }))
  }

  /** What a mount reads from, as a filesystem: files of the context are copied first, so that nobody else can change them. */
  async #mountInput(node: OpNode, mount: RunMount, source: Source | undefined): Promise<MountInputs[number]> {
    if (!source) return undefined
    const path = sourcePath(mount)
    if (source.kind !== 'local') return { result: await this.result(source), source: path }
    const { files } = this.#deps.sys
    const resolved = files.resolveInRoot(source.tree.root, path)
    const stat = lstatSync(join(source.tree.root, resolved), { throwIfNoEntry: false })
    const copy: OpNode<CopyOp> = {
      ...node,
      op: bindCopy(path),
      input: { kind: 'scratch' },
      sources: [source],
      noCache: false,
      vertex: { ...node.vertex, id: randomUUID(), name: `[internal] preparing ${path} for a mount` },
    }
    const result = await this.result(copy)
    return { result, source: stat?.isDirectory() ? '/mount' : `/mount/${basename(path)}` }
  }

  async #mountKey(mount: RunMount, input: MountInputs[number]): Promise<string> {
    if (!input) return ''
    // What a step writes there is discarded, so what it can read is all that counts.
    if (mount.type !== 'bind') return hashOf(input.result.contentKey, input.source)
    return await this.#contents.snapshot(input.result, bindCopy(input.source))
  }

  #located(node: OpNode | MergeNode, error: unknown): unknown {
    if (typeof error === 'object' && error !== null && this.#shown.has(error)) return error
    const { report, source } = this.#options
    const { range, stage } = node.kind === 'merge' ? node.layer : node
    const located = locate(source, range, stage, error)
    if (typeof located === 'object' && located !== null) this.#shown.add(located)
    if (!isError(located, 'cancelled')) report.end(node.vertex, { error: located })
    return located
  }
}

/** By content: the same on every machine that has the image. */
const imageKey = ({ config }: Image): string => hashOf('image', chainIds(config.rootfs.diff_ids).at(-1) ?? 'scratch')

const placeOf = ({ sources, exclude, dest }: CopyOp, { root }: Tree): string =>
  hashOf('place', root, sources, exclude, dest)

/** The image that a node's root filesystem begins with. */
const baseOf = (node: OpNode | MergeNode): Image | undefined => {
  let at: Rootfs = node
  while (at.kind === 'op' || at.kind === 'merge') at = at.input
  return at.kind === 'image' ? at.image : undefined
}

interface Prepared {
  definition: string
  /** Digests of what is read. */
  sources: string[]
  perform(
    below: StepResult,
    commit: (execute: (space: Workspace, context: StepContext) => Promise<Executed>) => Promise<StepResult>,
  ): Promise<StepResult>
}
