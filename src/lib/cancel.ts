import { SlipwayError } from '../errors.ts'

/** What an aborted operation fails with: the reason, if it is an error of ours, else 'cancelled'. */
export const cancelled = (signal: AbortSignal): SlipwayError =>
  signal.reason instanceof SlipwayError
    ? signal.reason
    : new SlipwayError('cancelled', 'operation was cancelled', { cause: signal.reason })

/** Runs the task; when it fails because of the abort, whatever it threw becomes `cancelled`. */
export const cancellable = async <T>(signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> => {
  try {
    if (signal?.aborted) throw cancelled(signal)
    return await task()
  } catch (error) {
    throw signal?.aborted && !(error instanceof SlipwayError) ? cancelled(signal) : error
  }
}

/** Waits no longer than until the abort, which is `cancelled`. Only for what may go on or end without being waited for. */
export const unlessAborted = <T>(signal: AbortSignal | undefined, waiting: Promise<T>): Promise<T> => {
  if (!signal) return waiting
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(cancelled(signal))
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    waiting.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
