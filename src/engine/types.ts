/**
 * What the engine offers: images, snapshots, sandboxes, containers, networks, volumes. It knows nothing of Compose or
 * Kubernetes; the docker door, the kubelet and the builder are its users. Sizes are bytes, times milliseconds since the
 * epoch, durations milliseconds, unless a name says otherwise. Every method rejects with a SlipwayError. All state
 * survives a kill of the daemon: what a resolved promise has promised is on disk.
 */
import type { Readable, Writable } from 'node:stream'
import type {
  Descriptor,
  Digest,
  HealthcheckConfig,
  ImageConfig,
  ImageProcessConfig,
  Platform,
} from '../spec/oci/index.ts'
import type { CgroupStats, Mount } from '../sys/sys.ts'

/** The identity of an instance: its directories, and the names it may use on the machine. */
export interface Instance {
  /** Persistent state (/var/lib/slipway, or $SLIPWAY_HOME/lib). */
  stateDir: string
  /** Sockets, pid files, pinned namespaces: gone after a reboot (/run/slipway, or $SLIPWAY_HOME/run). */
  runDir: string
  logDir: string
  /** 4 hex digits from the state directory's path: makes interface, table and cgroup names unique on this machine. */
  id: string
  /** Prefix of interface names, e.g. 'sw1a2b' (leaves 9 characters). */
  linkPrefix: string
  /** Name of our nft tables, e.g. 'slipway-1a2b' is written slipway_1a2b. */
  nftTable: string
  /** e.g. '/slipway-1a2b' */
  cgroupParent: string
}

export interface Engine {
  images: Images
  snapshots: Snapshots
  containers: Containers
  sandboxes: Sandboxes
  networks: Networks
  volumes: Volumes
  events: Events
  /** Takes over what an earlier daemon left: running containers, rules, mounts; cleans what nobody owns. Once, before anything else. */
  recover(): Promise<void>
  /** Lets go of everything without stopping containers. */
  close(): Promise<void>
}

// ───────────────────────────── images ─────────────────────────────

export interface Image {
  /** Digest of the configuration blob; what docker calls the image id. */
  id: Digest
  config: ImageConfig
  platform: Platform
  /** "docker.io/library/debian:bookworm-slim" (always fully qualified). */
  names: string[]
  /** "docker.io/library/debian@sha256:…" */
  repoDigests: string[]
  createdAt: number
  /** Unpacked bytes of all layers. */
  size: number
  /** Committed snapshot keys, base first; the last one is what containers mount on. */
  snapshots: string[]
  /** Set for an image built from a distribution's package archive because no registry answered. */
  bootstrapped?: boolean | undefined
}

export interface RegistryAuth {
  username?: string | undefined
  password?: string | undefined
  identityToken?: string | undefined
  registryToken?: string | undefined
}

/** One step of a pull, push, load or bootstrap. Shapes follow what docker prints: `id: status [progress]`. */
export interface TransferProgress {
  /** Short layer id, or the tag; absent for a general line. */
  id?: string | undefined
  /** 'Pulling fs layer', 'Downloading', 'Verifying Checksum', 'Download complete', 'Extracting', 'Pull complete', 'Already exists', 'Pushing', 'Pushed', … or a sentence. */
  status: string
  current?: number | undefined
  total?: number | undefined
  /** A line the user should see even in quiet mode (e.g. the bootstrap notice). */
  notice?: boolean | undefined
}

export interface PullOptions {
  platform?: Platform | undefined
  auth?: RegistryAuth | undefined
  signal?: AbortSignal | undefined
  progress?: ((step: TransferProgress) => void) | undefined
  /** May debian:SUITE come from the package archive when no registry can be reached? Default: true. */
  bootstrap?: boolean | undefined
}

