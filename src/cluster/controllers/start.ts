import { messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Informers, User } from '../types.ts'
import { autoscalers } from './autoscaler/index.ts'
import { cronJobs } from './cronjob/index.ts'
import { daemonSets } from './daemonset/index.ts'
import { deployments } from './deployment/index.ts'
import { endpointSlices, endpoints, mirroredSlices } from './endpoints/index.ts'
import { finishedJobs, jobs } from './job/index.ts'
import { startCollector } from './lifecycle/collector.ts'
import { budgets } from './lifecycle/disruption.ts'
import { namespaces, rootCas, serviceAccounts } from './lifecycle/namespaces.ts'
import { nodes, taintEvictions } from './lifecycle/nodes.ts'
import { eventTtl, podCollector } from './lifecycle/pod-gc.ts'
import { quotas } from './lifecycle/quota.ts'
import type { ControllerOptions } from './options.ts'
import { replicaSets } from './replicaset/index.ts'
import { type Controller, runController, type Surroundings } from './run/controller.ts'
import { Owned } from './run/owned.ts'
import { createRecorder } from './run/recorder.ts'
import { statefulSets } from './statefulset/index.ts'
import { ensureStorageClass, volumeControllers } from './volumes/index.ts'

interface ControllerSetup {
  /** A client that acts as the user: each controller is one of its own, as in Kubernetes. */
  client(user: User): ObjectClient
  informers: Informers
  log: Log
  clock: Clock
  options: ControllerOptions
}

// Endpoints before all else: they decide whom traffic reaches.
// Those that remember something between turns are made anew with each start.
const controllers = (): Controller[] => [
  endpointSlices,
  endpoints,
  mirroredSlices,
  deployments,
  replicaSets,
  statefulSets,
  daemonSets,
  jobs,
  cronJobs,
  finishedJobs,
  ...volumeControllers,
  serviceAccounts,
  rootCas,
  namespaces,
  autoscalers(),
  budgets,
  quotas,
  nodes(),
  taintEvictions,
  podCollector(),
  eventTtl,
]

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
  const surroundings = (name: string): Surroundings => {
    const client = setup.client(userOf(name))
    const recorder = createRecorder(client, name, clock, { log })
    return { client, informers, owned, recorder, clock, log, options, signal: end.signal }
  }
  for (const definition of controllers()) {
    runController(definition, surroundings(definition.name)).catch((error) =>
      log.error('controller not started', { controller: definition.name, error: messageOf(error) }),
    )
  }
  startCollector(surroundings('generic-garbage-collector'))
  const binder = setup.client(userOf('persistent-volume-binder'))
  ensureStorageClass(binder, options.storageClass ?? 'local').catch((error) =>
    log.error('no storage class made', { error: messageOf(error) }),
  )
  return { close: () => end.abort() }
}
