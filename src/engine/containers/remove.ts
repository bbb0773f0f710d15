import { SlipwayError } from '../../errors.ts'
import { type Context, emit, isRunning } from './context.ts'
import { dropParts, forget } from './create.ts'
import { takeDown } from './launch.ts'
import type { ContainerRecord } from './records.ts'
import { halt } from './stop.ts'
import { settleWaiters } from './waiters.ts'

/** A monitor that does not hang up is not waited for any longer. */
const heardMs = 5000

/** With --rm a container goes as soon as its program has ended: who is attached hears the last of it all the same. */
const lastWords = async (ctx: Context, id: string): Promise<void> => {
  const heard = new AbortController()
  const limit = ctx.clock.sleep(heardMs, heard.signal).catch(() => {})
  await Promise.race([ctx.live(id).hub.heard(), limit])
  heard.abort()
}

/** Holds the lock; nothing runs. */
export const removeNow = async (
  ctx: Context,
  record: ContainerRecord,
  options: { volumes: boolean },
): Promise<void> => {
  const marked = ctx.records.change(record.id, { status: 'removing' })
  await takeDown(ctx, marked)
  await lastWords(ctx, marked.id)
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
  const name = `container "/${record.spec.name}"`
  if (isRunning(record) || record.status === 'restarting') {
    if (!options.force) {
      const advice =
        record.status === 'paused'
          ? ' and must be unpaused first'
          : ': stop the container before removing or force remove'
      throw new SlipwayError('conflict', `cannot remove ${name}: container is ${record.status}${advice}`)
    }
    await halt(ctx, id, { timeoutMs: 10_000, signal: 'SIGKILL' })
  }
  await ctx.locks.run(id, async () => {
    const now = ctx.records.byId(id)
    // --rm was faster.
    if (!now) return
    if (isRunning(now))
      throw new SlipwayError(
        'conflict',
        `cannot remove ${name}: container is ${now.status}: stop the container before removing or force remove`,
      )
    await removeNow(ctx, now, { volumes: options.volumes ?? false })
  })
}