export interface Images {
  /** By name (any form), id, unique id prefix or name@digest. */
  get(reference: string): Promise<Image | undefined>
  /** Like get; 'not-found' "No such image: …" otherwise. */
  must(reference: string): Promise<Image>
  list(): Promise<Image[]>
  /** Unreachable registry: 'unavailable'; unknown name: 'not-found'; refused: 'unauthorized'. */
  pull(reference: string, options?: PullOptions): Promise<Image>
  push(reference: string, options?: Omit<PullOptions, 'platform' | 'bootstrap'>): Promise<Descriptor>
  tag(source: string, target: string): Promise<void>
  /**
   * Does the registry (a host, or an address as docker login has it) take these credentials? 'unauthorized' if not. Resolves
   * with an identity token where the registry gives one to keep instead of the password.
   */
  login(registry: string, auth: RegistryAuth, signal?: AbortSignal): Promise<{ identityToken?: string | undefined }>
  /** What the registry has under this name, and for which platforms; nothing is downloaded. */
  remote(
    reference: string,
    options?: Pick<PullOptions, 'auth' | 'signal'>,
  ): Promise<{ descriptor: Descriptor; platforms: Platform[] }>
  /** Tags of the repository at its registry. */
  remoteTags(repository: string, options?: Pick<PullOptions, 'auth' | 'signal'>): Promise<string[]>
  /** Which registries are reached in another way than by https: what docker info shows. */
  registries(): { mirrors: Record<string, string[]>; insecure: string[] }
  /**
   * Bytes on disk: unpacked layers and the archives kept of them, in `total` each once. `shared`: of the image's size, what
   * stands in other images too.
   */
  usage(): Promise<{ total: number; images: { id: Digest; size: number; shared: number }[] }>
  /**
   * Keeps the image's layers while something is made of them, whatever is removed meanwhile; not over a restart. The answer
   * lets go. 'not-found' if the image is gone already.
   */
  hold(reference: string): Promise<() => Promise<void>>
  /** Removes a name and, with the last name, the image. In use by a container: 'conflict' unless `force`. */
  remove(
    reference: string,
    options?: { force?: boolean; noPrune?: boolean },
  ): Promise<({ untagged: string } | { deleted: Digest })[]>
  /** A docker archive or OCI layout as tar (plain, gzip, zstd). Yields the images it held. */
  load(archive: Readable, options?: Pick<PullOptions, 'progress' | 'signal' | 'platform'>): Promise<Image[]>
  /** One archive that both docker and OCI readers accept. */
  save(references: string[], options?: { signal?: AbortSignal }): Promise<Readable>
  /** A root filesystem as tar, or what an http(s) address gives, becomes a one-layer image. */
  import(
    rootfs: Readable | URL,
    options: {
      name?: string
      config?: ImageProcessConfig
      message?: string
      platform?: Platform
      signal?: AbortSignal | undefined
    },
  ): Promise<Image>
  /**
   * Registers what a build made: `snapshots` are committed, base first. The configuration's diff_ids are filled in from them
   * (layers are hashed as deterministic tars; blobs are made only on push or save). Same input, same id.
   */
  create(image: { config: Omit<ImageConfig, 'rootfs'>; snapshots: string[]; name?: string }): Promise<Image>
  prune(options: {
    all: boolean
    labels?: string[]
    until?: number
  }): Promise<{ deleted: ({ untagged: string } | { deleted: Digest })[]; reclaimed: number }>
  /** Makes debian:SUITE[-slim] from the signed package archive. */
  bootstrap(reference: string, options?: Pick<PullOptions, 'signal' | 'progress'>): Promise<Image>
}

/**
 * Layers as directories on overlayfs. A committed snapshot is immutable; an active one is writable and has one parent chain.
 * Keys are any unique strings. Modelled on containerd's snapshotter: it hands out mounts, others perform them.
 */
export interface Snapshots {
  /** A writable snapshot on `parent`. 'already-exists' if the key is taken. Returns the mount whose `target` is the caller's choice ('' here). */
  prepare(key: string, parent: string | undefined): Promise<Mount>
  /** The mount of an existing active snapshot, or read-only of a committed one. */
  mounts(key: string): Promise<Mount>
  /** Makes the active snapshot `key` immutable as `name`. If `name` exists already, the active one is dropped and that is fine. */
  commit(key: string, name: string): Promise<void>
  stat(key: string): Promise<SnapshotInfo | undefined>
  list(): Promise<SnapshotInfo[]>
  /** 'conflict' while it has children. One that an image is made of stays for as long as the image does. */
  remove(key: string): Promise<void>
  /** Uncompressed tar of the snapshot's own layer: sorted, numeric ids, deterministic. */
  diff(key: string): Promise<Readable>
  /** sha256 of diff(), remembered for committed ones; for a layer that was unpacked, of the archive it came from. */
  diffId(key: string): Promise<Digest>
  /** Changed paths of the snapshot's own layer: docker diff. */
  changes(key: string): Promise<{ path: string; kind: 'modified' | 'added' | 'deleted' }[]>
}
export interface SnapshotInfo {
  key: string
  parent: string | undefined
  state: 'active' | 'committed'
  createdAt: number
  /** Bytes of its own layer. */
  size: number
  /** Absolute path of its own layer (overlay upper directory). */
  path: string
  labels: Record<string, string>
}

// ───────────────────────────── sandboxes and networks ─────────────────────────────

