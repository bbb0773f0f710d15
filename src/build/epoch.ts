/**
 * SOURCE_DATE_EPOCH that names where the time is to be had from (Dockerfile 1.24): `context`, a named context, or a stage that
 * does nothing but fetch something. Only what lies elsewhere has a time: of a directory of a client's there is none.
 */
import { SlipwayError } from '../errors.ts'
import { readTar } from '../lib/tar/index.ts'
import type { Processes } from '../sys/sys.ts'
import type { Download } from './context/download.ts'
import { isArchive, plainStream } from './context/unpack.ts'
import type { Dockerfile, Stage } from './dockerfile/parser.ts'
import { faultAt, SyntaxFault } from './dockerfile/source.ts'
import type { CopyOp, CopySource } from './ops.ts'
import { isCopy, type OpNode, type Rootfs } from './solver/graph.ts'
import type { GlobalScope } from './solver/scope.ts'

export const epochName = 'SOURCE_DATE_EPOCH'

/** Times in seconds since 1970. */
export interface TimeSources {
  /** undefined: it has no time. */
  context(): Promise<number | undefined>
  named(name: string): Promise<number | undefined>
  isNamed(name: string): boolean
  /** What the stage is, lowered without an epoch. */
  stage(name: string): Promise<Rootfs>
  fetched(node: OpNode<CopyOp>, source: Extract<CopySource, { kind: 'url' }>): Promise<number | undefined>
}

/** Seconds as text; '' and undefined: none. */
export const resolveEpoch = async (
  given: string | undefined,
  dockerfile: Dockerfile,
  sources: TimeSources,
): Promise<string | undefined> => {
  if (given === undefined || given === '' || /^\d+$/.test(given)) return given
  const time = await timeOf(given, dockerfile, sources)
  return time === undefined ? undefined : String(time)
}

const timeOf = async (given: string, dockerfile: Dockerfile, sources: TimeSources): Promise<number | undefined> => {
  if (given === 'context') return await sources.context()
  if (sources.isNamed(given)) return await sources.named(given)
  const stage = dockerfile.stages.find(({ from }) => from.name === given.toLowerCase())
  if (!stage) throw new SlipwayError('invalid', `invalid ${epochName}: ${given}`)
  const refuse = (message: string): never => {
    throw faultAt(dockerfile.source, stage.statement.range, new SyntaxFault(message))
  }
  if (stage.from.base !== 'scratch') refuse(`${epochName} stage must use FROM scratch`)
  const other = stage.commands.find(({ name }) => name !== 'ARG' && name !== 'ADD')
  if (other)
    refuse(`${epochName} stage does not meet source-only requirements: unsupported ${other.statement.word} instruction`)
  const node = fetchesOnce(stage) ? await sources.stage(given) : undefined
  const add = node?.kind === 'merge' ? node.layer : node
  const source = add?.kind === 'op' && isCopy(add) ? add.op.sources : []
  const [only] = source
  if (source.length !== 1 || only?.kind !== 'url')
    return refuse(`${epochName} stage must contain exactly one remote ADD`)
  return await sources.fetched(add as OpNode<CopyOp>, only)
}

const fetchesOnce = ({ commands }: Stage): boolean => commands.filter(({ name }) => name === 'ADD').length === 1

/** Of a file: what the server said, else the newest of an archive's files. */
export const fileTime = async (processes: Processes, { path, modifiedMs }: Download): Promise<number | undefined> => {
  if (modifiedMs > 0) return Math.floor(modifiedMs / 1000)
  if (!(await isArchive(processes, path))) return undefined
  const stream = await plainStream(processes, path)
  let newest: bigint | undefined
  try {
    for await (const { entry } of readTar(stream))
      if (newest === undefined || entry.mtimeNs > newest) newest = entry.mtimeNs
  } finally {
    stream.destroy()
  }
  return newest === undefined ? undefined : Number(newest / 1_000_000_000n)
}

/** Arguments as if the time had been given, or none. */
export const argsWithEpoch = (
  args: Readonly<Record<string, string>>,
  epoch: string | undefined,
): Readonly<Record<string, string>> => {
  const { [epochName]: _, ...others } = args
  return epoch === undefined ? others : { ...others, [epochName]: epoch }
}

/** Without what the file itself gives, which is no time. */
export const scopeWithoutEpoch = (scope: GlobalScope): GlobalScope => {
  const without = (map: ReadonlyMap<string, string>) => new Map([...map].filter(([key]) => key !== epochName))
  return { ...scope, values: without(scope.values), defaults: without(scope.defaults) }
}
