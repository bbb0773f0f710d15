/** The shapes of requests, by docker's types (moby api/types). */
import { type Shape, struct } from '../../lib/shape.ts'

const texts: Shape = { list: 'string' }
const labels: Shape = { map: 'string' }
const set: Shape = { map: 'any' }

const health = struct('HealthConfig', { int64: 'Interval Timeout StartPeriod StartInterval Retries' }, { Test: texts })
const configFields = {
  string: 'Hostname Domainname User Image WorkingDir MacAddress StopSignal',
  bool: 'AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce NetworkDisabled',
  int64: 'StopTimeout',
  words: 'Cmd Entrypoint',
} as const
const configMore = {
  Env: texts,
  OnBuild: texts,
  Labels: labels,
  ExposedPorts: set,
  Volumes: set,
  Healthcheck: health,
}

const throttle: Shape = { list: struct('ThrottleDevice', { string: 'Path', int64: 'Rate Weight' }) }
const bind = struct('BindOptions', {
  string: 'Propagation',
  bool: 'NonRecursive CreateMountpoint ReadOnlyNonRecursive ReadOnlyForceRecursive',
})
const driver = struct('Driver', { string: 'Name' }, { Options: labels })
const mount = struct(
  'Mount',
  { string: 'Type Source Target Consistency', bool: 'ReadOnly' },
  {
    BindOptions: bind,
    VolumeOptions: struct(
      'VolumeOptions',
      { bool: 'NoCopy', string: 'Subpath' },
      { Labels: labels, DriverConfig: driver },
    ),
    TmpfsOptions: struct('TmpfsOptions', { int64: 'SizeBytes Mode' }, { Options: { list: texts } }),
    ImageOptions: struct('ImageOptions', { string: 'Subpath' }),
  },
)
const binding = struct('PortBinding', { string: 'HostIp HostPort' })
const resources = {
  string: 'CgroupParent CpusetCpus CpusetMems',
  bool: 'OomKillDisable',
  int64:
    'CpuShares Memory NanoCpus BlkioWeight CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime MemoryReservation MemorySwap MemorySwappiness PidsLimit',
} as const
const resourcesMore = {
  BlkioWeightDevice: throttle,
  BlkioDeviceReadBps: throttle,
  BlkioDeviceWriteBps: throttle,
  BlkioDeviceReadIOps: throttle,
  BlkioDeviceWriteIOps: throttle,
  Devices: { list: struct('DeviceMapping', { string: 'PathOnHost PathInContainer CgroupPermissions' }) },
  DeviceCgroupRules: texts,
  DeviceRequests: {
    list: struct(
      'DeviceRequest',
      { string: 'Driver', int64: 'Count' },
      { DeviceIDs: texts, Capabilities: { list: texts }, Options: labels },
    ),
  },
  Ulimits: { list: struct('Ulimit', { string: 'Name', int64: 'Soft Hard' }) },
  RestartPolicy: struct('RestartPolicy', { string: 'Name', int64: 'MaximumRetryCount' }),
}
const lists =
  'Binds VolumesFrom Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links SecurityOpt MaskedPaths ReadonlyPaths'
const host = struct(
  'HostConfig',
  {
    string: `ContainerIDFile NetworkMode VolumeDriver CgroupnsMode IpcMode PidMode UTSMode UsernsMode Runtime Isolation ${resources.string}`,
    bool: `AutoRemove Privileged PublishAllPorts ReadonlyRootfs Init ${resources.bool}`,
    int64: `OomScoreAdj ShmSize ${resources.int64}`,
    words: 'CapAdd CapDrop',
  },
  {
    ...resourcesMore,
    ...Object.fromEntries(lists.split(' ').map((name) => [name, texts])),
    LogConfig: struct('LogConfig', { string: 'Type' }, { Config: labels }),
    PortBindings: { map: { list: binding } },
    ConsoleSize: { list: 'int64' },
    Annotations: labels,
    StorageOpt: labels,
    Tmpfs: labels,
    Sysctls: labels,
    Mounts: { list: mount },
  },
)
const endpoint = struct(
  'EndpointSettings',
  { string: 'MacAddress', int64: 'GwPriority' },
  {
    IPAMConfig: struct('EndpointIPAMConfig', { string: 'IPv4Address IPv6Address' }, { LinkLocalIPs: texts }),
    Links: texts,
    Aliases: texts,
    DriverOpts: labels,
  },
)

export const createShape = struct('CreateRequest', configFields, {
  ...configMore,
  HostConfig: host,
  NetworkingConfig: struct('NetworkingConfig', {}, { EndpointsConfig: { map: endpoint } }),
})
export const configShape = struct('Config', configFields, configMore)
export const updateShape = struct('UpdateConfig', resources, resourcesMore)
export const execShape = struct(
  'ExecOptions',
  {
    string: 'User DetachKeys WorkingDir',
    bool: 'Privileged Tty AttachStdin AttachStdout AttachStderr Detach',
  },
  { Env: texts, Cmd: texts, ConsoleSize: { list: 'int64' } },
)
export const execStartShape = struct('ExecStartOptions', { bool: 'Detach Tty' }, { ConsoleSize: { list: 'int64' } })

const pool = struct('IPAMConfig', { string: 'Subnet IPRange Gateway' }, { AuxiliaryAddresses: labels })
export const networkShape = struct(
  'CreateRequest',
  {
    string: 'Name Driver Scope',
    bool: 'CheckDuplicate Internal Attachable Ingress EnableIPv4 EnableIPv6 ConfigOnly',
  },
  {
    ConfigFrom: struct('ConfigReference', { string: 'Network' }),
    IPAM: struct('IPAM', { string: 'Driver' }, { Options: labels, Config: { list: pool } }),
    Options: labels,
    Labels: labels,
  },
)
export const connectShape = struct(
  'ConnectOptions',
  { string: 'Container', bool: 'Force' },
  { EndpointConfig: endpoint },
)
export const volumeShape = struct('CreateOptions', { string: 'Name Driver' }, { DriverOpts: labels, Labels: labels })