/** What several containers can share: network, IPC and host name. A docker container has its own; a pod's containers share one. */
export interface SandboxSpec {
  id: string
  hostname: string
  /** Names others on its networks resolve it by (a container's name first), besides the host name, the short id and aliases. */
  names?: string[] | undefined
  domainname?: string | undefined
  network: SandboxNetwork
  ports: PublishedPort[]
  dns: { servers: string[]; searches: string[]; options: string[] }
  /** "name" → address; 'host-gateway' and 'sandbox:ID' (another's first address) are resolved. Go into /etc/hosts. */
  hosts: { name: string; address: string }[]
  sysctls: Record<string, string>
  labels: Record<string, string>
  shmSize?: number | undefined
  /** Share the host's IPC, PID or UTS namespaces. */
  hostIpc?: boolean | undefined
}
export type SandboxNetwork =
  | { mode: 'none' }
  | { mode: 'host' }
  /** Share the network namespace (and hosts, resolv.conf, hostname files) of another sandbox. */
  | { mode: 'sandbox'; id: string }
  | { mode: 'attached'; attachments: Attachment[] }
export interface Attachment {
  /** Network id or name. */
  network: string
  ipv4?: string | undefined
  ipv6?: string | undefined
  mac?: string | undefined
  /** Names that resolve to this endpoint on this network, besides the sandbox's own names. */
  aliases: string[]
  /** Interface name inside; default eth0, eth1 … in order. */
  ifname?: string | undefined
  /** Bytes a second, both ways; absent: unlimited. */
  driverOptions?: Record<string, string> | undefined
}
export interface PublishedPort {
  /** '' means every address, IPv4 and IPv6. */
  hostIp: string
  /** 0: pick a free one; hostPortEnd makes a range to pick from. */
  hostPort: number
  hostPortEnd?: number | undefined
  containerPort: number
  protocol: 'tcp' | 'udp' | 'sctp'
}
export interface Endpoint {
  networkId: string
  networkName: string
  ifname: string
  /** Interface on our side. */
  hostIfname: string
  mac: string
  ipv4?: string | undefined
  ipv4PrefixLength?: number | undefined
  gateway4?: string | undefined
  ipv6?: string | undefined
  ipv6PrefixLength?: number | undefined
  gateway6?: string | undefined
  aliases: string[]
}
export interface Sandbox {
  spec: SandboxSpec
  state: 'stopped' | 'ready'
  endpoints: Endpoint[]
  /** As really bound: hostPort is never 0. */
  ports: PublishedPort[]
  /** Pinned namespace files; undefined: the host's. */
  namespaces: { net?: string | undefined; ipc?: string | undefined; uts?: string | undefined }
  /** Files to bind into each container: /etc/hosts, /etc/resolv.conf, /etc/hostname, and the /dev/shm directory (a tmpfs). */
  files: { hosts: string; resolvConf: string; hostname: string; shm: string | undefined }
}
export interface Sandboxes {
  create(spec: SandboxSpec): Promise<Sandbox>
  get(id: string): Sandbox | undefined
  list(): Sandbox[]
  /** Makes namespaces, interfaces, addresses, published ports and files. A taken port: 'conflict' that names the port and, where /proc tells, its owner. Started already: no-op. */
  start(id: string): Promise<Sandbox>
  /** Takes all of that down; the spec stays. Stopped or gone already: no-op. */
  stop(id: string): Promise<void>
  remove(id: string): Promise<void>
  /** On a running sandbox too. */
  connect(id: string, attachment: Attachment): Promise<Endpoint>
  disconnect(id: string, network: string, options?: { force?: boolean }): Promise<void>
  /** Replaces names other endpoints on the same networks can resolve it by. */
  rename(id: string, names: { hostname?: string; names: string[] }): Promise<void>
}

export interface NetworkSpec {
  name: string
  /** bridge: a Linux bridge. routed: no bridge, a /32 route a sandbox (pods). null and host stand for the modes of those names. */
  driver: 'bridge' | 'routed' | 'macvlan' | 'ipvlan' | 'host' | 'null'
  internal: boolean
  attachable: boolean
  ipv6: boolean
  /** Empty: a free subnet is picked. */
  ipam: { subnet?: string; gateway?: string; ipRange?: string; auxAddresses?: Record<string, string> }[]
  options: Record<string, string>
  labels: Record<string, string>
  /** Do names of sandboxes resolve on it? False only for docker's default bridge. */
  dns: boolean
  /** A subnet that was picked stays for good. Otherwise it may be picked anew at a start while nobody is on the network. */
  keepSubnets?: boolean | undefined
}
export interface Network {
  id: string // 64 hex
  spec: NetworkSpec
  createdAt: number
  /** Interface name of the bridge, where there is one. */
  bridge?: string | undefined
  subnets: { subnet: string; gateway: string }[]
}
export interface Networks {
  create(spec: NetworkSpec): Promise<Network>
  /** By id, unique id prefix or name. */
  get(reference: string): Network | undefined
  list(): Network[]
  /** 'conflict' while endpoints are on it. */
  remove(reference: string): Promise<void>
  endpoints(reference: string): { sandboxId: string; name: string; endpoint: Endpoint }[]
}

