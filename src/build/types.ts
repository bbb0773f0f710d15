/** What the builder offers to its doors (docker, control) and to `up`. */
import type { Readable } from 'node:stream'
import type { Image, RegistryAuth, Resources } from '../engine/types.ts'
import type { SlipwayError, SourcePosition } from '../errors.ts'
import type { Descriptor } from '../spec/oci/index.ts'
import type { Attestation } from './attest/statement.ts'
import type { CommitFile } from './context/commit-files.ts'
import type { GitAddress } from './context/git.ts'
import type { SourceRule } from './source-policy.ts'

export type { GivenPolicy, SourceRule } from './source-policy.ts'

/** A repository as it was written; `address` is what that means, where it is more than the text itself says. */
export interface GitContext {
  git: string
  address?: GitAddress | undefined
}

export interface BuildRequest {
  /**
   * Where COPY and ADD read: a directory on this machine, a tar stream (plain, gzip, …) that is unpacked first, or a directory
   * on the client's machine, of which only what is needed and has changed is fetched; or a git repository, REMOTE[#REF[:SUBDIRECTORY]];
   * or what an http(s) address gives: an archive, else a Dockerfile.
   */
  context:
    | { directory: string }
    | { tar: Readable }
    | { remote: RemoteDirectory }
    | GitContext
    | { url: string }
    | { none: true }
  /** Path within the context, default 'Dockerfile'; or its text (`inline`). An absolute path is read from this machine. */
  dockerfile?: { path: string } | { inline: string } | { remote: RemoteDirectory; path: string } | undefined
  target?: string | undefined
  args: Record<string, string>
  labels: Record<string, string>
  /** Names for the result. */
  tags: string[]
  platform?: string | undefined
  /** Instead of `platform`: the same build for each; more than one only for export(). */
  platforms?: readonly string[] | undefined
  noCache?: boolean | undefined
  noCacheFilter?: string[] | undefined
  /** Ask the registry for base images even when they are here. */
  pull?: boolean | undefined
  /** 'default', 'none', 'host', 'container:NAME' or the name of a network. */
  network?: string | undefined
  extraHosts?: { name: string; address: string }[] | undefined
  shmSize?: number | undefined
  ulimits?: { name: string; soft: number; hard: number }[] | undefined
  /** Of each RUN step. */
  resources?: Resources | undefined
  /** What every RUN step mounts besides its own, as after --mount=; nothing of other stages. */
  automounts?: readonly string[] | undefined
  /** What RUN steps see; default 'buildkitsandbox'. */
  hostname?: string | undefined
  /** RUN steps run in cgroups below this one of ours. */
  cgroupParent?: string | undefined
  /** Caches of other builders, looked at after the own one: `registry` (attribute `ref`) and `local` (`store`, `digest`). */
  cacheFrom?: readonly CacheEntry[] | undefined
  /** Where the cache goes after the build: `inline` (into the image), `registry` (`ref`), `local` (`store`); `mode` min or max. */
  cacheTo?: readonly CacheEntry[] | undefined
  /**
   * Named contexts: paths of directories, addresses of repositories and archives, 'docker-image://…', another stage's result
   * ('target:NAME'), or an image in an OCI layout. 'NAME::PLATFORM' is what NAME stands for on that platform alone.
   */
  contexts?:
    | Record<string, string | { remote: RemoteDirectory } | { store: ContentStore; digest: string } | GitContext>
    | undefined
  secrets?: Record<string, { file: string } | { env: string } | { value: Uint8Array }> | undefined
  /** Asked for secrets that `secrets` does not have. */
  findSecret?: ((id: string) => Promise<Uint8Array | undefined>) | undefined
  ssh?: string[] | undefined
  /** Asked for agents that `ssh` does not have: the path of a socket. */
  findAgent?: ((id: string) => Promise<string | undefined>) | undefined
  /** By registry host. */
  auth?: ((registry: string) => RegistryAuth | undefined | Promise<RegistryAuth | undefined>) | undefined
  /** Attestations by their type (provenance, sbom), each with its options as buildx writes them: 'mode=max'. '' is the default. */
  attest?: Readonly<Record<string, string>> | undefined
  /** Of the repository that the context belongs to: source, revision, localdir:context. */
  vcs?: Readonly<Record<string, string>> | undefined
  /**
   * How the build is remembered: its name, and how it was asked for, in the words of BuildKit's frontend and exporters;
   * default: made of this request. 'none': it is a part of another one.
   */
  record?:
    | {
        ref: string
        attrs: Readonly<Record<string, string>>
        exporters: readonly { type: string; attrs: Record<string, string> }[]
        /** How a failure is remembered; default: its message. */
        describe?: ((error: unknown) => RecordedError) | undefined
        onAttestation?: ((attestation: Attestation, platform: string | undefined) => void) | undefined
      }
    | 'none'
    | undefined
  /** Gets the Dockerfile's name and text once it is read, for clients that show its lines themselves. */
  onDockerfile?: ((file: string, text: string) => void) | undefined
  privileged?: boolean | undefined
  /** RUN --network=host is allowed. */
  hostNetwork?: boolean | undefined
  /** Entitlements to devices: "device", "device=NAME[,alias=ALIAS]". */
  deviceGrants?: readonly string[] | undefined
  /** Where the sources may come from, and what takes their place. */
  sourceRules?: readonly SourceRule[] | undefined
  signal?: AbortSignal | undefined
  progress: (event: BuildProgress) => void
}

