/** Docker's JSON for creating and inspecting containers; only the fields that are read or written here. */
interface HealthConfig {
  Test?: string[]
  Interval?: number
  Timeout?: number
  StartPeriod?: number
  StartInterval?: number
  Retries?: number
}
export interface ContainerConfig {
  Hostname?: string
  Domainname?: string
  User?: string
  AttachStdin?: boolean
  AttachStdout?: boolean
  AttachStderr?: boolean
  ExposedPorts?: Record<string, object> | null
  Tty?: boolean
  OpenStdin?: boolean
  StdinOnce?: boolean
  Env?: string[] | null
  Cmd?: string[] | string | null
  Healthcheck?: HealthConfig | null
  Image?: string
  Volumes?: Record<string, object> | null
  WorkingDir?: string
  Entrypoint?: string[] | string | null
  NetworkDisabled?: boolean
  MacAddress?: string
  OnBuild?: string[] | null
  Labels?: Record<string, string> | null
  StopSignal?: string
  StopTimeout?: number | null
}
interface PortBinding {
  HostIp?: string
  HostPort?: string
}
export interface MountConfig {
  Type: string
  Source?: string
  Target?: string
  ReadOnly?: boolean
  BindOptions?: {
    Propagation?: string
    NonRecursive?: boolean
    CreateMountpoint?: boolean
    ReadOnlyNonRecursive?: boolean
    ReadOnlyForceRecursive?: boolean
  }
  VolumeOptions?: {
    NoCopy?: boolean
    Labels?: Record<string, string>
    DriverConfig?: { Name?: string; Options?: Record<string, string> }
    Subpath?: string
  }
  TmpfsOptions?: { SizeBytes?: number; Mode?: number; Options?: string[][] }
  ImageOptions?: { Subpath?: string }
}
interface BlkioDevice {
  Path: string
  Rate?: number
  Weight?: number
}
export interface HostConfig {
  Binds?: string[] | null
  ContainerIDFile?: string
  LogConfig?: { Type?: string; Config?: Record<string, string> | null }
  NetworkMode?: string
  PortBindings?: Record<string, PortBinding[] | null> | null
  RestartPolicy?: { Name?: string; MaximumRetryCount?: number }
  AutoRemove?: boolean
  VolumeDriver?: string
  VolumesFrom?: string[] | null
  ConsoleSize?: [number, number]
  Annotations?: Record<string, string>
  CapAdd?: string[] | null
  CapDrop?: string[] | null
  CgroupnsMode?: string
  Dns?: string[] | null
  DnsOptions?: string[] | null
  DnsSearch?: string[] | null
  ExtraHosts?: string[] | null
  GroupAdd?: string[] | null
  IpcMode?: string
  Links?: string[] | null
  OomScoreAdj?: number
  PidMode?: string
  Privileged?: boolean
  PublishAllPorts?: boolean
  ReadonlyRootfs?: boolean
  SecurityOpt?: string[] | null
  StorageOpt?: Record<string, string>
  Tmpfs?: Record<string, string>
  UTSMode?: string
  UsernsMode?: string
  ShmSize?: number
  Sysctls?: Record<string, string>
  Runtime?: string
  CpuShares?: number
  Memory?: number
  NanoCpus?: number
  CgroupParent?: string
  BlkioWeight?: number
  BlkioWeightDevice?: BlkioDevice[] | null
  BlkioDeviceReadBps?: BlkioDevice[] | null
  BlkioDeviceWriteBps?: BlkioDevice[] | null
  BlkioDeviceReadIOps?: BlkioDevice[] | null
  BlkioDeviceWriteIOps?: BlkioDevice[] | null
  CpuPeriod?: number
  CpuQuota?: number
  CpuRealtimePeriod?: number
  CpuRealtimeRuntime?: number
  CpusetCpus?: string
  CpusetMems?: string
  Devices?: { PathOnHost: string; PathInContainer?: string; CgroupPermissions?: string }[] | null
  DeviceCgroupRules?: string[] | null
  DeviceRequests?:
    | {
        Driver?: string
        Count?: number
        DeviceIDs?: string[] | null
        Capabilities?: string[][] | null
        Options?: Record<string, string> | null
      }[]
    | null
  MemoryReservation?: number
  MemorySwap?: number
  MemorySwappiness?: number | null
  OomKillDisable?: boolean | null
  PidsLimit?: number | null
  Ulimits?: { Name: string; Soft: number; Hard: number }[] | null
  Mounts?: MountConfig[] | null
  MaskedPaths?: string[] | null
  ReadonlyPaths?: string[] | null
  Init?: boolean | null
  Isolation?: string
}
export interface EndpointConfig {
  IPAMConfig?: { IPv4Address?: string; IPv6Address?: string; LinkLocalIPs?: string[] } | null
  Links?: string[] | null
  Aliases?: string[] | null
  MacAddress?: string
  DriverOpts?: Record<string, string> | null
  GwPriority?: number
}
export interface CreateBody extends ContainerConfig {
  HostConfig?: HostConfig
  NetworkingConfig?: { EndpointsConfig?: Record<string, EndpointConfig | null> | null }
}
/** What a container created here keeps of its request (ContainerSpec.origin). */
export interface Origin {
  Config: ContainerConfig
  HostConfig: HostConfig
  Networks: Record<string, EndpointConfig>
}
