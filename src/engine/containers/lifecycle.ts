import { messageOf, SlipwayError } from '../../errors.ts'
import type { Exit } from '../runtime/exits.ts'
import { signalNumber } from '../runtime/signals.ts'
import { type Context, emit, isAlive, isRunning, type Waiter } from './context.ts'
import { dropParts, forget } from './create.ts'
import { freshHealth, planFor, watchHealth } from './health.ts'
import { launch, takeDown } from './launch.ts'
import type { ContainerRecord } from './records.ts'
import { nextDelay, shouldRestart } from './restart.ts'
import { rotateWhileRunning } from './rotation.ts'

const settleWaiters = (
  ctx: Context,
  id: string,
  conditions: Waiter['condition'][],
  result: { exitCode: number; error?: string },
): void => {
  const { waiters } = ctx.live(id)
  for (const waiter of [...waiters]) {
    if (!conditions.includes(waiter.condition)) continue
    waiters.delete(waiter)
    waiter.resolve(result)
  }
}

/** Starts what runs beside a running container, and waits for its end. Also for one that an earlier daemon started. */
export const follow = (ctx: Context, record: ContainerRecord): void => {
  const { id } = record
  const live = ctx.live(id)
  const run = new AbortController()
  live.run = run
  const settled = Promise.withResolvers<void>()
  live.settled = settled.promise
  const { internal } = record
  const alive = (): boolean => isAlive(ctx, internal.monitorPid, internal.monitorStart)
  rotateWhileRunning(ctx, record, run.signal)
  watchHealth(ctx, record, run.signal)
  ctx.exits
    .expect(id, alive)
    .then((exit) => {
      run.abort()
      return ctx.locks.run(id, () => onExit(ctx, id, exit))
    })
    .catch((error) => ctx.log.error('exit could not be handled', { id, error: messageOf(error) }))
    .finally(settled.resolve)
}

/** The program has ended: record, events, then what the policy says. Holds the container's lock. */
const onExit = async (ctx: Context, id: string, exit: Exit): Promise<void> => {
  const record = ctx.records.byId(id)
  if (!record) return
  const live = ctx.live(id)
  const now = ctx.clock.now()
  const ranMs = now - (record.startedAt ?? now)
  const { exitCode, oomKilled } = exit
  const again =
    !record.internal.stopped &&
    !ctx.closing.signal.aborted &&
    shouldRestart(record.spec.restart, exitCode, record.restartCount)
  const ended = ctx.records.change(id, {
    status: again ? 'restarting' : 'exited',
    pid: 0,
    exitCode,
    oomKilled,
    finishedAt: now,
    error: exit.unknown ? 'the monitor of the container was lost; its exit code is not known' : '',
  })
  if (oomKilled) emit(ctx, record, 'oom')
  emit(ctx, record, 'die', { exitCode: String(exitCode), execDuration: String(Math.floor(ranMs / 1000)) })
  live.hub.end()
  settleWaiters(ctx, id, again ? ['next-exit'] : ['next-exit', 'not-running'], { exitCode })
  // Processes of a lost monitor are killed here: nobody could tell of their end any more.
  await takeDown(ctx, record)
  if (again) {
    live.backoffMs = nextDelay(live.backoffMs, ranMs)
    scheduleRestart(ctx, id, live.backoffMs)
  } else if (ended.spec.autoRemove) await removeNow(ctx, ended, { volumes: true })
}

export const scheduleRestart = (ctx: Context, id: string, delayMs: number): void => {
  const live = ctx.live(id)
  const due = new AbortController()
  live.restart = due
  ctx.clock
    .sleep(delayMs, AbortSignal.any([due.signal, ctx.closing.signal]))
    .then(() =>
      ctx.locks.run(id, async () => {
        // Stopped, removed or started by somebody while this waited for its turn.
        if (due.signal.aborted || ctx.records.byId(id)?.status !== 'restarting') return
        live.restart = undefined
        const record = ctx.records.change(id, { restartCount: ctx.records.must(id).restartCount + 1 })
        await startRecord(ctx, record)
      }),
    )
    .catch((error) => {
      if (due.signal.aborted || ctx.closing.signal.aborted) return
      ctx.log.warn('restart failed', { id, error: messageOf(error) })
      retryOrGiveUp(ctx, id)
    })
}

