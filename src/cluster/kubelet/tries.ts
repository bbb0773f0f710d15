/** What one engine container says as a try of a pod's container. */
import type { Container as EngineContainer } from '../../engine/index.ts'
import type { EndedTry } from './backoff.ts'
import { label, type Tries } from './types.ts'

export const isRunning = (t: EngineContainer | undefined): boolean => t?.status === 'running' || t?.status === 'paused'
/** It ran and ended, or could not be started. */
export const hasEnded = (t: EngineContainer | undefined): t is EngineContainer => t !== undefined && !isRunning(t)
export const hasSucceeded = (t: EngineContainer | undefined): boolean => hasEnded(t) && t.exitCode === 0 && !t.error

/** One that was only made (the daemon was killed before the start) or is being removed is no try. */
export const isTry = (t: EngineContainer): boolean =>
  t.status === 'created' ? t.error !== '' : t.status !== 'removing' && t.status !== 'dead'

export const attemptOf = (t: EngineContainer): number => Number(t.spec.labels[label.attempt] ?? 0)

export const endedTry = (t: EngineContainer): EndedTry => ({
  startedAt: t.startedAt ?? t.createdAt,
  finishedAt: t.finishedAt ?? t.createdAt,
  streak: Number(t.spec.labels[label.streak] ?? 0),
})

export const newestOf = (tries: ReadonlyMap<string, Tries>, name: string): EngineContainer | undefined =>
  tries.get(name)?.[0]
