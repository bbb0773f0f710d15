/** What the Compose rooms offer: files in, a project; a project in, Kubernetes objects and a loss report out. */
import type { SourcePosition } from '../errors.ts'
import type { Project } from '../spec/compose/project.ts'
import type { KubeObject } from '../spec/kube/kinds.ts'
import type { ImageProcessConfig } from '../spec/oci/index.ts'

export interface LoadOptions {
  /** -f, in order; empty: discovery from `workingDir` upwards. '-' is stdin. */
  files: string[]
  workingDir: string
  projectDirectory?: string | undefined
  projectName?: string | undefined
  profiles: string[]
  envFiles: string[]
  /** The caller's environment (process.env). */
  environment: Record<string, string | undefined>
  interpolate?: boolean | undefined
  normalize?: boolean | undefined
  resolvePaths?: boolean | undefined
  /** Services named on the command line: enables their profiles. */
  services?: string[] | undefined
}
export interface LoadResult {
  project: Project
  /** e.g. `version` is obsolete. */
  warnings: { message: string; at?: SourcePosition | undefined }[]
}

export interface LowerOptions {
  /** 'local': the embedded cluster, which honours the slipway.dev/runtime annotation; 'cluster': any other. */
  destination: 'local' | 'cluster'
  /** By service: the image to run and its configuration, once built or pulled (USER, EXPOSE, ENTRYPOINT matter). */
  images: Record<string, { reference: string; config?: ImageProcessConfig | undefined }>
  /** Replicas chosen on the command line (--scale), by service. */
  scale?: Record<string, number> | undefined
  /** Services to apply; empty: all enabled. */
  services?: string[] | undefined
}
export interface Loss {
  service?: string | undefined
  /** 'services.web.cpuset' */
  path: string
  severity: 'warn' | 'refuse'
  message: string
  /** What to do instead. */
  hint: string
  at?: SourcePosition | undefined
}
export interface LowerResult {
  /** Namespace first, then configuration, storage, workloads, services, policies, ingress: a valid apply order. */
  objects: KubeObject[]
  /** Those of `objects` that belong to the project and to no service: the Namespace, NetworkPolicies. Applied before the waves. */
  shared: KubeObject[]
  /** Services in dependency waves with what each waits for; for `up`. */
  waves: Wave[][]
  losses: Loss[]
}
export interface Wave {
  service: string
  /** The workload object that runs it. */
  workload: { kind: 'Deployment' | 'StatefulSet' | 'DaemonSet' | 'Job'; name: string }
  /** Everything to apply for it, in order; a subset of objects. */
  objects: KubeObject[]
  waitsFor: {
    service: string
    condition: 'service_started' | 'service_healthy' | 'service_completed_successfully'
    required: boolean
  }[]
}
