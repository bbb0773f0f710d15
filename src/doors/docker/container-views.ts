/** Containers as docker lists and inspects them. */
import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import { wholeName } from '../../spec/oci/index.ts'
import type { Container, Endpoint, Engine, Image, PublishedPort, Sandbox } from '../../engine/types.ts'
import { humanDuration } from '../../lib/human-duration.ts'
import { networkMode } from './container-create.ts'
import { endpointId } from './container-fields.ts'
import { splitLink } from './container-links.ts'
import type { ContainerConfig, EndpointConfig, HostConfig, Origin } from './wire.ts'

type Rooms = Pick<Engine, 'sandboxes' | 'networks' | 'containers' | 'snapshots'> & {
  images: Pick<Engine['images'], 'get'>
}

export type ApiVersion = readonly [number, number]

export const iso = (ms: number | undefined): string =>
  ms === undefined ? '0001-01-01T00:00:00Z' : new Date(ms).toISOString().replace('Z', '000000Z')

export const statusText = (c: Container, now: number): string => {
  const since = (t: number | undefined): string => humanDuration(now - (t ?? now))
  switch (c.status) {
    case 'running':
    case 'paused': {
      const health = c.health ? (c.health.status === 'starting' ? ' (health: starting)' : ` (${c.health.status})`) : ''
      return `Up ${since(c.startedAt)}${c.status === 'paused' ? ' (Paused)' : health}`
    }
    case 'restarting':
      return `Restarting (${c.exitCode}) ${since(c.finishedAt)} ago`
    case 'removing':
      return 'Removal In Progress'
    case 'dead':
      return 'Dead'
    case 'created':
      return 'Created'
    case 'exited':
      return c.startedAt === undefined ? 'Created' : `Exited (${c.exitCode}) ${since(c.finishedAt)} ago`
  }
}

export const originOf = (c: Container): Origin | undefined => c.spec.origin as Origin | undefined

const boundAt = ({ hostIp }: PublishedPort): string[] => (hostIp === '' ? ['0.0.0.0', '::'] : [hostIp])

interface PortView {
  IP?: string
  PrivatePort: number
  PublicPort?: number
  Type: string
}
export const portViews = (c: Container, sandbox: Sandbox | undefined, exposed: string[]): PortView[] => {
  const published = (sandbox?.ports ?? []).flatMap((p): PortView[] => {
    if (p.hostPort === 0) return [{ PrivatePort: p.containerPort, Type: p.protocol }]
    return boundAt(p).map((IP) => ({ IP, PrivatePort: p.containerPort, PublicPort: p.hostPort, Type: p.protocol }))
  })
  if (c.status !== 'running' && c.status !== 'paused') return []
  const open = exposed
    .map((key) => key.split('/') as [string, string?])
    .map(([port, type]): PortView => ({ PrivatePort: Number(port), Type: type ?? 'tcp' }))
    .filter((e) => !published.some((p) => p.PrivatePort === e.PrivatePort && p.Type === e.Type))
  return [...published, ...open]
}

/** "80/tcp", each once: "80" is the same. */
export const exposedPorts = async (c: Container, rooms: Pick<Rooms, 'images'>): Promise<string[]> => {
  const image = await rooms.images.get(c.imageId)
  const keys = [
    ...Object.keys(originOf(c)?.Config.ExposedPorts ?? {}),
    ...Object.keys(image?.config.config?.ExposedPorts ?? {}),
  ]
  return [...new Set(keys.map((key) => (key.includes('/') ? key : `${key}/tcp`)))]
}

