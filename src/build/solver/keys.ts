/** Cache keys. A key says what a step does and what it does it to; never when, on whose behalf or how fast. */
import { createHash } from 'node:crypto'
import type { CopyOp, CopySource, Op, RunMount, RunOp } from '../ops.ts'
import type { OpNode } from './graph.ts'

export const hashOf = (...parts: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex')

/** The step itself, without its inputs. */
export const defKey = (node: Pick<OpNode, 'op' | 'platform' | 'env'>): string =>
  hashOf(node.platform, definition(node.op), node.op.kind === 'run' ? environment(node.op, node) : null)

const definition = (op: Op): unknown => {
  if (op.kind === 'mkdir') return ['mkdir', op.path, op.owner ?? '']
  return op.kind === 'copy' ? copy(op) : run(op)
}

/** Which files are copied is in their digests; where from is not part of it. */
const copy = (op: CopyOp): unknown => [
  op.keepSource ? 'copy for a mount' : 'copy 3',
  op.sources.map((source) =>
    source.kind === 'path' ? [source.kind, source.unpack, source.pivot !== undefined] : withoutChecksum(source),
  ),
  op.dest,
  op.chown ?? '',
  op.chmod ?? '',
]

/** What is fetched is in the key anyway. */
const withoutChecksum = (source: Exclude<CopySource, { kind: 'path' }>): unknown =>
  source.kind === 'url' ? { ...source, checksum: undefined } : source

const run = (op: RunOp): unknown => [
  'run',
  op.args,
  op.env,
  op.cwd,
  op.user,
  op.mounts.map(mount),
  op.insecure,
  op.document ?? null,
  ...(op.devices.length > 0 ? [op.devices] : []),
]

/** A secret's value and a cache's id and content never count: that is what they are for. */
const mount = (wanted: RunMount): unknown => {
  switch (wanted.type) {
    case 'bind':
      return ['bind', wanted.target, wanted.readOnly, wanted.readOnly ? '' : wanted.source]
    case 'cache':
      return ['cache', wanted.target, wanted.readOnly]
    case 'tmpfs':
      return ['tmpfs', wanted.target]
    case 'secret':
      return ['secret', wanted.id, wanted.target ?? '', wanted.env ?? '']
    case 'ssh':
      return ['ssh', wanted.id, wanted.target]
  }
}

const environment = (op: RunOp, { env }: Pick<OpNode, 'env'>): unknown => [
  op.network ?? env.network,
  env.hosts.map(({ name, address }) => `${name}=${address}`).sort(),
  ...(env.hostname === undefined ? [] : [env.hostname]),
]
