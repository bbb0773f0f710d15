import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { OciConfig, OciMount } from '../../spec/oci/runtime.ts'
import { configText, type ConfigInput, ociConfig } from '../runtime/config.ts'
import { hostDevices, parseDeviceRule, requestedDevices } from '../runtime/devices.ts'
import { type ResolvedUser, resolveUserIn } from '../runtime/user.ts'
import type { Container, Sandbox } from '../types.ts'
import { type Context, isRunning } from './context.ts'
import { runtimeEnv } from './process.ts'
import type { ContainerRecord } from './records.ts'

/** Small static init programs, in order of preference: docker's own name, Debian's tini package, catatonit. */
const inits = [
  '/usr/bin/docker-init',
  '/usr/libexec/docker/docker-init',
  '/usr/bin/tini-static',
  '/usr/libexec/podman/catatonit',
  '/usr/bin/catatonit',
]

export const findInit = (): string => {
  const found = inits.find((path) => existsSync(path))
  if (found !== undefined) return found
  throw new SlipwayError('unavailable', 'no init program for containers was found', {
    hint: 'Install the package tini on this machine, or leave out --init.',
  })
}

const tmpfsOptions = (mount: Extract<Container['mounts'][number], { type: 'tmpfs' }>): string[] => {
  const opposite: Record<string, string> = { exec: 'noexec', suid: 'nosuid', dev: 'nodev' }
  const dropped = new Set((mount.options ?? []).map((option) => opposite[option]))
  return [
    ...['noexec', 'nosuid', 'nodev'].filter((option) => !dropped.has(option)),
    ...(mount.options ?? []),
    ...(mount.size === undefined ? [] : [`size=${mount.size}`]),
    ...(mount.mode === undefined ? [] : [`mode=${mount.mode.toString(8)}`]),
  ]
}

/** Mounts made on the host for one container, below its bundle: they go when the bundle goes. */
class Staging {
  readonly #ctx: Context
  readonly #dir: string
  #count = 0

  constructor(ctx: Context, bundle: string) {
    this.#ctx = ctx
    this.#dir = join(bundle, 'mounts')
  }