const endpointView = (
  e: Endpoint | undefined,
  c: Container,
  network: { id: string; name: string; version: ApiVersion; hostname?: string },
  asked: EndpointConfig | undefined,
) => ({
  IPAMConfig: asked?.IPAMConfig ?? null,
  Links: asked?.Links ?? null,
  // Since 1.45 exactly what was asked for; before, the short id as well.
  Aliases:
    network.version[1] >= 45
      ? (asked?.Aliases ?? null)
      : network.name === 'bridge'
        ? null
        : [...new Set([...(asked?.Aliases ?? []), c.id.slice(0, 12), network.hostname ?? ''].filter(Boolean))],
  MacAddress: e?.mac ?? '',
  DriverOpts: asked?.DriverOpts ?? null,
  GwPriority: asked?.GwPriority ?? 0,
  NetworkID: network.id,
  EndpointID: e ? endpointId(network.id, c.sandboxId) : '',
  Gateway: e?.gateway4 ?? '',
  IPAddress: e?.ipv4 ?? '',
  IPPrefixLen: e?.ipv4PrefixLength ?? 0,
  IPv6Gateway: e?.gateway6 ?? '',
  GlobalIPv6Address: e?.ipv6 ?? '',
  GlobalIPv6PrefixLen: e?.ipv6PrefixLength ?? 0,
  DNSNames:
    network.name === 'bridge'
      ? null
      : [
          ...new Set(
            [c.spec.name, ...(asked?.Aliases ?? []), c.id.slice(0, 12), network.hostname ?? ''].filter(Boolean),
          ),
        ],
})

const networkViews = (
  c: Container,
  rooms: Pick<Rooms, 'sandboxes' | 'networks'>,
  version: ApiVersion,
): Record<string, ReturnType<typeof endpointView>> => {
  const sandbox = rooms.sandboxes.get(c.sandboxId)
  const asked = originOf(c)?.Networks ?? {}
  const network = sandbox?.spec.network
  if (!network) return {}
  if (network.mode === 'host' || network.mode === 'none') {
    const name = network.mode
    return {
      [name]: endpointView(undefined, c, { id: rooms.networks.get(name)?.id ?? '', name, version }, asked[name]),
    }
  }
  if (network.mode === 'sandbox') return {}
  const views: Record<string, ReturnType<typeof endpointView>> = {}
  for (const a of network.attachments) {
    const found = rooms.networks.get(a.network)
    const name = found?.spec.name ?? a.network
    const endpoint = sandbox.endpoints.find((e) => e.networkName === name || e.networkId === found?.id)
    views[name] = endpointView(
      endpoint,
      c,
      { id: found?.id ?? '', name, version, hostname: sandbox.spec.hostname },
      (a.origin as EndpointConfig | undefined) ?? asked[name] ?? { Aliases: a.aliases },
    )
  }
  return views
}

const mountOf = (c: Container, { target }: Container['mounts'][number]) =>
  originOf(c)?.HostConfig.Mounts?.find((mount) => posix.resolve('/', mount.Target ?? '') === target)

/** As given after the last colon of `-v`; named volumes say 'z' without. */
const modeText = (c: Container, m: Container['mounts'][number]): string => {
  const bind = originOf(c)?.HostConfig.Binds?.find((b) => b.split(':')[1] === m.target)
  const named = m.type === 'volume' && (m.volume !== '' || mountOf(c, m) !== undefined)
  return bind?.split(':')[2] ?? (named ? 'z' : '')
}

const mountViews = (c: Container) =>
  c.mounts
    // Of temporary ones those of --mount; those of --tmpfs are options of the host.
    .filter((m) => m.type !== 'tmpfs' || mountOf(c, m) !== undefined)
    .map((m) => ({
      Type: m.type,
      ...(m.type === 'volume' ? { Name: m.name ?? m.volume } : {}),
      Source: m.type === 'bind' ? m.source : m.type === 'tmpfs' ? '' : (m.hostPath ?? ''),
      Destination: m.target,
      ...(m.type === 'volume' ? { Driver: 'local' } : {}),
      Mode: modeText(c, m),
      RW: 'readOnly' in m ? !m.readOnly : m.type === 'tmpfs',
      Propagation: m.type === 'bind' ? (m.propagation ?? 'rprivate') : '',
    }))

/** The first word as it is, the others quoted where they have blanks. */
export const commandText = (c: Container): string =>
  c.process.args.map((word, i) => (i > 0 && word.includes(' ') ? `'${word}'` : word)).join(' ')

