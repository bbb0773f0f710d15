import { SlipwayError } from '../../errors.ts'
import { type Context, isRunning, type Waiter } from './context.ts'

/** Tells those who wait for one of these. */
export const settleWaiters = (
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
