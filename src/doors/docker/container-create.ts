/** A create request as an engine container: pure, but for the lookups it is given. */
import type {
  Container,
  ContainerSpec,
  MountSpec,
  PublishedPort,
  SandboxSpec,
  SecurityOptions,
  VolumeSpec,
} from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import type { ContainerConfig, CreateBody, EndpointConfig, HostConfig, MountConfig, Origin } from './wire.ts'

export interface CreateLookups {
  container(reference: string): Container
  /** Ports the image exposes, and whether it is there at all. */
  imagePorts: string[]
  /** CPUs of this machine. */
  cpus: number
  /** Of this machine: the name of containers on its network. */
  hostname: string
}
export interface CreatePlan {
  spec: ContainerSpec
  /** Volumes to make first, with their labels and driver options. */
  volumes: VolumeSpec[]
  warnings: string[]
}

const bad = (message: string, hint?: string): SlipwayError => new SlipwayError('bad-request', message, { hint })
const defined = <T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined && v !== null)) as never
const positive = (n: number | null | undefined): number | undefined => (n ? n : undefined)
const wordsOf = (value: string[] | string | null | undefined): string[] | undefined =>
  value == null ? undefined : typeof value === 'string' ? [value] : value

export const planCreate = (name: string, body: CreateBody, find: CreateLookups): CreatePlan => {
  const { HostConfig: host = {}, NetworkingConfig, ...config } = body
  if (!config.Image) throw bad('no image specified')
  if (host.Isolation && host.Isolation !== 'default')
    throw bad(`Invalid isolation: "${host.Isolation}" - linux only supports 'default'`)
  if (host.DeviceRequests?.length)
    throw bad('could not select device driver "" with capabilities: [[gpu]]', 'GPUs are not supported by this engine.')
  const volumes: VolumeSpec[] = []
  const networks = networksOf(host, NetworkingConfig?.EndpointsConfig ?? {})
  const origin: Origin = { Config: config, HostConfig: host, Networks: networks }
  const entrypoint = wordsOf(config.Entrypoint)
  const cmd = wordsOf(config.Cmd)
  const spec: ContainerSpec = {
    name,
    image: config.Image,
    ...(entrypoint ? { entrypoint: entrypoint.length === 1 && entrypoint[0] === '' ? [] : entrypoint } : {}),
    ...(cmd ? { cmd } : {}),
    env: config.Env ?? [],
    ...defined({ workingDir: config.WorkingDir || undefined, user: config.User || undefined }),
    groups: host.GroupAdd ?? [],
    tty: config.Tty ?? false,
    stdin: config.OpenStdin ?? false,
    stdinOnce: config.StdinOnce ?? false,
    labels: config.Labels ?? {},
    annotations: host.Annotations ?? {},
    sandbox: { own: sandboxOf(name, config, host, networks, find) },
    ...namespacesOf(host),
    mounts: mountsOf(config, host, find, volumes),
    devices: (host.Devices ?? []).map((d) => ({
      hostPath: d.PathOnHost,
      containerPath: d.PathInContainer || d.PathOnHost,
      permissions: d.CgroupPermissions || 'rwm',
    })),
    deviceCgroupRules: host.DeviceCgroupRules ?? [],
    resources: resourcesOf(host, find.cpus),
    security: securityOf(host),
    ulimits: (host.Ulimits ?? []).map((u) => ({ name: u.Name, soft: u.Soft, hard: u.Hard })),
    ...defined({
      oomScoreAdj: host.OomScoreAdj || undefined,
      stopSignal: config.StopSignal || undefined,
      runtime: host.Runtime || undefined,
    }),
    sysctls: host.Sysctls ?? {},
    init: host.Init ?? false,
    ...(config.StopTimeout == null ? {} : { stopTimeoutMs: config.StopTimeout * 1000 }),
    restart: restartOf(host),
    ...(config.Healthcheck ? { healthcheck: config.Healthcheck } : {}),
    autoRemove: host.AutoRemove ?? false,
    log: logOf(host),
    origin,
  }
  return { spec, volumes, warnings: [] }
}

