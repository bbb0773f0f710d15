/** Containers, their streams, logs, execs and build steps. */
import type { Readable, Writable } from 'node:stream'
import type { Digest, HealthcheckConfig, ImageProcessConfig, Platform } from '../../spec/oci/index.ts'
import type { CgroupStats, Mount } from '../../sys/sys.ts'
import type { DeviceRequest } from './devices.ts'
import type { Image } from './images.ts'
import type { SandboxSpec } from './networks.ts'

export type MountSpec =
  | {
      type: 'bind'
      source: string
      target: string
      readOnly: boolean
      propagation?: string | undefined
      createSource?: boolean | undefined
      recursive?: boolean | undefined
      /** False: mounts below a read-only one are as they are. */
      readOnlyBelow?: boolean | undefined
      /** An empty source directory is first filled with the image's content at the target, as for volumes. */
      copyUp?: boolean | undefined
    }
  /** `copyUp`: the image's content at the target is copied in while the volume is empty. */
  | {
      type: 'volume'
      /** '' makes one for this container. */
      volume: string
      target: string
      readOnly: boolean
      subpath?: string | undefined
      copyUp: boolean
      /** It was made for another container, and goes with the last one like its own. */
      anonymous?: boolean | undefined
    }
  | {
      type: 'tmpfs'
      target: string
      size?: number | undefined
      mode?: number | undefined
      options?: string[] | undefined
    }
  | { type: 'image'; image: string; target: string; subpath?: string | undefined }

/** Limits; absent means unlimited or the kernel's default. Memory in bytes. */
export interface Resources {
  memory?: number | undefined
  memorySwap?: number | undefined
  memoryReservation?: number | undefined
  memorySwappiness?: number | undefined
  oomKillDisable?: boolean | undefined
  cpuShares?: number | undefined
  /** Microseconds of CPU time a period. */
  cpuQuota?: number | undefined
  cpuPeriod?: number | undefined
  cpuRealtimePeriod?: number | undefined
  cpuRealtimeRuntime?: number | undefined
  cpusetCpus?: string | undefined
  cpusetMems?: string | undefined
  /** 0: a limit that was there is taken away. */
  pidsLimit?: number | undefined
  blkioWeight?: number | undefined
  blkioDevices?:
    | { kind: 'weight' | 'read-bps' | 'write-bps' | 'read-iops' | 'write-iops'; path: string; value: number }[]
    | undefined
  hugepages?: { pageSize: string; limit: number }[] | undefined
}

export interface SecurityOptions {
  privileged: boolean
  /** As docker writes them, without CAP_: added to and dropped from the default set; 'ALL' works. */
  capAdd: string[]
  capDrop: string[]
  noNewPrivileges: boolean
  /** 'default', 'unconfined' or a profile's JSON. */
  seccomp: string
  /** The name of a loaded profile, or 'unconfined'. undefined: the default, unless privileged. */
  apparmor?: string | undefined
  selinux?: string[] | undefined
  readOnlyRootfs: boolean
  /** undefined: the default lists. */
  maskedPaths?: string[] | undefined
  readOnlyPaths?: string[] | undefined
}

export interface ContainerLink {
  sandboxId: string
  alias: string
  /** The other container's. */
  name: string
  /** "80/tcp", as the other one exposes them. */
  ports: string[]
  /** The other one's environment. */
  env: string[]
}
export interface ContainerSpec {
  /** 64 hex digits; made up if absent. */
  id?: string | undefined
  /** Unique among containers; [a-zA-Z0-9][a-zA-Z0-9_.-]+ */
  name: string
  /** Image name or id; the id is resolved and kept at creation. */
  image: string
  /** Of a name that stands for several images; default: the machine's. */
  platform?: Platform | undefined
  /** undefined: from the image. `entrypoint` given drops the image's cmd. [''] or [] empties it. */
  entrypoint?: string[] | undefined
  cmd?: string[] | undefined
  /** Added to, and winning over, the image's. "KEY=value"; "KEY" alone removes it. */
  env: string[]
  workingDir?: string | undefined
  /** "user", "uid", "user:group", …; names are resolved from the container's own files. undefined: the image's. */
  user?: string | undefined
  groups: string[]
  tty: boolean
  /** The terminal's size at the start; undefined: nobody knows it yet. */
  consoleSize?: { width: number; height: number } | undefined
  /** Keep stdin open; `stdinOnce`: it ends with the first client that attaches. */
  stdin: boolean
  stdinOnce: boolean
  labels: Record<string, string>
  annotations: Record<string, string>
  /**
   * The sandbox it runs in: an existing one (pods; its owner starts and stops it), or one of its own that lives with the
   * container: started before it, stopped when it exits, removed with it.
   */
  sandbox: { shared: string } | { own: Omit<SandboxSpec, 'id'> }
  /** Containers whose addresses and environments it is told in its own. */
  links?: ContainerLink[] | undefined
  /** pid: undefined = own; 'host'; 'container:ID'; 'sandbox' is for pods that share theirs. */
  pidMode?: string | undefined
  /** ipc: undefined = the sandbox's; 'host', 'container:ID', 'none'. */
  ipcMode?: string | undefined
  utsMode?: string | undefined
  usernsMode?: string | undefined
  cgroupnsMode?: 'private' | 'host' | undefined
  cgroupParent?: string | undefined
  mounts: MountSpec[]
  /** Volumes the image declares get anonymous volumes unless this is true. */
  noImageVolumes?: boolean | undefined
  devices: { hostPath: string; containerPath: string; permissions: string }[]
  /** Devices that are named otherwise than by a path; looked up at each start. */
  deviceRequests?: DeviceRequest[] | undefined
  deviceCgroupRules: string[]
  resources: Resources
  security: SecurityOptions
  /** Soft and hard; more than this process may raise is refused with a hint. */
  ulimits: { name: string; soft: number; hard: number }[]
  oomScoreAdj?: number | undefined
  sysctls: Record<string, string>
  init: boolean
  /** Signal name; default: the image's, else SIGTERM. */
  stopSignal?: string | undefined
  /** Default 10 000. */
  stopTimeoutMs?: number | undefined
  restart: { policy: 'no' | 'always' | 'unless-stopped' | 'on-failure'; maxRetries: number }
  /** undefined: the image's; Test ['NONE'] disables. The engine runs these only for containers with their own sandbox. */
  healthcheck?: HealthcheckConfig | undefined
  autoRemove: boolean
  log: {
    driver: 'json-file' | 'local' | 'none'
    maxSize?: number | undefined
    maxFiles?: number | undefined
    options: Record<string, string>
  }
  runtime?: string | undefined
  /** Kept verbatim for whoever made the container (e.g. docker's Config and HostConfig as sent); at most 64 KiB of JSON. */
  origin?: unknown
}

