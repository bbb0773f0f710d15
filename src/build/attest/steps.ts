/** How a result was made, in the form of BuildKit's low-level definition (solver/pb/ops.proto as JSON): steps, inputs first. */
import { redacted } from '../../lib/redacted.ts'
import type { Platform } from '../../spec/oci/index.ts'
import { fullName } from '../bases.ts'
import type { Range } from '../dockerfile/source.ts'
import type { CopyOp, RunMount, RunOp } from '../ops.ts'
import { below, bottomOf, type OpNode, type Rootfs, type Source } from '../solver/graph.ts'

interface Step {
  id: string
  op: object
  inputs: string[]
}
export interface Steps {
  steps: Step[]
  /** Lines of the Dockerfile, by the step they became. */
  locations: Record<string, { locations: { ranges: { start: { line: number }; end: { line: number } }[] }[] }>
  /** The step that made the result; undefined where nothing had to be done. */
  last: string | undefined
  /** The step that got the base image the result is built on. */
  base: { id: string; layers: number } | undefined
}

/** `names`: what base images were asked for by. */
export const stepsOf = (
  root: Rootfs,
  platform: Platform,
  names: ReadonlyMap<string, { reference: string; digest: string }>,
): Steps => {
  const ids = new Map<unknown, string>()
  const steps: Step[] = []
  const locations: Steps['locations'] = {}
  const output = (source: Source | undefined): string[] =>
    source === undefined || source.kind === 'scratch' ? [] : [`${ids.get(identityOf(source))}:0`]
  for (const node of below(root)) {
    if (ids.has(identityOf(node))) continue
    const id = `step${steps.length}`
    ids.set(identityOf(node), id)
    steps.push({ id, op: opOf(node, platform, names), inputs: inputsOf(node).flatMap(output) })
    const range = rangeOf(node)
    if (range) locations[id] = { locations: [{ ranges: [{ start: { line: range.start }, end: { line: range.end } }] }] }
  }
  const last = ids.get(identityOf(root))
  // What comes last is no operation: its input is the result.
  if (last !== undefined) steps.push({ id: `step${steps.length}`, op: { Op: null }, inputs: [`${last}:0`] })
  const at = bottomOf(root)
  const base = at.kind === 'image' ? { id: ids.get(identityOf(at))!, layers: at.image.snapshots.length } : undefined
  return { steps, locations, last, base }
}

/** Two stages on one image begin with the same step. */
const identityOf = (node: Source): unknown => {
  if (node.kind === 'image') return node.image.id
  return node.kind === 'local' ? `local ${node.name}` : node
}

const inputsOf = (node: Source): (Source | undefined)[] => {
  if (node.kind === 'op') return [node.input, ...node.sources]
  return node.kind === 'merge' ? [node.input, node.layer] : []
}

const rangeOf = (node: Source): Range | undefined => {
  if (node.kind === 'op') return node.range
  return node.kind === 'merge' ? node.layer.range : undefined
}

const opOf = (
  node: Source,
  { os, architecture, variant }: Platform,
  names: ReadonlyMap<string, { reference: string; digest: string }>,
): object => {
  const platform = { Architecture: architecture, OS: os, ...(variant === undefined ? {} : { Variant: variant }) }
  switch (node.kind) {
    case 'scratch':
      return { Op: null }
    case 'local':
      return { Op: { source: { identifier: `local://${node.name}` } }, constraints: {} }
    case 'image': {
      const { reference = node.image.id, digest = node.image.id } = names.get(node.image.id) ?? {}
      const identifier = `docker-image://${fullName(reference).replace(/@.*/, '')}@${digest}`
      return { Op: { source: { identifier } }, platform, constraints: {} }
    }
    case 'merge':
      return { Op: { merge: { inputs: [{ input: 0 }, { input: 1 }] } }, constraints: {} }
    case 'op':
      return { Op: operation(node), platform, constraints: {} }
  }
}

const operation = ({ op }: OpNode): object => {
  if (op.kind === 'run') return { exec: execution(op) }
  if (op.kind === 'mkdir')
    return { file: { actions: [{ input: 0, Action: { mkdir: { path: op.path, mode: 0o755, makeParents: true } } }] } }
  return { file: { actions: copies(op) } }
}

const execution = (op: RunOp): object => ({
  meta: { args: op.args, env: op.env, cwd: op.cwd, ...(op.user === '' ? {} : { user: op.user }) },
  mounts: [{ input: 0, dest: '/', output: 0 }, ...op.mounts.map((mount, i) => mounted(mount, i + 1))],
  ...(op.network === undefined || op.network === 'default' ? {} : { network: op.network === 'host' ? 1 : 2 }),
  ...(op.insecure ? { security: 1 } : {}),
})

const kinds = { bind: 0, secret: 1, ssh: 2, cache: 3, tmpfs: 4 } as const

const mounted = (mount: RunMount, input: number): object => ({
  input: 'from' in mount && mount.from !== undefined ? input : -1,
  ...('source' in mount ? { selector: mount.source } : {}),
  dest: mount.target ?? '',
  output: -1,
  ...('readOnly' in mount && mount.readOnly ? { readonly: true } : {}),
  mountType: kinds[mount.type],
  ...(mount.type === 'cache' ? { cacheOpt: { ID: mount.id } } : {}),
  ...(mount.type === 'secret' ? { secretOpt: { ID: mount.id, optional: !mount.required } } : {}),
  ...(mount.type === 'ssh' ? { SSHOpt: { ID: mount.id, optional: !mount.required } } : {}),
})

const copies = (op: CopyOp): object[] =>
  op.sources.map((source) => {
    const about = { dest: op.dest, mode: -1, createDestPath: true, followSymlink: true }
    if (source.kind === 'inline')
      return { input: 0, secondaryInput: -1, Action: { mkfile: { path: op.dest, mode: 0o644 } } }
    const src = source.kind === 'url' ? redacted(source.url) : source.path
    return {
      ...{ input: 0, secondaryInput: 1 },
      Action: { copy: { src, ...about, ...(source.unpack ? { attemptUnpackDockerCompatibility: true } : {}) } },
    }
  })