const restartOf = (host: HostConfig): ContainerSpec['restart'] => {
  const policy = host.RestartPolicy?.Name || 'no'
  const maxRetries = host.RestartPolicy?.MaximumRetryCount ?? 0
  if (policy !== 'no' && policy !== 'always' && policy !== 'unless-stopped' && policy !== 'on-failure')
    throw bad(
      `invalid restart policy: unknown policy '${policy}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    )
  if (maxRetries !== 0 && policy !== 'on-failure')
    throw bad(`invalid restart policy: maximum retry count can only be used with 'on-failure'`)
  if (host.AutoRemove && policy !== 'no') throw bad(`can't create 'AutoRemove' container with restart policy`)
  return { policy, maxRetries }
}

const logOf = (host: HostConfig): ContainerSpec['log'] => {
  const driver = host.LogConfig?.Type || 'json-file'
  if (driver !== 'json-file' && driver !== 'local' && driver !== 'none')
    throw bad(
      `error looking up logging plugin ${driver}: plugin "${driver}" not found`,
      'Available here: json-file, local, none.',
    )
  const options = host.LogConfig?.Config ?? {}
  return {
    driver,
    options,
    ...defined({
      maxSize: bytes(options['max-size']),
      maxFiles: options['max-file'] === undefined ? undefined : Number(options['max-file']),
    }),
  }
}

/** "10m" → bytes. */
export const bytes = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(text)
  if (!match) throw bad(`invalid size: '${text}'`)
  return (
    Math.floor(Number(match[1]) * 1024 ** 'kmgtp'.indexOf(match[2]!.toLowerCase() || ' ') * (match[2] ? 1024 : 1)) ||
    Math.floor(Number(match[1]))
  )
}

/** The mode as docker names it: bridge by default. */
export const networkMode = (host: HostConfig): string =>
  !host.NetworkMode || host.NetworkMode === 'default' ? 'bridge' : host.NetworkMode

const networksOf = (host: HostConfig, given: Record<string, EndpointConfig | null>): Record<string, EndpointConfig> => {
  const mode = networkMode(host)
  const all = Object.fromEntries(Object.entries(given ?? {}).map(([k, v]) => [k === 'default' ? 'bridge' : k, v ?? {}]))
  if (['host', 'none'].includes(mode) || mode.startsWith('container:')) return all
  return { [mode]: all[mode] ?? {}, ...all }
}

type OwnSandbox = Omit<SandboxSpec, 'id'>
const sandboxOf = (
  name: string,
  config: ContainerConfig,
  host: HostConfig,
  networks: Record<string, EndpointConfig>,
  find: CreateLookups,
): OwnSandbox => {
  const mode = networkMode(host)
  const shared = mode.startsWith('container:') ? find.container(mode.slice(10)) : undefined
  if (shared && host.PortBindings && Object.keys(host.PortBindings).length > 0)
    throw bad('conflicting options: port publishing and the container type network mode')
  if (shared && config.Hostname) throw bad('conflicting options: hostname and the network mode')
  const network: SandboxSpec['network'] = shared
    ? { mode: 'sandbox', id: shared.sandboxId }
    : mode === 'none' || config.NetworkDisabled
      ? { mode: 'none' }
      : mode === 'host'
        ? { mode: 'host' }
        : {
            mode: 'attached',
            attachments: Object.entries(networks).map(([n, e]) => attachment(n, e, mode, config.MacAddress)),
          }
  return {
    hostname: config.Hostname || (mode === 'host' ? find.hostname : ''),
    names: [name],
    ...defined({ domainname: config.Domainname || undefined, shmSize: positive(host.ShmSize) }),
    network,
    ports: mode === 'host' || shared ? [] : portsOf(config, host, find.imagePorts),
    dns: { servers: host.Dns ?? [], searches: host.DnsSearch ?? [], options: host.DnsOptions ?? [] },
    hosts: [...(host.ExtraHosts ?? []).map(extraHost), ...(host.Links ?? []).flatMap((l) => linkHosts(l, find))],
    sysctls: Object.fromEntries(Object.entries(host.Sysctls ?? {}).filter(([k]) => k.startsWith('net.'))),
    labels: {},
    ...(host.IpcMode === 'host' ? { hostIpc: true } : {}),
  }
}

export const attachment = (network: string, e: EndpointConfig, mode: string, mac?: string) => ({
  network,
  aliases: e.Aliases ?? [],
  ...defined({
    ipv4: e.IPAMConfig?.IPv4Address || undefined,
    ipv6: e.IPAMConfig?.IPv6Address || undefined,
    mac: e.MacAddress || (network === mode ? mac : undefined) || undefined,
    driverOptions: e.DriverOpts ?? undefined,
  }),
})

const extraHost = (line: string): { name: string; address: string } => {
  const at = line.search(/[:=]/)
  if (at < 1) throw bad(`bad format for add-host: "${line}"`)
  return { name: line.slice(0, at), address: line.slice(at + 1).replace(/^\[|\]$/g, '') }
}

