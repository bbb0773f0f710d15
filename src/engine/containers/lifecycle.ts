import { messageOf, SlipwayError } from '../../errors.ts'
import type { Exit } from '../runtime/exits.ts'
import { type Context, emit, isAlive, isRunning } from './context.ts'
import { freshHealth, planFor, watchHealth } from './health.ts'
import { launch, takeDown } from './launch.ts'
import type { ContainerRecord } from './records.ts'
import { removeNow } from './remove.ts'
import { nextDelay, shouldRestart } from './restart.ts'
import { rotateWhileRunning } from './rotation.ts'
import { cancelRestart, type StopOptions, stop } from './stop.ts'
import { settleWaiters } from './waiters.ts'

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
  const finishedAt = exit.at ?? ctx.clock.now()
  const ranMs = Math.max(0, finishedAt - (record.startedAt ?? finishedAt))
  const { exitCode, oomKilled } = exit
  const again =
    !record.internal.stopped &&
    !ctx.closing.signal.aborted &&
    shouldRestart(record.spec.restart, exitCode, record.restartCount)
  const ended = ctx.records.observe(id, {
    status: again ? 'restarting' : 'exited',
    pid: 0,
    exitCode,
    oomKilled,
    finishedAt,
    error: exit.unknown ? 'the monitor of the container was lost; its exit code is not known' : '',
  })
  if (oomKilled) emit(ctx, record, 'oom')
  emit(ctx, record, 'die', { exitCode: String(exitCode), execDuration: String(Math.floor(ranMs / 1000)) })
  live.hub.end()
  // Also before a restart: who waits for the program's end has seen it.
  settleWaiters(ctx, id, ['next-exit', 'not-running'], { exitCode })
  // Processes of a lost monitor are killed here: nobody could tell of their end any more.
  await takeDown(ctx, record)
  if (again) {
    live.backoffMs = nextDelay(live.backoffMs, ranMs)
    scheduleRestart(ctx, id, live.backoffMs)
  } else if (ended.spec.autoRemove) await removeNow(ctx, ended, { volumes: true })
}

/** `counted`: false where nothing has failed, as when a container is started because the daemon is. */
export const scheduleRestart = (ctx: Context, id: string, delayMs: number, { counted = true } = {}): void => {
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
        const restartCount = ctx.records.must(id).restartCount + (counted ? 1 : 0)
        await startRecord(ctx, ctx.records.change(id, { restartCount }))
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

export const start = (ctx: Context, reference: string): Promise<{ changed: boolean }> => {
  const { id } = ctx.records.must(reference)
  return ctx.locks.run(id, async () => {
    const record = ctx.records.must(id)
    if (record.status === 'paused')
      throw new SlipwayError('conflict', 'cannot start a paused container, try unpause instead')
    if (record.status === 'removing' || record.status === 'dead')
      throw new SlipwayError('conflict', 'container is marked for removal and cannot be started')
    if (record.status === 'running') return { changed: false }
    ctx.sys.cgroups.expectMove()
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
