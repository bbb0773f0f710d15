/** A build as clients see it: named by a ref of their choice, asked for on one call, followed and driven on others. */
import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { CacheEntry, SourceRule } from '../../../build/types.ts'
import { SlipwayError } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import { ProgressLog } from './progress.ts'
import type { Session } from './session.ts'
import type { RpcStatus } from './status.ts'

export interface Export {
  type: string
  attrs: Record<string, string>
}
export type Cache = Omit<CacheEntry, 'store'>
export interface Job {
  ref: string
  session: Session
  exports: Export[]
  /** Where the cache comes from and goes to, as Control.Solve has it. */
  caches: { from: Cache[]; to: Cache[] }
  progress: ProgressLog
  signal: AbortSignal
  /** The build context, where it did not come by the session. */
  upload?: Readable | undefined
  /** What --allow grants. */
  entitlements: readonly string[]
  /** Where sources may come from. */
  sourceRules: readonly SourceRule[]
  /** Names and texts of Dockerfiles, for errors that show their lines. */
  sources: Map<string, Uint8Array>
  /** What the exporters say: digests, names. */
  response: Record<string, string>
  /** The gateway's client says that it is done: with a result, or with an error of its own. */
  returned(error?: RpcStatus): void
  waitForReturn: Promise<RpcStatus | undefined>
}

export const createJob = (
  about: Pick<Job, 'ref' | 'session' | 'exports' | 'caches' | 'signal' | 'entitlements' | 'sourceRules' | 'upload'>,
  clock: Pick<Clock, 'now'>,
): Job => {
  const { promise, resolve, reject } = Promise.withResolvers<RpcStatus | undefined>()
  const gone = (): void => reject(about.signal.reason ?? new SlipwayError('cancelled', 'context canceled'))
  if (about.signal.aborted) gone()
  about.signal.addEventListener('abort', gone, { once: true })
  promise.catch(() => {}) // seen by whoever waits
  const sources = new Map<string, Uint8Array>()
  const progress = new ProgressLog(about.ref || randomUUID(), () => clock.now())
  progress.source = (file) => sources.get(file)
  return { ...about, sources, progress, response: {}, returned: resolve, waitForReturn: promise }
}