export const listView = async (
  c: Container,
  rooms: Rooms,
  options: { size: boolean; now: number; version: ApiVersion; links: ReadonlyMap<string, string[]> },
) => {
  const image = await rooms.images.get(c.imageId)
  const exposed = await exposedPorts(c, rooms)
  return {
    Id: c.id,
    Names: [`/${c.spec.name}`, ...(options.links.get(c.sandboxId) ?? [])],
    Image: await imageText(c, image?.names ?? [], rooms),
    ImageID: c.imageId,
    Command: commandText(c),
    Created: Math.floor(c.createdAt / 1000),
    Ports: portViews(c, rooms.sandboxes.get(c.sandboxId), exposed),
    Labels: { ...image?.config.config?.Labels, ...c.spec.labels },
    State: c.status,
    Status: statusText(c, options.now),
    HostConfig: {
      NetworkMode: modeOf(c),
      ...(options.version[1] >= 46 && Object.keys(c.spec.annotations).length > 0
        ? { Annotations: c.spec.annotations }
        : {}),
    },
    NetworkSettings: { Networks: networkViews(c, rooms, options.version) },
    Mounts: mountViews(c),
    ...(options.size ? await sizesOf(c, image, rooms) : {}),
  }
}

/** Pods' containers are created by image id; a name says more. A name that means another image by now says less. */
const imageText = async (c: Container, names: string[], rooms: Pick<Rooms, 'images'>): Promise<string> => {
  if ('own' in c.spec.sandbox || !/^(sha256:)?[0-9a-f]{64}$/.test(c.spec.image))
    return (await isStill(c, rooms)) ? c.spec.image : c.imageId
  const name = names[0]
  return name ? name.replace(/^docker\.io\/(library\/)?/, '') : c.spec.image
}

/** Does the name still mean this image, or several of which it is one? */
const isStill = async ({ spec, imageId }: Container, { images }: Pick<Rooms, 'images'>): Promise<boolean> => {
  if ((await images.get(spec.image))?.id === imageId) return true
  return spec.platform !== undefined && (await images.get(imageId))?.within?.includes(wholeName(spec.image)) === true
}

/** The second counts the image too. */
const sizesOf = async (
  c: Container,
  image: Image | undefined,
  rooms: Rooms,
): Promise<{ SizeRw: number; SizeRootFs: number }> => {
  const own = await rooms.containers.diskUsage(c.id)
  return { SizeRw: own, SizeRootFs: own + (image?.size ?? 0) }
}

const modeOf = (c: Container): string => {
  const host = originOf(c)?.HostConfig
  if (host) return networkMode(host)
  return 'shared' in c.spec.sandbox ? `sandbox:${c.spec.sandbox.shared}` : 'bridge'
}

const isUp = (c: Container): boolean => c.status === 'running' || c.status === 'paused' || c.status === 'restarting'

const stateView = (c: Container) => ({
  Status: c.status,
  Running: isUp(c),
  Paused: c.status === 'paused',
  Restarting: c.status === 'restarting',
  OOMKilled: c.oomKilled,
  Dead: c.status === 'dead',
  Pid: c.pid,
  ExitCode: c.exitCode,
  Error: c.error,
  StartedAt: iso(c.startedAt),
  FinishedAt: iso(c.finishedAt),
  ...(c.health
    ? {
        Health: {
          Status: c.health.status,
          FailingStreak: c.health.failingStreak,
          Log: c.health.log.map((l) => ({
            Start: iso(l.start),
            End: iso(l.end),
            ExitCode: l.exitCode,
            Output: l.output,
          })),
        },
      }
    : {}),
})

const settingsView = async (c: Container, rooms: Rooms, version: ApiVersion) => {
  const sandbox = rooms.sandboxes.get(c.sandboxId)
  const networks = networkViews(c, rooms, version)
  // Pods are on one network only, and nobody who looks at them from here knows its name.
  const first = 'shared' in c.spec.sandbox ? Object.values(networks)[0] : networks.bridge
  const ports: Record<string, { HostIp: string; HostPort: string }[] | null> = {}
  if (isUp(c)) {
    for (const key of await exposedPorts(c, rooms)) ports[key] = null
    for (const p of sandbox?.ports ?? []) {
      const key = `${p.containerPort}/${p.protocol}`
      const hostPort = p.hostPort === 0 ? '' : String(p.hostPort)
      ports[key] = [...(ports[key] ?? []), ...boundAt(p).map((HostIp) => ({ HostIp, HostPort: hostPort }))]
    }
  }
  return {
    Bridge: '',
    SandboxID: c.sandboxId,
    SandboxKey: sandbox?.namespaces.net ?? '',
    Ports: ports,
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: first?.EndpointID ?? '',
    Gateway: first?.Gateway ?? '',
    GlobalIPv6Address: first?.GlobalIPv6Address ?? '',
    GlobalIPv6PrefixLen: first?.GlobalIPv6PrefixLen ?? 0,
    IPAddress: first?.IPAddress ?? '',
    IPPrefixLen: first?.IPPrefixLen ?? 0,
    IPv6Gateway: first?.IPv6Gateway ?? '',
    MacAddress: first?.MacAddress ?? '',
    Networks: networks,
  }
}