/** `--link other:alias` on the default bridge: lines of /etc/hosts, as docker writes them. */
const linkHosts = (link: string, find: CreateLookups): { name: string; address: string }[] => {
  const [reference, alias] = link.split(':')
  const other = find.container(reference!)
  if (other.status !== 'running')
    throw new SlipwayError(
      'conflict',
      `Cannot link to a non running container: /${other.spec.name} AS ${alias ?? reference}`,
    )
  const own = 'own' in other.spec.sandbox ? other.spec.sandbox.own : undefined
  return [alias ?? reference!, other.spec.name, own?.hostname || other.id.slice(0, 12)].map((name) => ({
    name,
    address: `sandbox:${other.sandboxId}`,
  }))
}

const portsOf = (config: ContainerConfig, host: HostConfig, imagePorts: string[]): PublishedPort[] => {
  const ports: PublishedPort[] = []
  for (const [key, bindings] of Object.entries(host.PortBindings ?? {})) {
    const { port, protocol } = portKey(key)
    const list = bindings?.length ? bindings : [{}]
    for (const b of list) {
      const range = /^(\d+)(?:-(\d+))?$/.exec(b.HostPort || '0')
      if (!range) throw bad(`invalid port specification: "${b.HostPort}"`)
      ports.push({
        hostIp: b.HostIp === '0.0.0.0' || b.HostIp === '::' ? '' : (b.HostIp ?? ''),
        hostPort: Number(range[1]),
        ...defined({ hostPortEnd: range[2] === undefined ? undefined : Number(range[2]) }),
        containerPort: port,
        protocol,
      })
    }
  }
  if (host.PublishAllPorts)
    for (const key of new Set([...Object.keys(config.ExposedPorts ?? {}), ...imagePorts])) {
      const { port, protocol } = portKey(key)
      if (!ports.some((p) => p.containerPort === port && p.protocol === protocol))
        ports.push({ hostIp: '', hostPort: 0, containerPort: port, protocol })
    }
  return ports
}

export const portKey = (key: string): { port: number; protocol: 'tcp' | 'udp' | 'sctp' } => {
  const match = /^(\d+)(?:\/(tcp|udp|sctp))?$/i.exec(key)
  if (!match || Number(match[1]) > 65535) throw bad(`invalid port specification: "${key}"`)
  return { port: Number(match[1]), protocol: (match[2]?.toLowerCase() ?? 'tcp') as 'tcp' | 'udp' | 'sctp' }
}

const namespacesOf = (host: HostConfig): Partial<ContainerSpec> =>
  defined({
    pidMode: host.PidMode || undefined,
    ipcMode: host.IpcMode && host.IpcMode !== 'private' && host.IpcMode !== 'shareable' ? host.IpcMode : undefined,
    utsMode: host.UTSMode || undefined,
    usernsMode: host.UsernsMode || undefined,
    cgroupnsMode: (host.CgroupnsMode || undefined) as 'private' | 'host' | undefined,
    cgroupParent: host.CgroupParent || undefined,
  })

/** "0-2,5" → its bounds; enough to see whether they are there. */
const cpuList = (text: string): number[] => {
  if (!/^(\d+(-\d+)?(,\d+(-\d+)?)*)?$/.test(text)) throw bad(`Invalid value ${text} for cpuset cpus`)
  return text.split(/[,-]/).filter(Boolean).map(Number)
}