/** A start that failed counts as a failed run of no length. */
const retryOrGiveUp = (ctx: Context, id: string): void => {
  const record = ctx.records.byId(id)
  if (!record || record.internal.stopped || isRunning(record)) return
  const live = ctx.live(id)
  if (!shouldRestart(record.spec.restart, record.exitCode || 128, record.restartCount)) {
    settleWaiters(ctx, id, ['not-running'], { exitCode: record.exitCode, error: record.error })
    return
  }
  ctx.records.change(id, { status: 'restarting' })
  live.backoffMs = nextDelay(live.backoffMs, 0)
  scheduleRestart(ctx, id, live.backoffMs)
}

/** Holds the lock. */
const startRecord = async (ctx: Context, record: ContainerRecord): Promise<void> => {
  const health = (await planFor(ctx, record)) ? freshHealth : undefined
  follow(ctx, await launch(ctx, ctx.records.change(record.id, { health })))
}

const cancelRestart = (ctx: Context, id: string): void => {
  const live = ctx.live(id)
  live.restart?.abort()
  live.restart = undefined
}

export const start = (ctx: Context, reference: string): Promise<{ changed: boolean }> => {
  const { id } = ctx.records.must(reference)
  return ctx.locks.run(id, async () => {
    const record = ctx.records.must(id)
    if (record.status === 'paused')
      throw new SlipwayError('conflict', 'cannot start a paused container, try unpause instead')
    if (record.status === 'removing' || record.status === 'dead')
      throw new SlipwayError('conflict', 'container is marked for removal and cannot be started')
    if (record.status === 'running') return { changed: false }
    cancelRestart(ctx, id)
    ctx.live(id).backoffMs = 0
    const fresh = ctx.records.change(id, { stopped: false, restartCount: 0, health: undefined })
    try {
      await startRecord(ctx, fresh)
    } catch (error) {
      const failed = ctx.records.must(id)
      settleWaiters(ctx, id, ['next-exit', 'not-running'], { exitCode: failed.exitCode, error: failed.error })
      if (failed.spec.autoRemove) await removeNow(ctx, failed, { volumes: true })
      throw error
    }
    return { changed: true }
  })
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

export const stop = async (
  ctx: Context,
  reference: string,
  options: StopOptions = {},
): Promise<{ changed: boolean }> => {
  const { id } = ctx.records.must(reference)
  // A start under way is finished first. `stopped` is on record before the signal: the exit must not restart it.
  const record = await ctx.locks.run(id, async () => {
    const now = ctx.records.must(id)
    cancelRestart(ctx, id)
    if (now.status === 'restarting') {
      settleWaiters(ctx, id, ['not-running'], { exitCode: now.exitCode })
      return ctx.records.change(id, { status: 'exited', stopped: true })
    }
    return isRunning(now) ? ctx.records.change(id, { stopped: true }) : now
  })
  if (!isRunning(record)) return { changed: false }
  await end(ctx, record, options)
  emit(ctx, record, 'stop')
  return { changed: true }
}

export const restart = async (ctx: Context, reference: string, options: StopOptions = {}): Promise<void> => {
  const record = ctx.records.must(reference)
  const { autoRemove } = record.spec
  // An own restart is not an end: --rm must not take it away in between.
  if (autoRemove && isRunning(record)) ctx.records.settle(record.id, { spec: { ...record.spec, autoRemove: false } })
  await stop(ctx, record.id, options)
  if (autoRemove) ctx.records.settle(record.id, { spec: { ...ctx.records.must(record.id).spec, autoRemove: true } })
  await start(ctx, record.id)
  emit(ctx, record, 'restart')
}

export const kill = async (ctx: Context, reference: string, signal: string): Promise<void> => {
  const record = ctx.records.must(reference)
  const number = signalNumber(signal || 'SIGKILL')
  if (!isRunning(record))
    throw new SlipwayError('conflict', `cannot kill container: ${reference}: container ${record.id} is not running`)
  // As docker: a kill by hand ends the policy's say when it is the final signal, or the container's own stop signal.
  const image = await ctx.images.get(record.imageId)
  const stopSignal = signalNumber(record.spec.stopSignal || image?.config.config?.StopSignal || 'SIGTERM')
  if (number === 9 || number === stopSignal) ctx.records.change(record.id, { stopped: true })
  emit(ctx, record, 'kill', { signal: String(number) })
  signalProcess(ctx, record, number)
  if (number === 9) {
    if (record.status === 'paused') await setPaused(ctx, record, false)
    await ended(ctx, record.id, 10_000)
  }
}

const setPaused = async (ctx: Context, record: ContainerRecord, paused: boolean): Promise<void> => {
  const runtime = await ctx.sys.processes.ociRuntime()
  const verb = paused ? 'pause' : 'resume'
  await ctx.sys.processes.must([...runtime.enter, runtime.path, `--root=${ctx.paths.oci}`, verb, record.id], {
    timeoutMs: 30_000,
  })
  if (isRunning(ctx.records.must(record.id))) ctx.records.change(record.id, { status: paused ? 'paused' : 'running' })
}

export const pause = (ctx: Context, reference: string): Promise<void> => {
  const { id } = ctx.records.must(reference)
  return ctx.locks.run(id, async () => {
    const record = ctx.records.must(id)
    if (record.status === 'paused') throw new SlipwayError('conflict', `Container ${id} is already paused`)
    if (record.status !== 'running') throw new SlipwayError('conflict', `Container ${id} is not running`)
    await setPaused(ctx, record, true)
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

/** Holds the lock; nothing runs. */
const removeNow = async (ctx: Context, record: ContainerRecord, options: { volumes: boolean }): Promise<void> => {
  const marked = ctx.records.change(record.id, { status: 'removing' })
  await takeDown(ctx, marked)
  await dropParts(ctx, marked)
  settleWaiters(ctx, record.id, ['removed', 'not-running', 'next-exit'], { exitCode: record.exitCode })
  ctx.live(record.id).hub.close()
  await forget(ctx, marked, options)
  emit(ctx, marked, 'destroy')
}

export const remove = async (
  ctx: Context,
  reference: string,
  options: { force?: boolean; volumes?: boolean } = {},
): Promise<void> => {
  const record = ctx.records.must(reference)
  const { id } = record
  const name = `container "${reference}"`
  if (isRunning(record) || record.status === 'restarting') {
    if (!options.force) {
      const advice =
        record.status === 'paused'
          ? 'unpause and then stop the container before removal or force remove'
          : 'stop the container before removal or force remove'
      throw new SlipwayError('conflict', `cannot remove ${name}: container is ${record.status}: ${advice}`)
    }
    await stop(ctx, id, { timeoutMs: 0, signal: 'SIGKILL' })
  }
  await ctx.locks.run(id, async () => {
    const now = ctx.records.byId(id)
    // --rm was faster.
    if (!now) return
    if (isRunning(now))
      throw new SlipwayError(
        'conflict',
        `cannot remove ${name}: container is ${now.status}: stop the container before removal or force remove`,
      )
    await removeNow(ctx, now, { volumes: options.volumes ?? false })
  })
}

/** Registered before this returns: a caller may start the container right after. */
export const wait = (
  ctx: Context,
  reference: string,
  condition: Waiter['condition'],
  signal?: AbortSignal,
): Promise<{ exitCode: number; error?: string }> => {
  const record = ctx.records.must(reference)
  const { waiters } = ctx.live(record.id)
  if (condition === 'not-running' && !isRunning(record) && record.status !== 'restarting')
    return Promise.resolve({ exitCode: record.exitCode, ...(record.error ? { error: record.error } : {}) })
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      waiters.delete(waiter)
      reject(new SlipwayError('cancelled', 'wait cancelled', { cause: signal!.reason }))
    }
    const waiter: Waiter = {
      condition,
      resolve: (result) => {
        signal?.removeEventListener('abort', onAbort)
        resolve(result)
      },
    }
    if (signal?.aborted) return onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    waiters.add(waiter)
  })
}
