/** The build as a graph: each node is a root filesystem (or a directory tree) made from others. */
import type { DeviceWish } from '../dockerfile/devices.ts'
import type { Image, Resources } from '../../engine/types.ts'
import type { SourcePosition } from '../../errors.ts'
import type { Tree } from '../context/tree.ts'
import type { Range } from '../dockerfile/source.ts'
import type { CopyOp, MkdirOp, Op, RunOp } from '../ops.ts'
import type { SourceRule } from '../source-policy.ts'

/** How a node shows up in the progress. */
export interface Vertex {
  id: string
  name: string
  stage?: string | undefined
  at?: SourcePosition | undefined
}

interface ScratchNode {
  kind: 'scratch'
}
interface ImageNode {
  kind: 'image'
  image: Image
  vertex: Vertex
}
/** A directory on this machine: the build context or a named one. Not a root filesystem. */
export interface LocalNode {
  kind: 'local'
  name: string
  tree: Tree
}
export interface OpNode<O extends Op = Op> {
  kind: 'op'
  op: O
  input: Rootfs
  /** Where files come from: one entry for a copy, one a mount (undefined: none needed) for a run. */
  sources: (Source | undefined)[]
  vertex: Vertex
  range: Range
  /** For the error of a failing step. */
  stage: string
  platform: string
  noCache: boolean
  env: StepEnvironment
}
/** Stacks the layer `layer` made on scratch (COPY --link) on `input`. */
export interface MergeNode {
  kind: 'merge'
  input: Rootfs
  layer: OpNode<CopyOp>
  vertex: Vertex
}
export type Rootfs = ScratchNode | ImageNode | OpNode | MergeNode
export type Source = Rootfs | LocalNode

/** What the build gives its RUN steps without it being part of the instruction. */
export interface StepEnvironment {
  /** 'default', 'none', 'host', 'container:NAME' or the name of a network. */
  network: string
  hosts: { name: string; address: string }[]
  /** HTTP_PROXY=… and the like: never in a key. */
  proxies: string[]
  shmSize: number | undefined
  ulimits: { name: string; soft: number; hard: number }[]
  resources: Resources
  hostname: string | undefined
  cgroupParent: string | undefined
  /** Of the ids of cache mounts; '' is none. */
  cacheNamespace: string
  /** Cache mounts that this build has begun anew. */
  renewedCaches: Set<string>
  /** What every RUN mounts, as after --mount=. */
  automounts: readonly string[]
  /** Finds and grants what RUN --device asks for. Throws a SyntaxFault for what there is not, or not for this build. */
  devices(wishes: readonly DeviceWish[]): string[]
  privileged: boolean
  hostNetwork: boolean
  secret(id: string): Promise<Uint8Array | undefined>
  /** Path of an agent's socket. */
  ssh(id: string): Promise<string | undefined>
  /** For what ADD fetches. */
  sourceRules: readonly SourceRule[]
}

/** What a root filesystem begins with: an image, or nothing. */
export const bottomOf = (rootfs: Rootfs): Exclude<Rootfs, OpNode | MergeNode> => {
  let at = rootfs
  while (at.kind === 'op' || at.kind === 'merge') at = at.input
  return at
}

export const isRun = (node: OpNode): node is OpNode<RunOp> => node.op.kind === 'run'
export const isCopy = (node: OpNode): node is OpNode<CopyOp> => node.op.kind === 'copy'
export const isMkdir = (node: OpNode): node is OpNode<MkdirOp> => node.op.kind === 'mkdir'

/** All a result is made of, each once, what it needs before it. `scratch` is nothing. */
export const below = (root: Source): Exclude<Source, { kind: 'scratch' }>[] => {
  const seen = new Set<Source>()
  const found: Exclude<Source, { kind: 'scratch' }>[] = []
  const visit = (at: Source): void => {
    if (seen.has(at) || at.kind === 'scratch') return
    seen.add(at)
    if (at.kind === 'op' || at.kind === 'merge') {
      visit(at.input)
      for (const source of at.kind === 'merge' ? [at.layer] : at.sources) if (source) visit(source)
    }
    found.push(at)
  }
  visit(root)
  return found
}

/** Where steps read from directories on this machine: each copy and each mount (the `index`th source of its step), once. */
export const localReads = (roots: readonly Source[]): { local: LocalNode; step: OpNode; index: number }[] =>
  [...new Set(roots.flatMap(below))].flatMap((step) =>
    step.kind === 'op'
      ? step.sources.flatMap((source, index) => (source?.kind === 'local' ? [{ local: source, step, index }] : []))
      : [],
  )