const resourcesOf = (host: HostConfig, cpus: number): ContainerSpec['resources'] => {
  if (host.NanoCpus && (host.NanoCpus < 0 || host.NanoCpus > cpus * 1e9))
    throw bad(`range of CPUs is from 0.01 to ${cpus.toFixed(2)}, as there are only ${cpus} CPUs available`)
  if (host.Memory && host.Memory < 6 * 1024 * 1024) throw bad('Minimum memory limit allowed is 6MB')
  if (host.Memory && host.MemorySwap && host.MemorySwap > 0 && host.MemorySwap < host.Memory)
    throw bad('Minimum memoryswap limit should be larger than memory limit, see usage')
  if (host.MemorySwap && host.MemorySwap > 0 && !host.Memory)
    throw bad('You should always set the Memory limit when using Memoryswap limit, see usage')
  if (host.NanoCpus && (host.CpuQuota || host.CpuPeriod))
    throw bad('Conflicting options: Nano CPUs and CPU Period cannot both be set.')
  const missing = cpuList(host.CpusetCpus ?? '').find((cpu) => cpu >= cpus)
  if (missing !== undefined)
    throw bad(`Requested CPUs are not available - requested ${host.CpusetCpus}, available: 0-${cpus - 1}`)
  const nano = host.NanoCpus ? { cpuQuota: Math.round(host.NanoCpus / 10_000), cpuPeriod: 100_000 } : {}
  const kinds = [
    ['weight', host.BlkioWeightDevice],
    ['read-bps', host.BlkioDeviceReadBps],
    ['write-bps', host.BlkioDeviceWriteBps],
    ['read-iops', host.BlkioDeviceReadIOps],
    ['write-iops', host.BlkioDeviceWriteIOps],
  ] as const
  const blkioDevices = kinds.flatMap(([kind, list]) =>
    (list ?? []).map((d) => ({ kind, path: d.Path, value: d.Rate ?? d.Weight ?? 0 })),
  )
  return defined({
    memory: positive(host.Memory),
    memorySwap: positive(host.MemorySwap),
    memoryReservation: positive(host.MemoryReservation),
    memorySwappiness: host.MemorySwappiness === -1 ? undefined : host.MemorySwappiness,
    oomKillDisable: host.OomKillDisable || undefined,
    cpuShares: positive(host.CpuShares),
    cpuQuota: positive(host.CpuQuota),
    cpuPeriod: positive(host.CpuPeriod),
    ...nano,
    cpuRealtimePeriod: positive(host.CpuRealtimePeriod),
    cpuRealtimeRuntime: positive(host.CpuRealtimeRuntime),
    cpusetCpus: host.CpusetCpus || undefined,
    cpusetMems: host.CpusetMems || undefined,
    pidsLimit: host.PidsLimit && host.PidsLimit > 0 ? host.PidsLimit : undefined,
    blkioWeight: positive(host.BlkioWeight),
    blkioDevices: blkioDevices.length > 0 ? blkioDevices : undefined,
  }) as ContainerSpec['resources']
}

const securityOf = (host: HostConfig): SecurityOptions => {
  const security: SecurityOptions = {
    privileged: host.Privileged ?? false,
    capAdd: host.CapAdd ?? [],
    capDrop: host.CapDrop ?? [],
    noNewPrivileges: false,
    seccomp: 'default',
    readOnlyRootfs: host.ReadonlyRootfs ?? false,
    ...defined({ maskedPaths: host.MaskedPaths ?? undefined, readOnlyPaths: host.ReadonlyPaths ?? undefined }),
  }
  const selinux: string[] = []
  for (const option of host.SecurityOpt ?? []) {
    if (option === 'no-new-privileges') security.noNewPrivileges = true
    else {
      const at = option.search(/[=:]/)
      const [key, value] = [option.slice(0, at), option.slice(at + 1)]
      if (key === 'no-new-privileges') security.noNewPrivileges = value !== 'false'
      else if (key === 'seccomp') security.seccomp = value
      else if (key === 'apparmor') security.apparmor = value
      else if (key === 'label') selinux.push(value)
      else if (key === 'systempaths' && value === 'unconfined')
        Object.assign(security, { maskedPaths: [], readOnlyPaths: [] })
      else throw bad(`invalid --security-opt 2: "${option}"`)
    }
  }
  if (selinux.length > 0) security.selinux = selinux
  return security
}

const mountsOf = (
  config: ContainerConfig,
  host: HostConfig,
  find: CreateLookups,
  volumes: VolumeSpec[],
): MountSpec[] => {
  const mounts: MountSpec[] = (host.VolumesFrom ?? []).flatMap((from) => fromContainer(from, find))
  const add = (mount: MountSpec): void => {
    const at = mounts.findIndex((m) => m.target === mount.target)
    if (at >= 0) mounts.splice(at, 1)
    mounts.push(mount)
  }
  for (const bind of host.Binds ?? []) add(bindMount(bind, host.VolumeDriver ?? '', volumes))
  const taken = new Set<string>(mounts.map((m) => m.target))
  for (const mount of host.Mounts ?? []) {
    if (taken.has(mount.Target ?? '') && !(host.VolumesFrom ?? []).length)
      throw bad(`Duplicate mount point: ${mount.Target}`)
    add(typedMount(mount, volumes))
  }
  for (const [target, options] of Object.entries(host.Tmpfs ?? {}))
    add({ type: 'tmpfs', target, options: options === '' ? [] : options.split(',') })
  for (const target of Object.keys(config.Volumes ?? {}))
    if (!mounts.some((m) => m.target === target))
      add({ type: 'volume', volume: '', target, readOnly: false, copyUp: true })
  return mounts
}