// ───────────────────────────── volumes ─────────────────────────────

export interface VolumeSpec {
  /** Empty: 64 random hex digits (an anonymous volume). */
  name: string
  driver: string // 'local'
  options: Record<string, string>
  labels: Record<string, string>
}
export interface Volume {
  spec: VolumeSpec
  /** Directory on the host; for options.type it is the mount point, mounted while in use. */
  mountpoint: string
  anonymous: boolean
  createdAt: number
}
export interface Volumes {
  /** Same name and options again: the existing one. */
  create(spec: VolumeSpec): Promise<Volume>
  get(name: string): Volume | undefined
  list(): Volume[]
  /** 'conflict' while a container refers to it. */
  remove(name: string, options?: { force?: boolean }): Promise<void>
  size(name: string): Promise<number>
}

// ───────────────────────────── containers ─────────────────────────────

export type MountSpec =
  | {
      type: 'bind'
      source: string
      target: string
      readOnly: boolean
      propagation?: string | undefined
      createSource?: boolean | undefined
      recursive?: boolean | undefined
      /** An empty source directory is first filled with the image's content at the target, as for volumes. */
      copyUp?: boolean | undefined
    }
  /** `copyUp`: the image's content at the target is copied in while the volume is empty. */
  | { type: 'volume'; volume: string; target: string; readOnly: boolean; subpath?: string | undefined; copyUp: boolean }
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
  apparmor?: string | undefined
  selinux?: string[] | undefined
  readOnlyRootfs: boolean
  /** undefined: the default lists. */
  maskedPaths?: string[] | undefined
  readOnlyPaths?: string[] | undefined
}

export interface ContainerSpec {
  /** 64 hex digits; made up if absent. */
  id?: string | undefined
  /** Unique among containers; [a-zA-Z0-9][a-zA-Z0-9_.-]+ */
  name: string
  /** Image name or id; the id is resolved and kept at creation. */
  image: string
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
  /** Detaches; the program goes on. */
  close(): void
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
  update(
    reference: string,
    change: { resources?: Partial<Resources>; restart?: ContainerSpec['restart'] },
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
  logs(reference: string, options: LogOptions): AsyncIterable<LogLine>
  stats(reference: string): Promise<ContainerStats>
  /** Column titles and rows, as ps prints them. */
  top(reference: string, psArgs: string[]): Promise<{ titles: string[]; processes: string[][] }>
  resize(reference: string, size: { width: number; height: number }): Promise<void>

  createExec(reference: string, spec: ExecSpec): Promise<Exec>
  startExec(execId: string, options?: { detach?: boolean; size?: { width: number; height: number } }): Promise<Io>
  getExec(execId: string): Exec | undefined
  waitExec(execId: string): Promise<number>
  resizeExec(execId: string, size: { width: number; height: number }): Promise<void>
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
  network: 'default' | 'none' | 'host'
  mounts: Mount[]
  hosts: { name: string; address: string }[]
  privileged: boolean
  resources: Resources
  ulimits: ContainerSpec['ulimits']
  shmSize?: number | undefined
  hostname?: string | undefined
  output: (chunk: OutputChunk) => void
  signal?: AbortSignal | undefined
}

// ───────────────────────────── events ─────────────────────────────

/** As docker's: type 'container' | 'image' | 'network' | 'volume' | 'builder'; action 'create', 'start', 'die', 'exec_create: ls', … */
export interface EngineEvent {
  type: string
  action: string
  id: string
  attributes: Record<string, string>
  timeNs: bigint
}
export interface Events {
  emit(event: Omit<EngineEvent, 'timeNs'>): void
  /** Past ones since `since` (ms), then live until `until` or abort. */
  subscribe(options: { since?: number; until?: number; signal?: AbortSignal }): AsyncIterable<EngineEvent>
  /** Synchronous, in-process, live only. Returns the function that ends it. */
  on(listener: (event: EngineEvent) => void): () => void
}
