import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Sys } from '../sys/sys.ts'
import type { Events, Instance } from './types.ts'

/** What every part of the engine is given. One database for all; each part keeps its own tables (lib/database.ts migrate). */
export interface EngineDeps {
  instance: Instance
  sys: Sys
  db: DatabaseSync
  events: Events
  log: Log
  clock: Clock
}