const fromContainer = (from: string, find: CreateLookups): MountSpec[] => {
  const [reference, mode] = from.split(':')
  return find
    .container(reference!)
    .mounts.filter((m) => m.type === 'volume' || m.type === 'bind')
    .map((m) => {
      const { name, hostPath: _, ...spec } = m
      const shared = spec.type === 'volume' && name ? { ...spec, volume: name, copyUp: false } : spec
      return mode === 'ro' ? ({ ...shared, readOnly: true } as MountSpec) : (shared as MountSpec)
    })
}

const propagations = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave']
const absolute = (target: string, spec: string): string => {
  if (!target.startsWith('/'))
    throw bad(
      `invalid volume specification: '${spec}': invalid mount config for type "bind": invalid mount path: '${target}' mount path must be absolute`,
    )
  if (target === '/')
    throw bad(`invalid volume specification: '${spec}': invalid specification: destination can't be '/'`)
  return target
}

const bindMount = (text: string, driver: string, volumes: VolumeSpec[]): MountSpec => {
  const parts = text.split(':')
  if (parts.length > 3 || parts.some((p) => p === '')) throw bad(`invalid volume specification: '${text}'`)
  if (parts.length === 1)
    return { type: 'volume', volume: '', target: absolute(parts[0]!, text), readOnly: false, copyUp: true }
  const [source, target, mode = ''] = parts as [string, string, string?]
  const options = mode === '' ? [] : mode.split(',')
  for (const o of options)
    if (!['ro', 'rw', 'z', 'Z', 'nocopy', 'cached', 'delegated', 'consistent', ...propagations].includes(o))
      throw bad(`invalid mode: ${mode}`)
  const readOnly = options.includes('ro')
  const propagation = options.find((o) => propagations.includes(o))
  if (source.startsWith('/'))
    return {
      type: 'bind',
      source,
      target: absolute(target, text),
      readOnly,
      createSource: true,
      recursive: true,
      ...defined({ propagation }),
    }
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(source))
    throw bad(
      `create ${source}: "${source}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    )
  volumes.push({ name: source, driver: driver || 'local', options: {}, labels: {} })
  return {
    type: 'volume',
    volume: source,
    target: absolute(target, text),
    readOnly,
    copyUp: !options.includes('nocopy'),
  }
}

const typedMount = (m: MountConfig, volumes: VolumeSpec[]): MountSpec => {
  const invalid = (why: string): SlipwayError => bad(`invalid mount config for type "${m.Type}": ${why}`)
  const target = m.Target ?? ''
  if (target === '') throw invalid('field Target must not be empty')
  if (!target.startsWith('/')) throw invalid(`invalid mount path: '${target}' mount path must be absolute`)
  const readOnly = m.ReadOnly ?? false
  switch (m.Type) {
    case 'bind':
      if (!m.Source) throw invalid('field Source must not be empty')
      return {
        type: 'bind',
        source: m.Source,
        target,
        readOnly,
        createSource: m.BindOptions?.CreateMountpoint ?? false,
        recursive: !m.BindOptions?.NonRecursive,
        ...defined({ propagation: m.BindOptions?.Propagation || undefined }),
      }
    case 'volume': {
      const driver = m.VolumeOptions?.DriverConfig
      if (m.Source)
        volumes.push({
          name: m.Source,
          driver: driver?.Name || 'local',
          options: driver?.Options ?? {},
          labels: m.VolumeOptions?.Labels ?? {},
        })
      return {
        type: 'volume',
        volume: m.Source ?? '',
        target,
        readOnly,
        copyUp: !m.VolumeOptions?.NoCopy,
        ...defined({ subpath: m.VolumeOptions?.Subpath || undefined }),
      }
    }
    case 'tmpfs':
      if (m.Source) throw invalid('field Source must not be specified')
      return {
        type: 'tmpfs',
        target,
        ...defined({ size: positive(m.TmpfsOptions?.SizeBytes), mode: positive(m.TmpfsOptions?.Mode) }),
        options: [...(readOnly ? ['ro'] : []), ...(m.TmpfsOptions?.Options ?? []).map((o) => o.join('='))],
      }
    case 'image':
      if (!m.Source) throw invalid('field Source must not be empty')
      return { type: 'image', image: m.Source, target, ...defined({ subpath: m.ImageOptions?.Subpath || undefined }) }
    default:
      throw bad(`invalid mount type: "${m.Type}"`)
  }
}
