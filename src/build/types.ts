/** What the builder offers to its doors (docker, control) and to `up`. */
import type { Readable } from 'node:stream'
import type { SourcePosition } from '../errors.ts'
import type { Image, RegistryAuth } from '../engine/types.ts'

export interface BuildRequest {
  /** Where COPY and ADD read: a directory on this machine, or a tar stream (plain, gzip, …) that is unpacked first. */
  context: { directory: string } | { tar: Readable } | { none: true }
  /** Path within the context, default 'Dockerfile'; or its text (`inline`). An absolute path is read from this machine. */
  dockerfile?: { path: string } | { inline: string } | undefined
  target?: string | undefined
  args: Record<string, string>
  labels: Record<string, string>
  /** Names for the result. */
  tags: string[]
  platform?: string | undefined
  noCache?: boolean | undefined
  noCacheFilter?: string[] | undefined
  /** Ask the registry for base images even when they are here. */
  pull?: boolean | undefined
  network?: 'default' | 'none' | 'host' | undefined
  extraHosts?: { name: string; address: string }[] | undefined
  shmSize?: number | undefined
  ulimits?: { name: string; soft: number; hard: number }[] | undefined
  /** Named contexts: directory paths, 'docker-image://…', or another stage's result. */
  contexts?: Record<string, string> | undefined
  secrets?: Record<string, { file: string } | { env: string } | { value: Uint8Array }> | undefined
  ssh?: string[] | undefined
  /** By registry host. */
  auth?: ((registry: string) => RegistryAuth | undefined) | undefined
  privileged?: boolean | undefined
  signal?: AbortSignal | undefined
  progress: (event: BuildProgress) => void
}

/**
 * Comes once, when the Dockerfile is understood and before any step runs: all instructions in order. An instruction without
 * vertices only changes the configuration, or belongs to a stage that the target does not need.
 */
export interface BuildOutline {
  type: 'outline'
  /** `text` is the instruction on one line. */
  steps: { instruction: string; text: string; vertices: string[] }[]
}

/** A vertex is a step as a user sees it: `[backend build 3/7] RUN npm ci`. Ids are unique in one build. Times in ms. */
export type BuildProgress =
  | BuildOutline
  | { type: 'vertex'; id: string; name: string; stage?: string | undefined; at?: SourcePosition | undefined }
  | { type: 'started'; id: string; time: number }
  /** `cancelled`: it was stopped, because of another step's failure or on request. */
  | {
      type: 'done'
      id: string
      time: number
      cached: boolean
      error?: string | undefined
      cancelled?: boolean | undefined
    }
  | { type: 'log'; id: string; stream: 'stdout' | 'stderr'; data: Buffer }
  /** Bytes of a transfer (base image, context). */
  | { type: 'status'; id: string; name: string; current: number; total?: number | undefined }
  | { type: 'warning'; rule: string; message: string; url: string; at: SourcePosition; source: string }
  | { type: 'notice'; message: string }

export interface BuildResult {
  image: Image
  /** False when every step came from the cache and the image was there already. */
  changed: boolean
}

export interface Builder {
  /**
   * A failing step is 'invalid' with `at` = the Dockerfile line; message `process "/bin/sh -c …" did not complete
   * successfully: exit code: N`, details { stage, exitCode, output: last lines, source: the lines with a caret }.
   */
  build(request: BuildRequest): Promise<BuildResult>
  prune(options: {
    all: boolean
    keepBytes?: number
    until?: number
  }): Promise<{ deleted: string[]; reclaimed: number }>
  cacheUsage(): Promise<
    {
      id: string
      type: string
      description: string
      size: number
      createdAt: number
      lastUsedAt: number
      usageCount: number
      inUse: boolean
      shared: boolean
    }[]
  >
  /** Drops what a killed build left behind. Once, at start. */
  recover(): Promise<void>
  close(): Promise<void>
}
