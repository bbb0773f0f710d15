import { messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Informers, User } from '../types.ts'
import { deployments } from './deployment/index.ts'
import { endpointSlices, endpoints } from './endpoints/index.ts'
import type { ControllerOptions } from './options.ts'
import { replicaSets } from './replicaset/index.ts'
import { type Controller, runController } from './run/controller.ts'
import { Owned } from './run/owned.ts'
import { createRecorder } from './run/recorder.ts'
import { ensureStorageClass, volumeControllers } from './volumes/index.ts'

export interface ControllerSetup {
  /** A client that acts as the user: each controller is one of its own, as in Kubernetes. */
  client(user: User): ObjectClient
  informers: Informers
  log: Log
  clock: Clock
  options: ControllerOptions
}

// Endpoints before all else: they decide whom traffic reaches.
const controllers: readonly Controller[] = [endpointSlices, endpoints, deployments, replicaSets, ...volumeControllers]

const userOf = (name: string): User => ({
  name: `system:serviceaccount:kube-system:${name}`,
  groups: ['system:masters', 'system:serviceaccounts', 'system:authenticated'],
})

/** Starts all controllers. `close` ends them; what they were writing is either written or not, never half. */
export const startControllers = (setup: ControllerSetup): { close(): void } => {
  const { informers, clock, options } = setup
  const log = setup.log.room('controllers')
  const end = new AbortController()
  const owned = new Owned(informers)
  for (const definition of controllers) {
    const client = setup.client(userOf(definition.name))
    const recorder = createRecorder(client, definition.name, clock, { log })
    const around = { client, informers, owned, recorder, clock, log, options, signal: end.signal }
    runController(definition, around).catch((error) =>
      log.error('controller not started', { controller: definition.name, error: messageOf(error) }),
    )
  }
  const binder = setup.client(userOf('persistent-volume-binder'))
  ensureStorageClass(binder, options.storageClass ?? 'local').catch((error) =>
    log.error('no storage class made', { error: messageOf(error) }),
  )
  return { close: () => end.abort() }
}
