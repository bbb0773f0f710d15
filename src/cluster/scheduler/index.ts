import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import { createRecorder } from '../controllers/index.ts'
import type { Informers, User } from '../types.ts'
import { Scheduler } from './scheduler.ts'

interface SchedulerSetup {
  client(user: User): ObjectClient
  informers: Informers
  log: Log
  clock: Clock
}

/** Starts the scheduler; it binds pods of 'default-scheduler' until closed. */
export const startScheduler = (setup: SchedulerSetup): { close(): void } => {
  const log = setup.log.room('scheduler')
  const end = new AbortController()
  const client = setup.client({ name: 'system:kube-scheduler', groups: ['system:masters', 'system:authenticated'] })
  const recorder = createRecorder(client, 'default-scheduler', setup.clock, { log })
  const { informers, clock } = setup
  void new Scheduler({ client, informers, recorder, log, clock, signal: end.signal }).start()
  return { close: () => end.abort() }
}