/** An entry of --cache-from or --cache-to, with the attributes that buildx documents. */
export interface CacheEntry {
  type: string
  attrs: Readonly<Record<string, string>>
  /** Of type local: the directory. */
  store?: ContentStore | undefined
}

/** Blobs by digest somewhere else: a directory laid out as OCI says, here or on a client's machine. */
export interface ContentStore {
  /** 'not-found' comes with the first chunk. */
  read(digest: string): AsyncIterable<Uint8Array>
  /** One that is there already is not sent. */
  write(descriptor: Descriptor, data: () => AsyncIterable<Uint8Array>): Promise<void>
  /** The manifest that goes by a tag. Not asked where the client looks it up itself. */
  find?(tag: string): Promise<Descriptor | undefined>
  /** Makes it the one. Not asked where the client does it. */
  tag?(tag: string, descriptor: Descriptor): Promise<void>
}

/**
 * An exporter, with the attributes that buildx documents: `image` (also `moby`; attribute push sends it to its registry),
 * `docker`, `oci`, `tar`, `local`, `none`. What it makes goes to where its type says.
 */
export interface BuildOutput {
  type: string
  attrs: Readonly<Record<string, string>>
  /** docker, oci, tar. */
  archive?: ((data: Readable, signal: AbortSignal, progress: (bytes: number) => void) => Promise<void>) | undefined
  /** docker and oci with tar=false. */
  store?: ContentStore | undefined
  /** local: directories, each with the path below the destination that its files go to ('' is the destination itself). */
  files?:
    | ((
        trees: { path: string; root: string }[],
        /** Of all files, instead of their own (ns). */
        time: bigint | undefined,
        signal: AbortSignal,
        progress: (bytes: number) => void,
      ) => Promise<void>)
    | undefined
}
/**
 * What exporters say, by BuildKit's names: containerimage.digest, containerimage.config.digest, containerimage.descriptor
 * (JSON in base64), image.name, cache.manifest (JSON).
 */
export type ExportResponse = Record<string, string>

