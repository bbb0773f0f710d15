import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { readLogs } from '../logs/index.ts'
import type { Containers, Io, OutputChunk } from '../types.ts'
import { type Context, emit, isRunning } from './context.ts'
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

const replayed = async function* (
  ctx: Context,
  record: ContainerRecord,
  options: { stdout: boolean; stderr: boolean; until: number | undefined },
): AsyncGenerator<OutputChunk> {
  if (record.spec.log.driver === 'none') return
  for await (const lines of readLogs(logSource(ctx, record), options))
    for (const { stream, data } of lines) yield { stream, data }
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
    if (isRunning(record)) await hub.connect(join(record.paths.bundle, 'attach'))
    // What is written from now on comes by the stream: it must not come by the log as well.
    const until = stream ? ctx.clock.now() : undefined
    emit(ctx, record, 'attach')
    const close: Io['close'] = (how) => {
      if (how === 'detached') emit(ctx, record, 'detach')
      live.close()
    }
    if (!options.logs && stream) return { ...live, close }
    const output = (async function* (): AsyncGenerator<OutputChunk> {
      try {
        if (options.logs) yield* replayed(ctx, record, { stdout: options.stdout, stderr: options.stderr, until })
        if (stream) yield* live.output
      } finally {
        live.close()
      }
    })()
    return { ...live, close, output }
  }
