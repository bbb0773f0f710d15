import { SlipwayError } from '../../errors.ts'
import { signalNumber } from '../runtime/signals.ts'
import { type Context, emit, isAlive, isRunning } from './context.ts'
import type { ContainerRecord } from './records.ts'
import { settleWaiters } from './waiters.ts'

/** A restart that is due does not happen. */
export const cancelRestart = (ctx: Context, id: string): void => {
  const live = ctx.live(id)
  live.restart?.abort()
  live.restart = undefined
}

const signalProcess = (ctx: Context, record: ContainerRecord, signal: number): boolean =>
  isAlive(ctx, record.pid, record.internal.pidStart) && ctx.sys.processes.kill(record.pid, signal)

/** Waits for the end of the present run, at most `timeoutMs` (negative: for ever). True when it has ended. */
const ended = async (ctx: Context, id: string, timeoutMs: number): Promise<boolean> => {
  const { settled } = ctx.live(id)
  if (!settled) return true
  if (timeoutMs < 0) return settled.then(() => true)
  const timer = new AbortController()
  const late = ctx.clock.sleep(timeoutMs, timer.signal).then(
    () => false,
    () => true,
  )
  const won = await Promise.race([settled.then(() => true), late])
  timer.abort()
  return won
}

export interface StopOptions {
  timeoutMs?: number | undefined
  signal?: string | undefined
}

/** The stop itself, without events or policy. */
const end = async (ctx: Context, record: ContainerRecord, options: StopOptions): Promise<void> => {
  const { id, spec } = record
  const image = await ctx.images.get(record.imageId)
  const signal = signalNumber(options.signal || spec.stopSignal || image?.config.config?.StopSignal || 'SIGTERM')
  const timeoutMs = options.timeoutMs ?? spec.stopTimeoutMs ?? 10_000
  // A frozen program cannot answer a signal.
  if (record.status === 'paused') await setPaused(ctx, record, false)
  emit(ctx, record, 'kill', { signal: String(signal) })
  signalProcess(ctx, record, signal)
  if (await ended(ctx, id, timeoutMs)) return
  emit(ctx, record, 'kill', { signal: '9' })
  signalProcess(ctx, record, 9)
  if (await ended(ctx, id, 10_000)) return
  throw new SlipwayError(
    'internal',
    `cannot stop container: ${id}: tried to kill container, but did not receive an exit event`,
  )
}

/** Ends the present run and any restart that is due; undefined where nothing ran. */
export const halt = async (
  ctx: Context,
  reference: string,
  options: StopOptions,
): Promise<ContainerRecord | undefined> => {
  const { id } = ctx.records.must(reference)
  // A start under way is finished first. `stopped` is on record before the signal: the exit must not restart it.
  const record = await ctx.locks.run(id, async () => {
    const now = ctx.records.must(id)
    cancelRestart(ctx, id)
    if (now.status === 'restarting') {
      settleWaiters(ctx, id, ['not-running'], { exitCode: now.exitCode })
      return ctx.records.observe(id, { status: 'exited', stopped: true })
    }
    return isRunning(now) ? ctx.records.observe(id, { stopped: true }) : now
  })
  if (!isRunning(record)) return undefined
  await end(ctx, record, options)
  return record
}

export const stop = async (
  ctx: Context,
  reference: string,
  options: StopOptions = {},
): Promise<{ changed: boolean }> => {
  const record = await halt(ctx, reference, options)
  if (record) emit(ctx, record, 'stop')
  return { changed: record !== undefined }
}

export const kill = async (ctx: Context, reference: string, signal: string): Promise<void> => {
  const record = ctx.records.must(reference)
  const number = signalNumber(signal || 'SIGKILL')
  // Between two runs there is nobody to send it to: the next run does not come.
  if (record.status === 'restarting') return void (await halt(ctx, record.id, {}))
  if (!isRunning(record))
    throw new SlipwayError('conflict', `cannot kill container: ${reference}: container ${record.id} is not running`)
  // As docker: a kill by hand ends the policy's say when it is the final signal, or the container's own stop signal.
  const image = await ctx.images.get(record.imageId)
  const stopSignal = signalNumber(record.spec.stopSignal || image?.config.config?.StopSignal || 'SIGTERM')
  if (number === 9 || number === stopSignal) ctx.records.observe(record.id, { stopped: true })
  emit(ctx, record, 'kill', { signal: String(number) })
  signalProcess(ctx, record, number)
  if (number === 9) {
    if (record.status === 'paused') await setPaused(ctx, record, false)
    await ended(ctx, record.id, 10_000)
  }
}

const setPaused = async (ctx: Context, record: ContainerRecord, paused: boolean, briefly = false): Promise<void> => {
  const runtime = await ctx.sys.processes.ociRuntime()
  const verb = paused ? 'pause' : 'resume'
  await ctx.sys.processes.must([...runtime.enter, runtime.path, `--root=${ctx.paths.oci}`, verb, record.id], {
    timeoutMs: 30_000,
  })
  if (isRunning(ctx.records.must(record.id)))
    ctx.records.observe(record.id, { status: paused ? 'paused' : 'running', briefly })
}

/** `briefly`: for a purpose of ours; the next daemon lets it go on. */
export const pause = (ctx: Context, reference: string, { briefly = false } = {}): Promise<void> => {
  const { id } = ctx.records.must(reference)
  return ctx.locks.run(id, async () => {
    const record = ctx.records.must(id)
    if (record.status === 'paused') throw new SlipwayError('conflict', `Container ${id} is already paused`)
    if (record.status !== 'running') throw new SlipwayError('conflict', `Container ${id} is not running`)
    await setPaused(ctx, record, true, briefly)
    emit(ctx, record, 'pause')
  })
}

export const unpause = (ctx: Context, reference: string): Promise<void> => {
  const { id } = ctx.records.must(reference)
  return ctx.locks.run(id, async () => {
    const record = ctx.records.must(id)
    if (record.status !== 'paused') throw new SlipwayError('conflict', `Container ${id} is not paused`)
    await setPaused(ctx, record, false)
    emit(ctx, record, 'unpause')
  })
}
