/**
 * The one way to work with Kubernetes objects. Two bodies: the embedded API server in-process (cluster/api) and HTTP to any
 * Kubernetes API (clients/kube). Controllers, the kubelet and every CLI command see only this. One suite runs over both.
 *
 * Objects that come back are the caller's own copies only from HTTP; treat them as read-only everywhere and build new ones.
 * Errors are SlipwayErrors with Kubernetes' message; `details` holds the Status.
 */
import type { Duplex, Readable, Writable } from 'node:stream'
import type { Kind, KubeObject, ObjectMetaHolder } from './kinds.ts'

export interface Key {
  namespace?: string | undefined
  name: string
}
export interface ListOptions {
  /** Absent: all namespaces. */
  namespace?: string | undefined
  /** "app=web,tier!=db" */
  labels?: string | undefined
  /** "metadata.name=x" */
  fields?: string | undefined
  limit?: number | undefined
  continue?: string | undefined
  resourceVersion?: string | undefined
}
export interface List<T> {
  items: T[]
  resourceVersion: string
  continue?: string | undefined
}
export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | { type: 'BOOKMARK'; resourceVersion: string }

export interface WriteOptions {
  dryRun?: boolean | undefined
  fieldManager?: string | undefined
  signal?: AbortSignal | undefined
}
export type Patch =
  | { type: 'json'; body: { op: string; path: string; value?: unknown; from?: string }[] }
  | { type: 'merge' | 'strategic'; body: unknown }
export interface DeleteOptions extends WriteOptions {
  gracePeriodSeconds?: number | undefined
  propagation?: 'Background' | 'Foreground' | 'Orphan' | undefined
  preconditions?: { uid?: string; resourceVersion?: string } | undefined
}
export interface PodLogOptions {
  container?: string | undefined
  follow?: boolean | undefined
  previous?: boolean | undefined
  timestamps?: boolean | undefined
  tailLines?: number | undefined
  sinceSeconds?: number | undefined
  sinceTime?: string | undefined
  limitBytes?: number | undefined
  signal?: AbortSignal | undefined
}
export interface PodExecOptions {
  container?: string | undefined
  command: string[]
  stdin: boolean
  stdout: boolean
  stderr: boolean
  tty: boolean
}
/** A program's streams on a pod. `stdin.end()` closes its input. */
export interface ExecSession {
  stdin: Writable | undefined
  stdout: Readable | undefined
  stderr: Readable | undefined
  resize(size: { width: number; height: number }): void
  /** Rejects when the connection broke or the program could not start. */
  exited: Promise<{ exitCode: number; message?: string }>
  close(): void
}

export interface ObjectClient {
  /** undefined when there is none. */
  get<T extends ObjectMetaHolder>(kind: Kind<T>, key: Key): Promise<T | undefined>
  list<T extends ObjectMetaHolder>(kind: Kind<T>, options?: ListOptions): Promise<List<T>>
  /** From `resourceVersion` (absent: now, beginning with ADDED of all there are). Ends on abort; throws 'expired' when too old. */
  watch<T extends ObjectMetaHolder>(
    kind: Kind<T>,
    options: ListOptions & { signal: AbortSignal; bookmarks?: boolean },
  ): AsyncIterable<WatchEvent<T>>
  create<T extends ObjectMetaHolder>(kind: Kind<T>, object: T, options?: WriteOptions): Promise<T>
  /** 'conflict' when metadata.resourceVersion is set and not current. */
  update<T extends ObjectMetaHolder>(kind: Kind<T>, object: T, options?: WriteOptions): Promise<T>
  /** Replaces status only. */
  updateStatus<T extends ObjectMetaHolder>(kind: Kind<T>, object: T, options?: WriteOptions): Promise<T>
  patch<T extends ObjectMetaHolder>(
    kind: Kind<T>,
    key: Key,
    patch: Patch,
    options?: WriteOptions & { subresource?: 'status' | 'scale' },
  ): Promise<T>
  /** Server-side apply; `object` has apiVersion, kind and name. */
  apply<T extends ObjectMetaHolder>(
    kind: Kind<T>,
    object: T,
    options: WriteOptions & { fieldManager: string; force?: boolean },
  ): Promise<T>
  /** Gone already: undefined. */
  delete<T extends ObjectMetaHolder>(kind: Kind<T>, key: Key, options?: DeleteOptions): Promise<T | undefined>
  deleteCollection<T extends ObjectMetaHolder>(kind: Kind<T>, options: ListOptions & DeleteOptions): Promise<void>
  /** POST to a subresource: pods/binding, pods/eviction, serviceaccounts/token. */
  createSubresource<T extends ObjectMetaHolder>(
    kind: Kind<T>,
    key: Key,
    subresource: string,
    body: KubeObject,
  ): Promise<KubeObject>
  getScale<T extends ObjectMetaHolder>(
    kind: Kind<T>,
    key: Key,
  ): Promise<{ replicas: number; selector: string; resourceVersion: string } | undefined>
  setScale<T extends ObjectMetaHolder>(kind: Kind<T>, key: Key, replicas: number): Promise<void>

  logs(pod: Key, options: PodLogOptions): AsyncIterable<Buffer>
  exec(pod: Key, options: PodExecOptions): Promise<ExecSession>
  attach(pod: Key, options: Omit<PodExecOptions, 'command'>): Promise<ExecSession>
  portForward(pod: Key, port: number): Promise<Duplex>
  /** From metrics.k8s.io; undefined where the cluster has no metrics. */
  podMetrics(options: ListOptions): Promise<PodUsage[] | undefined>
  version(): Promise<{ gitVersion: string; platform: string }>
}
export interface PodUsage {
  namespace: string
  name: string
  labels: Record<string, string>
  /** Milliseconds since the epoch of the sample, and its window in ms. */
  time: number
  window: number
  containers: { name: string; cpuNanocores: number; memoryBytes: number }[]
}