export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'exited' | 'removing' | 'dead'
export interface HealthState {
  status: 'starting' | 'healthy' | 'unhealthy'
  failingStreak: number
  log: { start: number; end: number; exitCode: number; output: string }[]
}
export interface Container {
  id: string
  spec: ContainerSpec
  imageId: Digest
  createdAt: number
  status: ContainerStatus
  pid: number
  exitCode: number
  oomKilled: boolean
  /** Why a start failed; '' otherwise. */
  error: string
  startedAt: number | undefined
  finishedAt: number | undefined
  restartCount: number
  health: HealthState | undefined
  sandboxId: string
  /** What really runs: entrypoint + cmd, merged environment, resolved user and directory. */
  process: { args: string[]; env: string[]; cwd: string; user: string; uid: number; gid: number }
  /** Volumes in use, with the anonymous ones that were made. */
  mounts: (MountSpec & { name?: string; hostPath?: string })[]
  paths: { log: string; rootfs: string; bundle: string }
  cgroup: string
}

export interface OutputChunk {
  stream: 'stdout' | 'stderr'
  data: Buffer
}
/** A live connection to a container's or an exec's standard streams. The reader must keep reading, or the program stops. */
export interface Io {
  tty: boolean
  output: AsyncIterable<OutputChunk>
  /** undefined unless stdin was asked for; end() closes the program's stdin. */
  stdin: Writable | undefined
  resize(size: { width: number; height: number }): Promise<void>
  /** Leaves; the program goes on. 'detached': by the keys for that, which is an event. */
  close(how?: 'detached'): void
}
export interface LogLine {
  /** RFC 3339 with nanoseconds. */
  time: string
  stream: 'stdout' | 'stderr'
  /** With its newline, unless partial. */
  data: Buffer
  partial: boolean
}
export interface LogOptions {
  stdout?: boolean | undefined
  stderr?: boolean | undefined
  follow?: boolean | undefined
  /** Last N lines; undefined: all. */
  tail?: number | undefined
  /** Milliseconds since the epoch, inclusive. */
  since?: number | undefined
  until?: number | undefined
  signal?: AbortSignal | undefined
}
export interface ExecSpec {
  args: string[]
  env?: string[] | undefined
  workingDir?: string | undefined
  user?: string | undefined
  tty: boolean
  stdin: boolean
  stdout: boolean
  stderr: boolean
  privileged?: boolean | undefined
  origin?: unknown
}
export interface Exec {
  id: string // 64 hex
  containerId: string
  spec: ExecSpec
  running: boolean
  /** undefined until it has ended. 126: not executable; 127: not found. */
  exitCode: number | undefined
  pid: number
}
export interface ContainerStats {
  time: number
  cgroup: CgroupStats
  /** By interface name inside the sandbox. */
  networks: Record<
    string,
    {
      rxBytes: number
      rxPackets: number
      rxErrors: number
      rxDropped: number
      txBytes: number
      txPackets: number
      txErrors: number
      txDropped: number
    }
  >
}