export const inspectView = async (c: Container, rooms: Rooms, options: { size: boolean; version: ApiVersion }) => {
  const image = await rooms.images.get(c.imageId)
  const sandbox = rooms.sandboxes.get(c.sandboxId)
  const [path = '', ...args] = c.process.args
  const settings = await settingsView(c, rooms, options.version)
  const execIds = rooms.containers.execIds(c.id)
  return {
    Id: c.id,
    Created: iso(c.createdAt),
    Path: path,
    Args: args,
    State: stateView(c),
    Image: c.imageId,
    ResolvConfPath: sandbox?.files.resolvConf ?? '',
    HostnamePath: sandbox?.files.hostname ?? '',
    HostsPath: sandbox?.files.hosts ?? '',
    LogPath: c.paths.log,
    Name: `/${c.spec.name}`,
    RestartCount: c.restartCount,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: rooms.containers.apparmorProfile(c),
    ExecIDs: execIds.length > 0 ? execIds : null,
    HostConfig: hostConfigView(c),
    GraphDriver: { Name: 'overlay2', Data: { MergedDir: c.paths.rootfs } },
    ...(options.size ? await sizesOf(c, image, rooms) : {}),
    Mounts: mountViews(c),
    Config: {
      ...configView(c, image?.config.config, sandbox),
      ...chosenMac(c, sandbox, rooms),
    },
    NetworkSettings: settings,
  }
}

/** The address that was asked for, never one that was made up. */
const chosenMac = (c: Container, sandbox: Sandbox | undefined, rooms: Pick<Rooms, 'networks'>): ContainerConfig => {
  const network = sandbox?.spec.network
  if (network?.mode !== 'attached') return {}
  const main = rooms.networks.get(modeOf(c))?.spec.name ?? modeOf(c)
  const mac = network.attachments.find((a) => a.network === main)?.mac
  return mac ? { MacAddress: mac } : {}
}

const configView = (
  c: Container,
  image: ContainerConfig | object | undefined,
  sandbox: Sandbox | undefined,
): ContainerConfig & Record<string, unknown> => {
  const asked = originOf(c)?.Config ?? {}
  const base = (image ?? {}) as ContainerConfig
  const exposed = { ...base.ExposedPorts, ...asked.ExposedPorts }
  const volumes = { ...base.Volumes, ...asked.Volumes }
  const none = c.spec.entrypoint?.length === 1 && c.spec.entrypoint[0] === ''
  const entrypoint = none ? null : (c.spec.entrypoint ?? (base.Entrypoint as string[] | null | undefined) ?? null)
  return {
    Hostname: asked.Hostname || sandbox?.spec.hostname || '',
    Domainname: asked.Domainname ?? '',
    User: c.spec.user ?? base.User ?? '',
    AttachStdin: asked.AttachStdin ?? false,
    AttachStdout: asked.AttachStdout ?? false,
    AttachStderr: asked.AttachStderr ?? false,
    ...(Object.keys(exposed).length > 0 ? { ExposedPorts: exposed } : {}),
    Tty: c.spec.tty,
    OpenStdin: c.spec.stdin,
    StdinOnce: c.spec.stdinOnce,
    Env: c.process.env,
    Cmd: c.spec.cmd?.length ? c.spec.cmd : c.spec.entrypoint?.length ? null : (base.Cmd ?? null),
    ...((asked.Healthcheck ?? (base as ContainerConfig).Healthcheck)
      ? { Healthcheck: asked.Healthcheck ?? (base as ContainerConfig).Healthcheck }
      : {}),
    Image: c.spec.image,
    Volumes: Object.keys(volumes).length > 0 ? volumes : null,
    WorkingDir: c.spec.workingDir ?? base.WorkingDir ?? '',
    Entrypoint: entrypoint,
    OnBuild: null,
    Labels: { ...base.Labels, ...c.spec.labels },
    ...((c.spec.stopSignal ?? base.StopSignal) ? { StopSignal: c.spec.stopSignal ?? base.StopSignal } : {}),
    ...(asked.StopTimeout == null ? {} : { StopTimeout: asked.StopTimeout }),
  }
}

