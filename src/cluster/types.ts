/**
 * Contracts between the parts of the cluster, and between it and its doors. The API server (cluster/api) is the only
 * writer of the store; everything else is a client of ObjectClient.
 */
import type { Duplex } from 'node:stream'
import type {
  ExecSession,
  ObjectClient,
  PodExecOptions,
  PodLogOptions,
  PodUsage,
  WatchEvent,
} from '../spec/kube/client.ts'
import type { Kind, KubeObject } from '../spec/kube/kinds.ts'

/** Who asks: already authenticated by a door. In-process parts are system:admin-like users with their own names. */
export interface User {
  name: string
  uid?: string | undefined
  groups: string[]
  extra?: Record<string, string[]> | undefined
}

/** One decoded request for the API server's resource handlers. Objects are plain JSON whatever the wire had. */
export interface ApiRequest {
  verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection'
  user: User
  group: string
  version: string
  /** Plural resource name, e.g. 'deployments'. */
  resource: string
  subresource?: string | undefined // 'status', 'scale', 'binding', 'eviction', 'token', 'ephemeralcontainers', …
  namespace?: string | undefined
  name?: string | undefined
  object?: KubeObject | undefined
  patch?: { type: 'json' | 'merge' | 'strategic' | 'apply'; body: unknown } | undefined
  labels?: string | undefined
  fields?: string | undefined
  limit?: number | undefined
  continue?: string | undefined
  resourceVersion?: string | undefined
  resourceVersionMatch?: string | undefined
  sendInitialEvents?: boolean | undefined
  allowWatchBookmarks?: boolean | undefined
  timeoutSeconds?: number | undefined
  dryRun?: boolean | undefined
  fieldManager?: string | undefined
  force?: boolean | undefined
  fieldValidation?: 'Strict' | 'Warn' | 'Ignore' | undefined
  deleteOptions?:
    | {
        gracePeriodSeconds?: number
        propagationPolicy?: string
        preconditions?: { uid?: string; resourceVersion?: string }
        orphanDependents?: boolean
      }
    | undefined
  /** Ask for a Table; `includeObject` as in the query parameter. */
  table?: { includeObject: 'None' | 'Metadata' | 'Object' } | undefined
  /** Ask for PartialObjectMetadata(List). */
  metadataOnly?: boolean | undefined
  signal?: AbortSignal | undefined
}
export type ApiResponse =
  /** `object` may be an object, a List, a Table or a Status. `warnings` become Warning headers. */
  | { kind: 'object'; status: 200 | 201 | 202; object: KubeObject; warnings: string[] }
  /** Events with `object` already in the asked form (plain, Table, PartialObjectMetadata); ends on abort or timeout. */
  | {
      kind: 'watch'
      events: AsyncIterable<{ type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'; object: unknown }>
    }

/** What the API server knows of a resource: for discovery, OpenAPI and the doors. */
export interface ResourceInfo {
  kind: Kind
  verbs: string[]
  subresources: { name: string; kind: { group: string; version: string; kind: string }; verbs: string[] }[]
  /** Served but not the storage version (autoscaling/v1 for HPA). */
  storageVersion: string
}

export interface ApiServer {
  /** Rejects with SlipwayErrors whose `details` is a Kubernetes Status object (kind: Status, reason, details.causes, code). */
  handle(request: ApiRequest): Promise<ApiResponse>
  resources(): ResourceInfo[]
  /** In-process client acting as `user`. Same defaulting, validation and admission as over HTTP. */
  client(user: User): ObjectClient
  /** Where pods run: set once by main when the kubelet is up. Until then logs, exec … are 'unavailable'. */
  connectNodes(nodes: NodeProxy): void
  nodes(): NodeProxy
  /** OpenAPI v3 index and documents: path 'api/v1' or 'apis/apps/v1' → document. */
  openapi(): { paths(): { path: string; hash: string }[]; document(path: string): unknown }
  /** Status object for any error, as Kubernetes would answer it. */
  statusOf(error: unknown): KubeObject & { code: number }
  close(): Promise<void>
}

/** The node side of pod subresources; the kubelet is its body. The API server has checked that the pod exists. */
export interface NodeProxy {
  logs(pod: KubeObject, options: PodLogOptions): AsyncIterable<Buffer>
  exec(pod: KubeObject, options: PodExecOptions): Promise<ExecSession>
  attach(pod: KubeObject, options: Omit<PodExecOptions, 'command'>): Promise<ExecSession>
  portForward(pod: KubeObject, port: number): Promise<Duplex>
  /** Usage now, from cgroups. */
  podUsage(): PodUsage[]
  nodeUsage(): { name: string; time: number; window: number; cpuNanocores: number; memoryBytes: number }[]
}

/**
 * A kept list: list, then watch, restarted as needed. The current state of a kind in memory, shared by all who ask in one
 * process. Reads are synchronous and may lag; writers see their own writes through the API only.
 */
export interface Informer<T> {
  get(namespace: string | undefined, name: string): T | undefined
  list(namespace?: string): readonly T[]
  /** Called with each change after the first full list has been delivered as ADDED. Returns the function that ends it. */
  on(listener: (event: Extract<WatchEvent<T>, { object: T }>) => void): () => void
  synced: Promise<void>
}
export interface Informers {
  of<T extends { metadata: import('../spec/kube/generated/types.ts').ObjectMeta }>(kind: Kind<T>): Informer<T>
  close(): void
}

/**
 * Kernel load balancing, seen by the kubelet: before a terminating pod gets its SIGTERM, its addresses must be out of every
 * rule. Resolves when the last transaction that mentions the pod as a target has been committed.
 */
export interface ServiceProxy {
  drained(podUid: string, signal?: AbortSignal): Promise<void>
}
/** Cluster DNS, as the kubelet writes it into resolv.conf. */
export interface ClusterDns {
  address: string
  domain: string // 'cluster.local'
}
