import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { readLogs } from '../logs/index.ts'
import type { Containers, Io, OutputChunk } from '../types.ts'
import { type Context, emit, isAlive, isRunning } from './context.ts'
import type { ContainerRecord } from './records.ts'
import { controlMonitor } from './rotation.ts'

const logSource = (ctx: Context, { id, paths }: ContainerRecord) => ({
  path: paths.log,
  active: (): boolean => {
    const now = ctx.records.byId(id)
    return now !== undefined && (isRunning(now) || now.status === 'restarting')
  },
  onChange: (listener: () => void) =>
    ctx.events.on((event) => {
      if (event.type === 'container' && event.id === id) listener()
    }),
})

export const logs =
  (ctx: Context): Containers['logs'] =>
  (reference, options) => {
    const record = ctx.records.must(reference)
    if (record.spec.log.driver === 'none')
      throw new SlipwayError('unsupported', 'configured logging driver does not support reading')
    return readLogs(logSource(ctx, record), options)
  }

export const resize =
  (ctx: Context): Containers['resize'] =>
  async (reference, { width, height }) => {
    const record = ctx.records.must(reference)
    if (!isRunning(record)) throw new SlipwayError('conflict', `container ${record.id} is not running`)
    controlMonitor(record.paths.bundle, `1 ${height} ${width}`)
    emit(ctx, record, 'resize', { height: String(height), width: String(width) })
  }

type Wanted = Parameters<Containers['attach']>[1]

const chunksOf = async function* (lines: ReturnType<typeof readLogs>): AsyncGenerator<OutputChunk> {
  for await (const some of lines) for (const { stream, data } of some) yield { stream, data }
}

/**
 * What is in the log, then what the program says until it ends, all of it from the log: the monitor writes there what it
 * has read before it sends it to anybody, parts of lines too. No two sources, so nothing comes twice and nothing is lost
 * between them. `live` tells of the end.
 */
const loggedOutput = async function* (
  record: ContainerRecord,
  { stdout, stderr }: Wanted,
  live: Io,
): AsyncGenerator<OutputChunk> {
  let ended = false
  let ring = (): void => {}
  const drained = (async () => {
    for await (const _ of live.output);
    ended = true
    ring()
  })()
  const source = {
    path: record.paths.log,
    active: () => !ended,
    onChange: (listener: () => void) => {
      ring = listener
      return () => {}
    },
  }
  try {
    yield* chunksOf(readLogs(source, { stdout, stderr, follow: true }))
  } finally {
    live.close()
    await drained
  }
}

/** Who wants no stream is attached for as long as the log is read. */
const logOnly = async function* (
  ctx: Context,
  record: ContainerRecord,
  { logs, stdout, stderr }: Wanted,
  live: Io,
): AsyncGenerator<OutputChunk> {
  try {
    if (logs && record.spec.log.driver !== 'none') yield* chunksOf(readLogs(logSource(ctx, record), { stdout, stderr }))
  } finally {
    live.close()
  }
}

export const attach =
  (ctx: Context): Containers['attach'] =>
  async (reference, options) => {
    const record = ctx.records.must(reference)
    if (record.status === 'paused')
      throw new SlipwayError('conflict', `container ${record.id} is paused, unpause the container before attach`)
    const stream = options.stream !== false
    const { hub } = ctx.live(record.id)
    const live: Io = hub.attach({
      stdin: options.stdin && record.spec.stdin && stream,
      stdout: options.stdout && stream,
      stderr: options.stderr && stream,
    })
    if (isRunning(record))
      await hub.connect(join(record.paths.bundle, 'attach')).catch((error: unknown) => {
        // It has just ended, which is still to be dealt with: then the output ends, too.
        if (isAlive(ctx, record.pid, record.internal.pidStart)) throw error
      })
    emit(ctx, record, 'attach')
    const close: Io['close'] = (how) => {
      if (how === 'detached') emit(ctx, record, 'detach')
      live.close()
    }
    if (!stream) return { ...live, close, output: logOnly(ctx, record, options, live) }
    if (!options.logs || record.spec.log.driver === 'none') return { ...live, close }
    return { ...live, close, output: loggedOutput(record, options, live) }
  }
