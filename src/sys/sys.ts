/**
 * The operating system as ports. Rooms above render mounts, nft rules, ip lines and argv as data; a body of these
 * interfaces performs them. `sys/linux` is the real one (child processes, and system calls through koffi).
 * All paths are absolute. Errors are SlipwayErrors; a failed command's stderr is in the message.
 */
import type { Duplex, Readable, Writable } from 'node:stream'

export interface Sys {
  processes: Processes
  mounts: Mounts
  namespaces: Namespaces
  links: Links
  firewall: Firewall
  files: SpecialFiles
  cgroups: Cgroups
  packets: PacketSockets
  /** undefined: this machine has none. The first call loads it. */
  fastDeflate(): FastDeflate | undefined
}

/** A compressor that needs less time than zlib, by a library of the system. */
export interface FastDeflate {
  /** Names all that decides, besides the content, what it makes. */
  method: string
  /** URL of a module that exports `deflate`, a Deflate of lib/gzip.ts: threads load it by themselves. */
  module: string
}

export interface RunOptions {
  input?: string | Uint8Array | undefined
  cwd?: string | undefined
  /** The whole environment of the child; default: PATH only. */
  env?: Record<string, string> | undefined
  signal?: AbortSignal | undefined
  timeoutMs?: number | undefined
  /** Longest stdout and stderr kept, in bytes; default 1 MiB. What is over is dropped from the front. */
  maxOutput?: number | undefined
}
export interface RunResult {
  code: number
  stdout: string
  stderr: string
}
export interface Child {
  pid: number
  stdin: Writable | undefined
  stdout: Readable | undefined
  stderr: Readable | undefined
  /** The streams of `fds` beyond 2 that were asked for as 'pipe', by number. */
  pipes: Map<number, Duplex>
  exited: Promise<{ code: number; signal: NodeJS.Signals | undefined }>
  kill(signal?: NodeJS.Signals): void
}
export interface SpawnOptions {
  cwd?: string | undefined
  env?: Record<string, string> | undefined
  /** Index = file descriptor. A number is a descriptor of ours to hand down. Default: all 'ignore'. */
  fds?: ('pipe' | 'ignore' | number)[] | undefined
  /** Own session, and the child outlives us. */
  detached?: boolean | undefined
}
export interface Processes {
  /** Runs to the end. Does not throw for a non-zero code; throws for a missing program, a timeout or an abort. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>
  /** Like run, but a non-zero exit code is an 'internal' error whose message holds argv[0] and stderr. */
  must(argv: readonly string[], options?: RunOptions): Promise<RunResult>
  spawn(argv: readonly string[], options?: SpawnOptions): Child
  /** False when there is no such process. `signal` 0 probes. 'internal' for 0, 1 and -1, which mean many or the machine. */
  kill(pid: number, signal: NodeJS.Signals | number): boolean
  /** Clock ticks since boot at which the process started (field 22 of /proc/PID/stat); undefined: no such process. With the pid it names a process for good. */
  startTime(pid: number): number | undefined
  /** Pids of direct and indirect children. */
  descendants(pid: number): number[]
  /** The OCI runtime that works on this machine's cgroup layout, as the argv prefix to use (it may enter a mount namespace first). */
  ociRuntime(): Promise<OciRuntime>
}
export interface OciRuntime {
  name: 'crun' | 'runc'
  path: string
  version: string
  /** Goes in front of conmon's and the runtime's argv; empty where the runtime runs as it is. */
  enter: readonly string[]
  /** The environment for the runtime, and for a monitor that starts it. */
  env: Record<string, string>
}

export interface Mount {
  type: string // 'overlay', 'bind', 'tmpfs', 'proc', …
  source: string
  target: string
  /** As in fstab and the OCI runtime spec: 'ro', 'rbind', 'nosuid', 'rprivate', 'lowerdir=…'. */
  options: readonly string[]
}
export interface MountEntry {
  target: string
  type: string
  source: string
  options: string
}
export interface Mounts {
  mount(mount: Mount): void
  /** Not mounted: no error. `detach` is MNT_DETACH. */
  unmount(target: string, options?: { detach?: boolean }): void
  /** Mounts at or below `prefix`, in mount order. */
  below(prefix: string): MountEntry[]
}

export type NamespaceKind = 'net' | 'ipc' | 'uts'
export interface Namespaces {
  /** Makes new namespaces and pins each at `${dir}/${kind}` (bind mount of nsfs). In 'net', lo is up. */
  create(dir: string, kinds: readonly NamespaceKind[], options?: { hostname?: string }): void
  /** Unpins all in `dir`. Nothing there: no error. */
  remove(dir: string): void
  /** Runs `body` with this thread inside the network namespace. Synchronous only: sockets made in it stay there. */
  within<T>(netns: string, body: () => T): T
}

export interface Links {
  /** Performs `ip -batch` lines ("link add …", "addr add …", "route add …") in order, in `netns` (a pinned path) if given. All or an error that names the failing line. */
  batch(lines: readonly string[], options?: { netns?: string; force?: boolean }): Promise<void>
  /** `ip -json ARGS`, parsed. */
  query(args: readonly string[], options?: { netns?: string }): Promise<unknown>
  /** Names of all links, in `netns` if given. */
  names(options?: { netns?: string }): Set<string>
  /** Writes a sysctl, '/'-separated below /proc/sys, in `netns` if given. */
  sysctl(key: string, value: string, options?: { netns?: string }): void
}