export interface Containers {
  /** Nothing runs yet. Unknown image: 'not-found' "No such image: NAME"; name taken: 'conflict' in docker's words. */
  create(spec: ContainerSpec): Promise<Container>
  /** By id, unique id prefix or name (with or without a leading slash). */
  get(reference: string): Container | undefined
  must(reference: string): Container
  list(): Container[]
  /** `changed` is false when it ran already. Command not found: 'bad-request' and exitCode 127; not executable: 126. */
  start(reference: string): Promise<{ changed: boolean }>
  /** Signal, wait, SIGKILL; also ends the restart policy. `changed` is false when it was not running. */
  stop(
    reference: string,
    options?: { timeoutMs?: number | undefined; signal?: string | undefined },
  ): Promise<{ changed: boolean }>
  restart(reference: string, options?: { timeoutMs?: number | undefined; signal?: string | undefined }): Promise<void>
  kill(reference: string, signal: string): Promise<void>
  pause(reference: string): Promise<void>
  unpause(reference: string): Promise<void>
  /** Running and not `force`: 'conflict'. `volumes` removes its anonymous volumes. */
  remove(reference: string, options?: { force?: boolean; volumes?: boolean }): Promise<void>
  rename(reference: string, name: string): Promise<void>
  /** Takes the link of this alias away, from /etc/hosts of a running container too. `origin` replaces what it was asked for with. */
  unlink(reference: string, alias: string, origin: unknown): Promise<void>
  update(
    reference: string,
    change: { resources?: Partial<Resources>; restart?: ContainerSpec['restart']; origin?: unknown },
  ): Promise<void>
  /** 'not-running': resolves at once if it does not run. 'next-exit' and 'removed' as docker's. */
  wait(
    reference: string,
    condition: 'not-running' | 'next-exit' | 'removed',
    signal?: AbortSignal,
  ): Promise<{ exitCode: number; error?: string }>
  /** Also before start: nothing of the output is missed then. `logs`: begin with what was logged. */
  attach(
    reference: string,
    options: { stdin: boolean; stdout: boolean; stderr: boolean; logs?: boolean; stream?: boolean },
  ): Promise<Io>
  /** As many lines at a time as there are. */
  logs(reference: string, options: LogOptions): AsyncIterable<LogLine[]>
  stats(reference: string): Promise<ContainerStats>
  /** Column titles and rows, as ps prints them. */
  top(reference: string, psArgs: string[]): Promise<{ titles: string[]; processes: string[][] }>
  resize(reference: string, size: { width: number; height: number }): Promise<void>

  createExec(reference: string, spec: ExecSpec): Promise<Exec>
  /** Throws 'conflict' when it has been started, or its container is not running, or paused. */
  checkExec(execId: string): void
  startExec(execId: string, options?: { detach?: boolean; size?: { width: number; height: number } }): Promise<Io>
  getExec(execId: string): Exec | undefined
  /** Of a container, those that run. */
  execIds(containerId: string): string[]
  waitExec(execId: string): Promise<number>
  resizeExec(execId: string, size: { width: number; height: number }): Promise<void>
  /** What AppArmor holds its programs to: a profile's name, 'unconfined', '' where the kernel enforces none. Without a container: the default. */
  apparmorProfile(container?: Pick<Container, 'spec'>): string
  /** Runs to the end and collects output, at most `maxOutput` bytes (default 4096); for probes and hooks. 'timeout' kills it. */
  execOnce(
    reference: string,
    args: string[],
    options?: { timeoutMs?: number; maxOutput?: number; signal?: AbortSignal },
  ): Promise<{ exitCode: number; output: string }>

  /** What `path` is inside (lstat), for docker cp's header. */
  statPath(
    reference: string,
    path: string,
  ): Promise<{ name: string; size: number; mode: number; mtime: number; linkTarget: string }>
  readArchive(
    reference: string,
    path: string,
  ): Promise<{ stat: { name: string; size: number; mode: number; mtime: number; linkTarget: string }; tar: Readable }>
  writeArchive(
    reference: string,
    path: string,
    tar: Readable,
    options?: { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean },
  ): Promise<void>
  /** Bytes it has written into its own layer. */
  diskUsage(reference: string): Promise<number>
  changes(reference: string): Promise<{ path: string; kind: 'modified' | 'added' | 'deleted' }[]>
  exportRootfs(reference: string): Promise<Readable>
  commit(
    reference: string,
    options: {
      name?: string
      config?: ImageProcessConfig
      /** Applied last to the image's configuration. */
      change?: (config: ImageProcessConfig) => ImageProcessConfig
      message?: string
      author?: string
      pause?: boolean
    },
  ): Promise<Image>

  /**
   * Runs one program to the end on a mounted root filesystem, without a monitor, record or restart: a RUN step. Output goes
   * to `output` as it comes. An abort kills everything in it. Resolves with the exit code.
   */
  runStep(step: BuildStep): Promise<number>
}
export interface BuildStep {
  rootfs: string
  args: string[]
  env: string[]
  cwd: string
  user: string
  /** 'default', 'none', 'host', 'container:NAME' or the name of a network. */
  network: string
  mounts: Mount[]
  hosts: { name: string; address: string }[]
  privileged: boolean
  resources: Resources
  ulimits: ContainerSpec['ulimits']
  shmSize?: number | undefined
  hostname?: string | undefined
  /** Default: the instance's own. */
  cgroupParent?: string | undefined
  /** VENDOR/CLASS=NAME, as specifications of devices name them. */
  devices?: readonly string[] | undefined
  output: (chunk: OutputChunk) => void
  signal?: AbortSignal | undefined
}
