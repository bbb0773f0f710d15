/** What the command line and the daemon say to each other over control.sock: HTTP, JSON in, JSON or JSON lines out. */
import type { BuildProgress } from '../../build/types.ts'
import type { RegistryAuth, TransferProgress } from '../../engine/types.ts'
import type { ErrorCode, SourcePosition } from '../../errors.ts'
import type { ImageProcessConfig } from '../../spec/oci/index.ts'

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
  contextDirectory: string | undefined
  dockerfile: { path: string } | { inline: string } | undefined
  target: string | undefined
  args: Record<string, string>
  labels: Record<string, string>
  tags: string[]
  platform: string | undefined
  noCache: boolean
  noCacheFilter: string[]
  pull: boolean
  network: 'default' | 'none' | 'host' | undefined
  extraHosts: { name: string; address: string }[]
  shmSize: number | undefined
  ulimits: { name: string; soft: number; hard: number }[]
  contexts: Record<string, string>
  secrets: Record<string, { file: string } | { env: string } | { valueBase64: string }>
  /** id=SOCKET */
  ssh: string[]
  /** By registry host. */
  auths: Record<string, RegistryAuth>
  privileged: boolean
}
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
  | { result: ImageAnswer | { digest: string } }
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
export interface PushOrder {
  reference: string
  auth: RegistryAuth | undefined
}