export interface Firewall {
  /** One nft transaction (`nft -f -`), in `netns` if given: all of it or nothing. */
  apply(script: string, options?: { netns?: string }): Promise<void>
  /** Is there such a table? Costs microseconds. */
  has(family: string, table: string): boolean
  /** A number that changes with each change of anybody's rules in nf_tables. Costs microseconds. */
  generation(): number
  /** The sets of all tables of a family as text, with their elements. */
  sets(family: string): Promise<string>
  /** Rules of one table as text; undefined when there is none. */
  list(family: string, table: string, options?: { netns?: string }): Promise<string | undefined>
  /** Deletes conntrack entries that match (`conntrack -D` arguments). None: no error. */
  forget(filter: readonly string[]): Promise<void>
}

export interface SpecialFiles {
  /** `type` is S_IFCHR, S_IFBLK or S_IFIFO joined with the permission bits. */
  mknod(path: string, mode: number, major: number, minor: number): void
  /** The l… forms: never follow a final symlink. */
  setXattr(path: string, name: string, value: Uint8Array): void
  getXattr(path: string, name: string): Uint8Array | undefined
  listXattrs(path: string): string[]
  /** openat2 with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: `path` can never leave `root`. The caller closes the descriptor. */
  openInRoot(root: string, path: string, flags: number, mode?: number): number
  /** A file in memory, without a name, that holds `content`. The caller closes the descriptor. */
  inMemory(content: Uint8Array): number
  /** The path, inside `root`, that `path` means after links are followed within `root`; the last parts may not exist. */
  resolveInRoot(root: string, path: string): string
  /** utimensat with nanoseconds, without following links. */
  setTimes(path: string, atimeNs: bigint, mtimeNs: bigint): void
  /** Resolves once all that was written to the file system of `path` is on disk; other work goes on meanwhile. */
  sync(path: string): Promise<void>
  statfs(path: string): { totalBytes: number; freeBytes: number }
  /**
   * Of `root`, and where it is a directory of all that is in it but what `leaveOut` says by its path relative to `root`, with all
   * that is below that. No link is followed. `pace` is awaited now and then. undefined: something could not be looked at.
   */
  treeFacts(
    root: string,
    options: { leaveOut?: ((path: string) => boolean) | undefined; pace: () => Promise<void> | undefined },
  ): Promise<TreeFacts | undefined>
}

/** What the file system says of files. */
export interface TreeFacts {
  /** Of names, kinds, modes, owners, sizes, devices, inodes, second names and times of modification and of change. */
  digest: string
  /** From this time on (ms since 1970) every change of them shows in the digest. */
  settledMs: number
}

export interface CgroupStats {
  cpuUsageNs: number
  cpuUserNs: number
  cpuSystemNs: number
  throttledPeriods: number
  periods: number
  throttledNs: number
  memoryUsageBytes: number
  /** Usage without inactive page cache: what Kubernetes calls the working set. */
  memoryWorkingSetBytes: number
  memoryLimitBytes: number | undefined
  memoryStat: Record<string, number>
  pids: number
  pidsLimit: number | undefined
  io: { major: number; minor: number; readBytes: number; writeBytes: number; reads: number; writes: number }[]
}
/** A path has to name something below the root: what is done to all processes at a path must never be done to everybody. */
export interface Cgroups {
  layout: 'v1' | 'v2' | 'hybrid'
  /** `path` is as in the OCI runtime spec's cgroupsPath, e.g. '/slipway-1a2b/ID'. Undefined when it does not exist. */
  stats(path: string): CgroupStats | undefined
  /** Pids in the cgroup and those below it. */
  pids(path: string): number[]
  /** Lets frozen processes at and below the path go on: they would not even die. Nothing there: no error. */
  thaw(path: string): void
  /** Removes empty cgroups at and below the path, in every hierarchy. Nothing there: no error. */
  remove(path: string): void
  /** Takes limits away that were set: of CPU time, of the number of processes. */
  unlimit(path: string, what: 'cpu' | 'pids'): void
  /**
   * A process is about to be put into a cgroup, by us or a child of ours. The kernel makes whoever does that wait for a
   * grace period of RCU, about 10 ms, but not those that come right after: this has the wait done, off the main thread.
   * Changes nothing, and may fail without harm.
   */
  expectMove(): void
  /** OOM kills seen in it since its start. */
  oomKills(path: string): number
}

/** A connected SOCK_SEQPACKET unix socket: conmon's attach socket. */
export interface PacketSocket {
  /** One callback a packet. Set once, right after connect. */
  onPacket(receive: (packet: Buffer) => void): void
  onClose(done: () => void): void
  /** One packet, at most 32 KiB. Resolves when the kernel has taken it. */
  send(packet: Uint8Array): Promise<void>
  /** Ends our direction only (conmon closes the container's stdin). */
  end(): void
  /** Stops and restarts reading: the other side waits meanwhile. */
  pause(): void
  resume(): void
  close(): void
}
export interface PacketSockets {
  connect(path: string): Promise<PacketSocket>
}
