import type { OciConfig, OciDevice, OciDeviceRule, OciHooks, OciMount, OciProcess } from '../../spec/oci/index.ts'
import type { ContainerSpec, Resources, SecurityOptions } from '../types.ts'
import { profileOf } from './apparmor.ts'
import { containerCapabilities, processCapabilities } from './capabilities.ts'
import { defaultDeviceRules } from './devices.ts'
import { baseMounts, sortedMounts } from './mounts.ts'
import { type CgroupAbilities, ociResources } from './resources.ts'
import { type OwnLimits, rlimits } from './rlimits.ts'
import { profileContext, seccompFor } from './seccomp.ts'
import type { ResolvedUser } from './user.ts'

/** What the machine is like, as far as a configuration depends on it. */
export interface Machine {
  own: OwnLimits
  cgroups: CgroupAbilities
  /** Does the kernel enforce AppArmor profiles? */
  apparmor: boolean
  /** … and can the profile be loaded that containers have when nobody names another? */
  defaultApparmor: boolean
  /** Each CPU's count of throttling tells of other load on the machine: hidden too. */
  thermalPaths: string[]
}

interface ProcessInput {
  args: string[]
  env: string[]
  cwd: string
  user: Pick<ResolvedUser, 'uid' | 'gid' | 'additionalGids'>
  tty: boolean
  consoleSize?: { width: number; height: number } | undefined
  security: SecurityOptions
  ulimits: ContainerSpec['ulimits']
  oomScoreAdj?: number | undefined
}

export interface ConfigInput {
  process: ProcessInput
  rootfs: string
  /** undefined: the host's (or the pinned one's) stays. */
  hostname?: string | undefined
  /** A path joins a pinned namespace, 'own' makes one, 'host' stays in the host's. */
  namespaces: Record<'pid' | 'network' | 'ipc' | 'uts' | 'cgroup', 'own' | 'host' | { path: string }>
  /** The container's own mounts: files of the sandbox, volumes, binds. */
  mounts: OciMount[]
  /** What is at /dev/shm: a directory to bind, a tmpfs of `shmSize` bytes, nothing. */
  shm: { path: string } | 'private' | 'none'
  shmSize?: number | undefined
  devices: OciDevice[]
  deviceRules: OciDeviceRule[]
  resources: Resources
  sysctls: Record<string, string>
  annotations: Record<string, string>
  cgroupsPath: string
  hooks?: OciHooks | undefined
  /** As the runtime's configuration has it. */
  intelRdt?: Record<string, unknown> | undefined
}

/** Paths docker hides (moby oci/defaults.go). */
const defaultMaskedPaths = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
]
const defaultReadonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

export const processConfig = (input: ProcessInput, machine: Machine): OciProcess => {
  const { security, user } = input
  const { own } = machine
  const apparmorProfile = profileOf(security, machine)
  const capabilities = containerCapabilities(security, own.capabilities)
  return {
    terminal: input.tty,
    ...(input.tty && input.consoleSize ? { consoleSize: input.consoleSize } : {}),
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: input.args,
    env: input.env,
    cwd: input.cwd,
    capabilities: processCapabilities(capabilities, user.uid),
    rlimits: rlimits(input.ulimits, own),
    noNewPrivileges: security.noNewPrivileges,
    ...(input.oomScoreAdj === undefined ? {} : { oomScoreAdj: possibleScore(input.oomScoreAdj, own) }),
    ...(['', 'unconfined'].includes(apparmorProfile) ? {} : { apparmorProfile }),
  }
}

/** Below the parent's score only with CAP_SYS_RESOURCE: the nearest that works is better than no container. */
const possibleScore = (wanted: number, own: OwnLimits): number =>
  own.capabilities.has('CAP_SYS_RESOURCE') ? wanted : Math.max(wanted, own.oomScoreAdj)

const namespaceList = (wanted: ConfigInput['namespaces']): OciConfig['linux']['namespaces'] => [
  { type: 'mount' },
  ...(Object.keys(wanted) as (keyof typeof wanted)[]).flatMap((type) => {
    const choice = wanted[type]
    if (choice === 'host') return []
    return choice === 'own' ? [{ type }] : [{ type, path: choice.path }]
  }),
]

/** What docker sets in a network namespace that is not the host's, and what was asked for. */
const sysctls = ({ namespaces, sysctls: wanted }: ConfigInput): Record<string, string> =>
  namespaces.network === 'host'
    ? wanted
    : { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647', ...wanted }

const rootfsPropagation = (mounts: OciMount[]): string | undefined => {
  const options = new Set(mounts.flatMap((mount) => mount.options))
  if (options.has('rshared') || options.has('shared')) return 'rshared'
  return options.has('rslave') || options.has('slave') ? 'rslave' : undefined
}

/** Annotations that begin so are orders to the runtime (hooks, seccomp programs): not a matter for who runs a container. */
const forRuntime = (annotations: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(annotations).filter(([key]) => !key.startsWith('run.oci.')))

/** The whole config.json: a pure function of what was asked for and what the machine is like. */
export const ociConfig = (input: ConfigInput, machine: Machine): OciConfig => {
  const { security } = input.process
  const process = processConfig(input.process, machine)
  const seccomp =
    security.privileged && security.seccomp === 'default'
      ? undefined
      : seccompFor(security.seccomp, profileContext(process.capabilities.bounding ?? []))
  const propagation = rootfsPropagation(input.mounts)
  return {
    ociVersion: '1.0.2',
    process,
    root: { path: input.rootfs, readonly: security.readOnlyRootfs },
    ...(input.hostname === undefined ? {} : { hostname: input.hostname }),
    mounts: [...baseMounts(input, machine.cgroups.version), ...sortedMounts(input.mounts)],
    ...(Object.keys(input.hooks ?? {}).length === 0 ? {} : { hooks: input.hooks! }),
    annotations: forRuntime(input.annotations),
    linux: {
      namespaces: namespaceList(input.namespaces),
      devices: input.devices,
      cgroupsPath: input.cgroupsPath,
      resources: {
        devices: security.privileged ? [{ allow: true, access: 'rwm' }] : [...defaultDeviceRules, ...input.deviceRules],
        ...ociResources(input.resources, machine.cgroups),
      },
      ...(seccomp === undefined ? {} : { seccomp }),
      maskedPaths: security.privileged
        ? []
        : (security.maskedPaths ?? [...defaultMaskedPaths, ...machine.thermalPaths]),
      readonlyPaths: security.privileged ? [] : (security.readOnlyPaths ?? defaultReadonlyPaths),
      sysctl: sysctls(input),
      ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
      ...(input.intelRdt ? { intelRdt: input.intelRdt } : {}),
    },
  }
}

// The newest of JSON's functions is not in the type library yet.
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

/** JSON for the runtime. Infinity is RLIM_INFINITY, which no double holds. */
export const configText = (config: OciConfig | OciProcess): string =>
  JSON.stringify(config, (_, value: unknown) =>
    value === Number.POSITIVE_INFINITY ? rawJSON('18446744073709551615') : value,
  )
