/** The kubelet's view of what it works with: narrow, so that tests can stand in for the rest. */
import type { Engine, Container as EngineContainer } from '../../engine/index.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { Sys } from '../../sys/sys.ts'
import type { ClusterDns, Informers, ServiceProxy } from '../types.ts'

export interface NodeIdentity {
  name: string
  /** Address of this machine that others reach: the node's InternalIP and a hostNetwork pod's IP. */
  address: string
}

export interface KubeletDeps {
  engine: Pick<Engine, 'containers' | 'sandboxes' | 'images' | 'networks'>
  client: ObjectClient
  informers: Informers
  sys: Pick<Sys, 'mounts' | 'files' | 'cgroups' | 'namespaces'>
  proxy: ServiceProxy
  dns: ClusterDns
  /** Writes a Kubernetes Event about `object`. */
  record: (
    object: KubeObject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    details?: { fieldPath?: string | undefined },
  ) => void
  node: NodeIdentity
  /** Engine network that pods are attached to. */
  network: string
  /** Pod volumes live in `${stateDir}/pods/UID`, in-memory ones in `${runDir}/pods/UID`. */
  stateDir: string
  runDir: string
  log: Log
  clock: Clock
}

/** Labels on engine containers: how a container is found again, after a restart of the daemon too. */
export const label = {
  pod: 'io.kubernetes.pod.name',
  namespace: 'io.kubernetes.pod.namespace',
  uid: 'io.kubernetes.pod.uid',
  container: 'io.kubernetes.container.name',
  /** 'init', 'main' or 'ephemeral'. */
  role: 'dev.slipway.container.role',
  /** Which try this is; the Kubernetes restartCount. */
  attempt: 'io.kubernetes.container.attempt',
  /** Short tries in a row before this one; see backoff.ts. */
  streak: 'dev.slipway.container.streak',
  /** The image as the pod names it: a pod's image may be changed while it runs. */
  image: 'dev.slipway.container.image',
} as const

export type ContainerRole = 'init' | 'main' | 'ephemeral'

/** All tries of one container of a pod, newest first. */
export type Tries = readonly EngineContainer[]

/** What the planner and the status writer look at, taken at one instant. */
export interface Observed {
  pod: Pod
  now: number
  /** No container of it will run again. */
  over: boolean
  sandboxReady: boolean
  /** Tries by container name, newest first. */
  tries: ReadonlyMap<string, Tries>
  /** Probe results by container id; absent: no probe has answered yet. */
  probes: ReadonlyMap<string, ProbeResults>
  /** Why a container waits, by its name: set by a failed pull, volume or creation. */
  waiting: ReadonlyMap<string, { reason: string; message: string }>
  /** Running containers that have to go, by container id: a probe or a hook has failed. */
  condemned: ReadonlyMap<string, { message: string; graceSeconds?: number | undefined }>
  /** Last words of ended containers, by container id. */
  lastWords: ReadonlyMap<string, string>
}
export interface ProbeResults {
  started: boolean
  ready: boolean
}

export const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always'
