import type { Containers, Devices, Snapshots } from '../../engine/types.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Semaphore } from '../../lib/semaphore.ts'
import type { Sys } from '../../sys/sys.ts'
import type { CacheMounts } from '../cache/mounts.ts'
import type { EarlierCopies } from '../cache/copies.ts'
import type { CacheRecords, StepResult } from '../cache/records.ts'
import type { FileDigests } from '../context/digests.ts'
import type { Downloads } from '../context/download.ts'
import type { GitSources } from '../context/git.ts'
import type { Flights } from './flights.ts'

/** What solving needs; one for all builds. */
export interface SolverDeps {
  sys: Sys
  clock: Clock
  log: Log
  snapshots: Snapshots
  containers: Pick<Containers, 'runStep'>
  devices: Pick<Devices, 'list'>
  records: CacheRecords
  copies: EarlierCopies
  cacheMounts: CacheMounts
  digests: FileDigests
  downloads: Downloads
  git: GitSources
  flights: Flights<StepResult>
  /** Steps at once. */
  slots: Semaphore
  /** Directory of workspaces. */
  workDir: string
  /** Snapshots that a build under way relies on. */
  inUse: Map<string, number>
}

export const topOf = (result: Pick<StepResult, 'snapshots'>): string | undefined => result.snapshots.at(-1)