const linkView = (c: Container, link: string): string => {
  const { reference, alias } = splitLink(link)
  return `/${reference}:/${c.spec.name}/${alias}`
}

/** Fields that clients send empty when they mean the default. */
const defaulted = new Set(['CgroupnsMode', 'IpcMode', 'Runtime', 'ShmSize'])
const stated = (host: HostConfig): HostConfig =>
  Object.fromEntries(Object.entries(host).filter(([k, v]) => v || !defaulted.has(k)))

const hostConfigView = (c: Container): HostConfig & Record<string, unknown> => {
  const host = originOf(c)?.HostConfig ?? {}
  const r = c.spec.resources
  return {
    Binds: null,
    ContainerIDFile: '',
    PortBindings: {},
    VolumeDriver: '',
    VolumesFrom: null,
    ConsoleSize: [0, 0],
    CapAdd: null,
    CapDrop: null,
    CgroupnsMode: c.spec.cgroupnsMode ?? (hasCgroup2() ? 'private' : 'host'),
    Dns: [],
    DnsOptions: [],
    DnsSearch: [],
    ExtraHosts: null,
    GroupAdd: null,
    IpcMode: 'private',
    Cgroup: '',
    OomScoreAdj: c.spec.oomScoreAdj ?? 0,
    PidMode: '',
    Privileged: c.spec.security.privileged,
    PublishAllPorts: false,
    ReadonlyRootfs: c.spec.security.readOnlyRootfs,
    SecurityOpt: null,
    UTSMode: '',
    UsernsMode: '',
    ShmSize: 67108864,
    Runtime: 'runc',
    Isolation: '',
    BlkioWeightDevice: [],
    BlkioDeviceReadBps: [],
    BlkioDeviceWriteBps: [],
    BlkioDeviceReadIOps: [],
    BlkioDeviceWriteIOps: [],
    Devices: [],
    DeviceCgroupRules: null,
    DeviceRequests: null,
    OomKillDisable: false,
    Ulimits: null,
    ...stated(host),
    Links: host.Links?.length ? host.Links.map((link) => linkView(c, link)) : null,
    NetworkMode: modeOf(c),
    AutoRemove: c.spec.autoRemove,
    LogConfig: { Type: c.spec.log.driver, Config: c.spec.log.options },
    RestartPolicy: { Name: c.spec.restart.policy, MaximumRetryCount: c.spec.restart.maxRetries },
    CpuShares: r.cpuShares ?? 0,
    Memory: r.memory ?? 0,
    NanoCpus: host.NanoCpus ?? 0,
    CgroupParent: c.spec.cgroupParent ?? '',
    BlkioWeight: r.blkioWeight ?? 0,
    CpuPeriod: host.NanoCpus ? 0 : (r.cpuPeriod ?? 0),
    CpuQuota: host.NanoCpus ? 0 : (r.cpuQuota ?? 0),
    CpuRealtimePeriod: r.cpuRealtimePeriod ?? 0,
    CpuRealtimeRuntime: r.cpuRealtimeRuntime ?? 0,
    CpusetCpus: r.cpusetCpus ?? '',
    CpusetMems: r.cpusetMems ?? '',
    MemoryReservation: r.memoryReservation ?? 0,
    MemorySwap: r.memorySwap ?? (r.memory ?? 0) * 2,
    MemorySwappiness: r.memorySwappiness ?? null,
    PidsLimit: r.pidsLimit ?? null,
    MaskedPaths: c.spec.security.maskedPaths ?? defaultMasked,
    ReadonlyPaths: c.spec.security.readOnlyPaths ?? defaultReadOnly,
    ...(c.spec.init ? { Init: true } : {}),
  }
}
/** Without the unified hierarchy there is no cgroup namespace by default. */
const hasCgroup2 = (): boolean => existsSync('/sys/fs/cgroup/cgroup.controllers')
const defaultMasked = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]
const defaultReadOnly = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']