  place(directory: boolean): string {
    const at = join(this.#dir, String(this.#count++))
    mkdirSync(directory ? at : this.#dir, { recursive: true, mode: 0o700 })
    if (!directory) writeFileSync(at, '', { mode: 0o600 })
    return at
  }

  bind(source: string, directory: boolean): string {
    const at = this.place(directory)
    this.#ctx.sys.mounts.mount({ type: 'bind', source, target: at, options: ['rbind'] })
    return at
  }

  /** Binds what `path` is inside `root`, whatever links are there: it is held open from the look to the mount. */
  bindInside(root: string, path: string): string {
    const fd = this.#ctx.sys.files.openInRoot(root, path, 0x200000)
    try {
      const source = `/proc/self/fd/${fd}`
      return this.bind(source, statSync(source).isDirectory())
    } finally {
      closeSync(fd)
    }
  }
}

/** Docker fills an empty volume with what the image has at its place, and gives it that directory's owner and mode. */
const copyUp = async (ctx: Context, rootfs: string, target: string, volume: string): Promise<void> => {
  if (readdirSync(volume).length > 0) return
  const source = join(rootfs, ctx.sys.files.resolveInRoot(rootfs, target))
  const stat = lstatSync(source, { throwIfNoEntry: false })
  if (!stat?.isDirectory()) return
  if (readdirSync(source).length > 0) await ctx.sys.processes.must(['cp', '-a', '--', `${source}/.`, `${volume}/`])
  chownSync(volume, stat.uid, stat.gid)
  chmodSync(volume, stat.mode & 0o7777)
}

const bindSource = (mount: Extract<Container['mounts'][number], { type: 'bind' }>): boolean => {
  const stat = statSync(mount.source, { throwIfNoEntry: false })
  if (stat) return stat.isDirectory()
  if (!mount.createSource)
    throw new SlipwayError(
      'bad-request',
      `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`,
    )
  mkdirSync(mount.source, { recursive: true, mode: 0o755 })
  return true
}

const bindOptions = (mount: {
  readOnly: boolean
  recursive?: boolean | undefined
  propagation?: string | undefined
}): string[] => [
  mount.recursive === false ? 'bind' : 'rbind',
  mount.propagation || 'rprivate',
  ...(mount.readOnly ? (mount.recursive === false ? ['ro'] : ['ro', 'rro']) : ['rw']),
]

const ociMount = async (
  ctx: Context,
  record: ContainerRecord,
  mount: Container['mounts'][number],
  staging: Staging,
  staged: boolean,
): Promise<OciMount> => {
  const destination = mount.target
  switch (mount.type) {
    case 'tmpfs':
      return { destination, type: 'tmpfs', source: 'tmpfs', options: tmpfsOptions(mount) }
    case 'bind': {
      const directory = bindSource(mount)
      if (mount.copyUp && directory) await copyUp(ctx, record.paths.rootfs, destination, mount.source)
      // The runtime's own mount namespace may not know mounts that are newer than it; what we mount reaches it.
      const direct =
        !staged || (mount.propagation ?? 'rprivate').includes('shared') || mount.propagation?.includes('slave')
      return {
        destination,
        type: 'bind',
        source: direct ? mount.source : staging.bind(mount.source, directory),
        options: bindOptions(mount),
      }
    }
    case 'volume': {
      const path = await ctx.volumes.acquire(mount.name ?? mount.volume, record.id)
      if (mount.copyUp && mount.subpath === undefined) await copyUp(ctx, record.paths.rootfs, destination, path)
      const inside =
        mount.subpath === undefined
          ? staged
            ? staging.bind(path, true)
            : path
          : staging.bindInside(path, mount.subpath)
      return { destination, type: 'bind', source: inside, options: bindOptions(mount) }
    }
    case 'image': {
      const image = await ctx.images.must(mount.image)
      const at = staging.place(true)
      const last = image.snapshots.at(-1)
      if (last !== undefined) ctx.sys.mounts.mount({ ...(await ctx.snapshots.mounts(last)), target: at })
      const source = mount.subpath === undefined ? at : staging.bindInside(at, mount.subpath)
      return { destination, type: 'bind', source, options: ['rbind', 'rprivate', 'ro'] }
    }
  }
}

/** /etc/hosts, /etc/resolv.conf and /etc/hostname of the sandbox, where the container does not bring its own. */
const sandboxFiles = ({ files }: Sandbox, mounts: Container['mounts']): OciMount[] => {
  const taken = new Set(mounts.map(({ target }) => target))
  const wanted: [string, string][] = [
    ['/etc/hosts', files.hosts],
    ['/etc/resolv.conf', files.resolvConf],
    ['/etc/hostname', files.hostname],
  ]
  return wanted
    .filter(([target, source]) => !taken.has(target) && source !== '' && existsSync(source))
    .map(([destination, source]) => ({ destination, type: 'bind', source, options: ['rbind', 'rprivate', 'rw'] }))
}

/** Another container whose namespace is joined; it has to run. */
const joined = (ctx: Context, mode: string): ContainerRecord => {
  const other = ctx.records.must(mode.slice('container:'.length))
  if (!isRunning(other))
    throw new SlipwayError('conflict', `cannot join namespace of a non running container: ${other.id}`)
  return other
}

const namespaces = (ctx: Context, { spec }: ContainerRecord, sandbox: Sandbox): ConfigInput['namespaces'] => {
  const of = (path: string | undefined): 'host' | { path: string } => (path === undefined ? 'host' : { path })
  const { pidMode, ipcMode, utsMode, cgroupnsMode } = spec
  const pid =
    pidMode === 'host'
      ? 'host'
      : pidMode?.startsWith('container:')
        ? { path: `/proc/${joined(ctx, pidMode).pid}/ns/pid` }
        : 'own'
  const ipc =
    ipcMode === 'host'
      ? 'host'
      : ipcMode?.startsWith('container:')
        ? { path: `/proc/${joined(ctx, ipcMode).pid}/ns/ipc` }
        : ipcMode === 'none' || ipcMode === 'private'
          ? 'own'
          : of(sandbox.namespaces.ipc)
  const cgroup =
    (cgroupnsMode ?? (ctx.machine.cgroups.version === 2 && !spec.security.privileged ? 'private' : 'host')) === 'host'
      ? 'host'
      : 'own'
  return {
    pid,
    ipc,
    cgroup,
    network: of(sandbox.namespaces.net),
    uts: utsMode === 'host' ? 'host' : of(sandbox.namespaces.uts),
  }
}

const shmOf = (ctx: Context, { spec }: ContainerRecord, sandbox: Sandbox): string | undefined => {
  if (spec.ipcMode === 'host') return '/dev/shm'
  if (spec.ipcMode?.startsWith('container:')) return ctx.sandboxes.get(joined(ctx, spec.ipcMode).sandboxId)?.files.shm
  return spec.ipcMode === 'none' || spec.ipcMode === 'private' ? undefined : sandbox.files.shm
}

const magic = /^\/proc\/(self|thread-self|\d+)(\/|$)/

/** Docker makes the working directory if the image lacks it. Never one that leads through /proc to an open descriptor. */
const ensureWorkingDir = (
  ctx: Context,
  record: ContainerRecord,
  cwd: string,
  owner: { uid: number; gid: number },
): void => {
  const inside = ctx.sys.files.resolveInRoot(record.paths.rootfs, cwd)
  if (magic.test(inside) || magic.test(cwd))
    throw new SlipwayError('bad-request', `the working directory '${cwd}' is invalid: it leads into /proc`)
  const covered = record.mounts.some(({ target }) => inside === target || inside.startsWith(`${target}/`))
  if (covered) return
  const path = join(record.paths.rootfs, inside)
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat?.isDirectory()) return
  if (stat) throw new SlipwayError('bad-request', `Cannot mkdir: ${cwd} is not a directory`)
  const first = mkdirSync(path, { recursive: true, mode: 0o755 })
  if (first !== undefined && owner.uid !== 0) chownSync(path, owner.uid, owner.gid)
}

/** Prepares mounts and writes config.json. The root file system is mounted and the sandbox ready. */
export const writeBundle = async (
  ctx: Context,
  record: ContainerRecord,
  sandbox: Sandbox,
): Promise<{ user: ResolvedUser; config: OciConfig }> => {
  const { spec, paths, process } = record
  const user = resolveUserIn(ctx.sys.files, paths.rootfs, process.user, spec.groups)
  const runtime = await ctx.sys.processes.ociRuntime()
  const staging = new Staging(ctx, paths.bundle)
  const mounts = sandboxFiles(sandbox, record.mounts)
  for (const mount of record.mounts) mounts.push(await ociMount(ctx, record, mount, staging, runtime.enter.length > 0))
  if (spec.init)
    mounts.push({
      destination: '/sbin/docker-init',
      type: 'bind',
      source: findInit(),
      options: ['bind', 'ro', 'rprivate'],
    })
  ensureWorkingDir(ctx, record, process.cwd, user)
  const requested = requestedDevices(spec.devices)
  const spaces = namespaces(ctx, record, sandbox)
  const hostname = spec.utsMode === 'host' ? undefined : sandbox.spec.hostname
  const input: ConfigInput = {
    process: {
      args: spec.init ? ['/sbin/docker-init', '--', ...process.args] : process.args,
      env: runtimeEnv(process.env, { hostname, tty: spec.tty, home: user.home }),
      cwd: posix.normalize(process.cwd),
      user,
      tty: spec.tty,
      security: spec.security,
      ulimits: spec.ulimits,
      oomScoreAdj: spec.oomScoreAdj,
    },
    rootfs: paths.rootfs,
    namespaces: spaces,
    mounts,
    shm: shmOf(ctx, record, sandbox),
    shmSize: sandbox.spec.shmSize,
    devices: spec.security.privileged ? [...hostDevices(), ...requested.devices] : requested.devices,
    deviceRules: [...requested.rules, ...spec.deviceCgroupRules.map(parseDeviceRule)],
    resources: spec.resources,
    sysctls: spec.sysctls,
    annotations: spec.annotations,
    cgroupsPath: record.cgroup,
  }
  const config = ociConfig(input, ctx.machine)
  writeFileSync(join(paths.bundle, 'config.json'), configText(ctx.seccomp.apply(config, runtime)), { mode: 0o600 })
  return { user, config }
}

/** Why a program could not be run: docker's exit codes 127 (not found) and 126 (not executable); undefined: not its fault. */
export const diagnose = (
  ctx: Context,
  record: ContainerRecord,
  program: string,
): { exitCode: 126 | 127; message: string } | undefined => {
  const path = record.process.env.find((entry) => entry.startsWith('PATH='))?.slice(5) ?? ''
  const candidates = program.includes('/')
    ? [posix.resolve(record.process.cwd, program)]
    : path.split(':').map((dir) => posix.resolve(record.process.cwd, dir, program))
  let found = false
  for (const candidate of candidates) {
    const host = hostPathOf(ctx, record, candidate)
    const stat = host === undefined ? undefined : statSync(host, { throwIfNoEntry: false })
    if (!stat || stat.isDirectory()) continue
    found = true
    if (stat.mode & 0o111) return undefined
  }
  if (found) return { exitCode: 126, message: `exec: "${program}": permission denied` }
  return program.includes('/')
    ? { exitCode: 127, message: `exec: "${program}": stat ${program}: no such file or directory` }
    : { exitCode: 127, message: `exec: "${program}": executable file not found in $PATH` }
}

/** Where a path of the container is on the host, through its volumes and binds. */
const hostPathOf = (ctx: Context, record: ContainerRecord, path: string): string | undefined => {
  const inside = ctx.sys.files.resolveInRoot(record.paths.rootfs, path)
  const over = record.mounts
    .filter(({ target }) => inside === target || inside.startsWith(`${target}/`))
    .sort((a, b) => b.target.length - a.target.length)[0]
  if (over === undefined) return join(record.paths.rootfs, inside)
  return over.hostPath === undefined
    ? undefined
    : join(over.hostPath, ctx.sys.files.resolveInRoot(over.hostPath, inside.slice(over.target.length)))
}
