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
