/** The OCI runtime specification (config.json, v1.0): the parts that are written here. JSON shapes, spelled as on the wire. */
export interface OciConfig {
  ociVersion: string
  process: OciProcess
  root: { path: string; readonly: boolean }
  hostname?: string
  mounts: OciMount[]
  hooks?: OciHooks
  annotations?: Record<string, string>
  linux: OciLinux
}
export interface OciProcess {
  terminal: boolean
  consoleSize?: { height: number; width: number }
  user: { uid: number; gid: number; additionalGids: number[] }
  args: string[]
  env: string[]
  cwd: string
  capabilities: Partial<Record<'bounding' | 'effective' | 'permitted' | 'inheritable' | 'ambient', string[]>>
  rlimits: { type: string; soft: number; hard: number }[]
  noNewPrivileges: boolean
  oomScoreAdj?: number
  apparmorProfile?: string
  selinuxLabel?: string
}
export interface OciMount {
  destination: string
  type: string
  source: string
  options: string[]
}
/** Programs of the host that the runtime starts, `timeout` in seconds. */
export type OciHooks = Partial<
  Record<
    'prestart' | 'createRuntime' | 'createContainer' | 'startContainer' | 'poststart' | 'poststop',
    { path: string; args?: string[]; env?: string[]; timeout?: number }[]
  >
>
export interface OciLinux {
  namespaces: { type: 'pid' | 'network' | 'ipc' | 'uts' | 'mount' | 'cgroup' | 'user'; path?: string }[]
  devices: OciDevice[]
  cgroupsPath: string
  resources: OciResources
  seccomp?: OciSeccomp
  maskedPaths: string[]
  readonlyPaths: string[]
  sysctl: Record<string, string>
  rootfsPropagation?: string
  mountLabel?: string
  intelRdt?: Record<string, unknown>
}
export interface OciDevice {
  path: string
  type: 'c' | 'b' | 'u' | 'p'
  major: number
  minor: number
  fileMode: number
  uid: number
  gid: number
}
export interface OciDeviceRule {
  allow: boolean
  type?: string
  major?: number
  minor?: number
  access: string
}
type ThrottleDevice = { major: number; minor: number; rate: number }
export interface OciResources {
  devices?: OciDeviceRule[]
  memory?: {
    limit?: number
    swap?: number
    reservation?: number
    swappiness?: number
    disableOOMKiller?: boolean
    checkBeforeUpdate?: boolean
  }
  cpu?: {
    shares?: number
    quota?: number
    period?: number
    realtimeRuntime?: number
    realtimePeriod?: number
    cpus?: string
    mems?: string
  }
  pids?: { limit: number }
  blockIO?: {
    weight?: number
    weightDevice?: { major: number; minor: number; weight: number }[]
    throttleReadBpsDevice?: ThrottleDevice[]
    throttleWriteBpsDevice?: ThrottleDevice[]
    throttleReadIOPSDevice?: ThrottleDevice[]
    throttleWriteIOPSDevice?: ThrottleDevice[]
  }
  hugepageLimits?: { pageSize: string; limit: number }[]
}
export interface OciSeccomp {
  defaultAction: string
  defaultErrnoRet?: number
  architectures?: string[]
  flags?: string[]
  listenerPath?: string
  listenerMetadata?: string
  syscalls: OciSyscall[]
}
export interface OciSyscall {
  names: string[]
  action: string
  errnoRet?: number
  args?: { index: number; value: number; valueTwo?: number; op: string }[]
}
