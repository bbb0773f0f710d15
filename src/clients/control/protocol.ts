/** What the command line and the daemon say to each other over control.sock: HTTP, JSON in, JSON or JSON lines out. */
import type { BuildProgress, Description, ExportResponse, GivenPolicy } from '../../build/types.ts'
import type { RegistryAuth, TransferProgress } from '../../engine/types.ts'
import type { ErrorCode, SourcePosition } from '../../errors.ts'
import type { Descriptor, ImageProcessConfig } from '../../spec/oci/index.ts'

export interface DaemonStatus {
  pid: number
  version: string
  startedAt: number
  home: string | undefined
  sockets: { docker: string; kubernetes: string; control: string }
  kubeconfig: string
  counts: { containers: number; running: number; images: number; pods: number; networks: number; volumes: number }
  memoryBytes: number
}

export interface BuildOrder {
  context: { directory: string } | { git: string } | { url: string } | { none: true }
  dockerfile: { path: string } | { inline: string } | undefined
  target: string | undefined
  args: Record<string, string>
  labels: Record<string, string>
  tags: string[]
  /** None: this machine's. Of several, the names mean the one that this machine can run, and stand for all. */
  platforms: string[]
  /** Options by type. */
  attest: Record<string, string>
  noCache: boolean
  noCacheFilter: string[]
  pull: boolean
  network: 'default' | 'none' | 'host' | undefined
  extraHosts: { name: string; address: string }[]
  shmSize: number | undefined
  ulimits: { name: string; soft: number; hard: number }[]
  contexts: Record<string, string>
  cacheFrom: CacheOrder[]
  cacheTo: CacheOrder[]
  secrets: Record<string, { file: string } | { env: string } | { valueBase64: string }>
  /** id=SOCKET */
  ssh: string[]
  /** By registry host. */
  auths: Record<string, RegistryAuth>
  /** As --allow names them. */
  entitlements: string[]
}
/** A directory is an OCI layout. */
export interface CacheOrder {
  type: string
  attrs: Record<string, string>
  directory?: string | undefined
}
/** `path`: the file or directory that it goes to; none for what goes to the images or a registry. */
export interface OutputOrder {
  type: string
  attrs: Record<string, string>
  path?: string | undefined
}
export type ContextOrder = string | { layout: string; tag: string; digest?: string | undefined }

/** `slipway build`. All paths are absolute, and of this machine. */
export interface ImageBuildOrder {
  context: { directory: string } | { git: string } | { url: string } | { tarFile: string } | { none: true }
  dockerfile: { path: string } | { inline: string } | undefined
  target: string | undefined
  args: Record<string, string>
  labels: Record<string, string>
  /** Options by type. */
  attest: Record<string, string>
  platforms: string[]
  noCache: boolean
  noCacheFilter: string[]
  pull: boolean
  network: string | undefined
  extraHosts: { name: string; address: string }[]
  shmSize: number | undefined
  ulimits: { name: string; soft: number; hard: number }[]
  cgroupParent: string | undefined
  /** Of RUN steps, by the names of BuildKit's frontend. */
  limits: Record<string, string>
  contexts: Record<string, ContextOrder>
  secrets: Record<string, { file: string } | { valueBase64: string }>
  /** id=SOCKET */
  ssh: string[]
  /** By registry host. */
  auths: Record<string, RegistryAuth>
  /** Of EXPERIMENTAL_BUILDKIT_SOURCE_POLICY. */
  sourcePolicy: GivenPolicy
  /** As --allow names them. */
  entitlements: string[]
  cacheFrom: CacheOrder[]
  cacheTo: CacheOrder[]
  outputs: OutputOrder[]
}
/** A Description whose error has crossed the wire. */
export type DescriptionAnswer = Omit<Description, 'error'> & { error?: WireError | undefined }

export interface ImageAnswer {
  id: string
  reference: string
  config: ImageProcessConfig
  /** For a build: was anything new? */
  changed: boolean
}
/** The last line of a stream is `result` or `error`. Log data is base64. */
export type StreamLine =
  | {
      build:
        | Exclude<BuildProgress, { type: 'log' }>
        | { type: 'log'; id: string; stream: 'stdout' | 'stderr'; base64: string }
    }
  | { transfer: TransferProgress }
  | { result: ImageAnswer | { digest: string } | ExportResponse | DescriptionAnswer | ManifestAnswer }
  | { error: WireError }

export interface WireError {
  code: ErrorCode
  message: string
  hint?: string | undefined
  at?: SourcePosition | undefined
  details?: unknown
}
export interface EnsureOrder {
  reference: string
  policy: 'always' | 'missing' | 'never'
  platform: string | undefined
  auth: RegistryAuth | undefined
}
export interface ManifestOrder {
  reference: string
  auth: RegistryAuth | undefined
}
/** `body`: the document as the registry has it. */
export interface ManifestAnswer {
  descriptor: Descriptor
  body: string
}
export interface PushOrder {
  reference: string
  auth: RegistryAuth | undefined
}