/** A directory on the client's machine. */
export interface RemoteDirectory {
  /** The same for the same directory from build to build: what was fetched is kept under it. */
  key: string
  /**
   * `follow`: only these paths (links are followed) and what is below; default: everything. `exclude`: lines of a .dockerignore.
   * `before`: what an earlier transfer's told() gave, or nothing yet (''); without it told() is not asked.
   */
  open(
    want: {
      exclude: readonly string[]
      follow?: readonly string[] | undefined
      before?: Uint8Array | undefined
    },
    signal: AbortSignal,
  ): RemoteTransfer
}
export interface RemoteTransfer {
  /** Has the client told of the very same entries as `before`, bit by bit? False as soon as it has not, or the transfer failed. */
  readonly same: Promise<boolean>
  /** Where they are the same: those. */
  known(): RemoteEntry[]
  /** Where they are not: parents before children; ends when everything is told. */
  readonly entries: AsyncIterable<RemoteEntry[]>
  /** All entries as the client has told of them, in a form that only the next transfer understands; when they have ended. */
  told(): Uint8Array
  /** Asks for a file's data: `sink` gets it in pieces, then undefined. What `sink` throws fails finish(). */
  read(entry: RemoteEntry, sink: (chunk: Uint8Array | undefined) => void): void
  /** Resolves when all that was asked for has come. */
  finish(): Promise<void>
  close(): void
}
export interface RemoteEntry {
  /** Unique in one transfer. */
  id: number
  /** Relative, with '/'. */
  path: string
  kind: 'file' | 'directory' | 'symlink' | 'fifo' | 'other'
  /** Permission bits with setuid, setgid, sticky. */
  mode: number
  size: number
  mtimeNs: bigint
  /** Target of a symlink; of a file: an earlier path that is the same file. '' for none. */
  link: string
  xattrs: Record<string, Uint8Array>
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
  /** `cached`: it will not run; its end follows at once. */
  | { type: 'started'; id: string; time: number; cached?: boolean }
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
  /** `source`: the lines with a caret. `description`: what the rule is about. `endLine`: of the instruction, which begins at `at`. */
  | {
      type: 'warning'
      rule: string
      description: string
      message: string
      url: string
      at: SourcePosition
      endLine: number
      source: string
    }
  | { type: 'notice'; message: string }

export interface BuildResult {
  image: Image
  /** False when every step came from the cache and the image was there already. */
  changed: boolean
}

/** What a Dockerfile can be asked, without building it. */
export type Question = 'check' | 'outline' | 'targets'

/** What a Dockerfile says of itself. Lines count from 1. */
export interface Description {
  file: string
  text: string
  /** All stages; '' is one without a name. */
  targets: {
    name: string
    default: boolean
    description: string
    base: string
    platform: string | undefined
    line: number
  }[]
  /** What a build of the target takes; empty for `targets`. */
  args: { name: string; description: string; value: string | undefined; line: number }[]
  secrets: { name: string; required: boolean; line: number }[]
  ssh: { name: string; required: boolean; line: number }[]
  caches: { id: string; line: number }[]
  warnings: Extract<BuildProgress, { type: 'warning' }>[]
  /** Why it cannot be built, as far as it can be told without building. */
  error: SlipwayError | undefined
}

/** What goes must fit all of it. Nothing that a build under way uses ever goes. */
export interface PruneOptions {
  /** Also what images have in common with the cache. */
  all: boolean
  /** Only what was last used before this time (ms). */
  until?: number | undefined
  /** Of any of these: containerd's filters on id, parents, type, description, inuse, shared, private, mutable. */
  filters?: readonly string[] | undefined
  /** As much stays in any case (bytes), most recently used first. */
  reservedBytes?: number | undefined
  /** No more stays. Neither this nor `minFreeBytes`: everything down to `reservedBytes` goes. */
  maxUsedBytes?: number | undefined
  /** As much of the disk is free afterwards, if it can be done. */
  minFreeBytes?: number | undefined
}

/** A rule by which the cache is pruned: like a pruning, but for what was not used for so long (ms). */
export type PolicyRule = Omit<PruneOptions, 'until'> & { unusedMs?: number | undefined }

export interface RecordedError {
  /** gRPC's. */
  code: number
  message: string
  /** google.rpc.Status with its details, encoded. */
  status?: Uint8Array | undefined
}
/** A build, under way or over. Times in ms. */
export interface BuildRecord {
  ref: string
  attrs: Record<string, string>
  exporters: { type: string; attrs: Record<string, string> }[]
  startedAt: number
  completedAt: number | undefined
  error: { code: number; message: string } | undefined
  externalError: Descriptor | undefined
  response: ExportResponse
  steps: { total: number; completed: number; cached: number }
  warnings: number
  pinned: boolean
  /** What is said of the results: blobs of the history. `platform` where there are several. */
  attachments: { platform: string | undefined; descriptor: Descriptor }[]
}

export interface BuildHistory {
  /** Newest first. `filters` as BuildKit has them; 'bad-request' where they are not. */
  list(filters?: readonly string[]): BuildRecord[]
  get(ref: string): BuildRecord | undefined
  /** All that was told of a build that is over, in order. */
  events(ref: string): Promise<{ at: number; event: BuildProgress }[] | undefined>
  blob(digest: string): Uint8Array | undefined
  /** 'not-found', also while it runs. */
  remove(ref: string): void
  /** One that is pinned stays until it is removed. */
  pin(ref: string, pinned: boolean): void
  /** Returns how to stop. */
  watch(listener: (what: 'started' | 'completed' | 'deleted', ref: string) => void): () => void
}

/** How something is fetched for a client. */
export type SourceAccess = Pick<BuildRequest, 'findSecret' | 'findAgent'> & { signal: AbortSignal }
export interface Builder {
  /** Of builds that were asked for with `record`. */
  readonly history: BuildHistory
  /**
   * A failing step is 'invalid' with `at` = the Dockerfile line; message `process "/bin/sh -c …" did not complete
   * successfully: exit code: N`, details { stage, exitCode, output: last lines, source: the lines with a caret }.
   */
  build(request: BuildRequest): Promise<BuildResult>
  /** Builds for all platforms and serves every output. With none, it only builds. */
  export(request: BuildRequest, outputs: readonly BuildOutput[]): Promise<ExportResponse>
  /** Builds nothing: `targets` only reads the file, `outline` and `check` also look at the base images' configurations. */
  describe(request: BuildRequest, what: Question): Promise<Description>
  /** What an http(s) address gives, as a file that is kept for a while. */
  fetch(url: string, access: SourceAccess): Promise<{ path: string; digest: string }>
  /** Single files of a repository, at the commit that the address means now. */
  files(address: GitAddress, access: SourceAccess): Promise<{ read(path: string): Promise<CommitFile | undefined> }>
  prune(options: PruneOptions): Promise<{ deleted: string[]; reclaimed: number }>
  /** The rules by which it is pruned after builds, one after the other. */
  cachePolicy(): PolicyRule[]
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
      /** Changes as it is used: cache mounts, copies of contexts. */
      mutable: boolean
      /** Ids of what it was built on, where that is kept. */
      parents: string[]
    }[]
  >
  /** Drops what a killed build left behind. Once, at start. */
  recover(): Promise<void>
  close(): Promise<void>
}
