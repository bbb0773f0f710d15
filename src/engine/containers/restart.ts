import type { ContainerSpec } from '../types.ts'

/** Docker's (libcontainerd restartmanager): 100 ms, doubled each time up to a minute, back to the start after a run of 10 s. */
export const firstDelayMs = 100
const longestDelayMs = 60_000
const longRunMs = 10_000

/** How long to wait before the next restart, given the last wait (0: none yet) and how long the program ran. */
export const nextDelay = (lastMs: number, ranMs: number): number =>
  lastMs === 0 || ranMs >= longRunMs ? firstDelayMs : Math.min(lastMs * 2, longestDelayMs)

/** Is a program to be started again, that ended by itself (not by `stop`)? */
export const shouldRestart = (restart: ContainerSpec['restart'], exitCode: number, restartCount: number): boolean => {
  switch (restart.policy) {
    case 'always':
    case 'unless-stopped':
      return true
    case 'on-failure':
      return exitCode !== 0 && (restart.maxRetries <= 0 || restartCount < restart.maxRetries)
    case 'no':
      return false
  }
}
