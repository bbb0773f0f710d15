/** A create request as an engine container: pure, but for the lookups it is given. */
import type { Container, ContainerSpec, SandboxSpec, VolumeSpec } from '../../engine/types.ts'
import { checkCreate, extraHost } from './container-checks.ts'
import { bad, defined, positive } from './container-fields.ts'
import { type Parts, resourcesOf, securityOf } from './container-limits.ts'
import { findLinked, type Linked, linkHost, linkOf, networkOwner } from './container-links.ts'
import { logOf } from './container-log.ts'
import { mountsOf } from './container-mounts.ts'
import { attachment, checkAddresses, portsOf } from './container-network.ts'
import { asOf } from './container-version.ts'
import type { ContainerConfig, CreateBody, EndpointConfig, HostConfig, Origin } from './wire.ts'

interface CreateLookups {
  container(reference: string): Container
  /** Of the network that `reference` means; itself where there is none. */
  networkName(reference: string): string
  /** "80/tcp": of the container and its image. */
  exposedBy(container: Container): string[]
  /** Ports the image exposes, and whether it is there at all. */
  imagePorts: string[]
  parts: Parts
  /** Of this machine: the name of containers on its network. */
  hostname: string
  /** Of the API that was asked. */
  version: readonly [number, number]
  /** The daemon's data. */
  root: string
}
interface CreatePlan {
  spec: ContainerSpec
  /** Volumes to make first, with their labels and driver options. */
  volumes: VolumeSpec[]
  warnings: string[]
}

const wordsOf = (value: string[] | string | null | undefined): string[] | undefined =>
  value == null ? undefined : typeof value === 'string' ? [value] : value

export const planCreate = (name: string, body: CreateBody, find: CreateLookups): CreatePlan => {
  const { body: heard, warnings } = asOf(find.version, body)
  const { HostConfig: asked = {}, NetworkingConfig, ...config } = heard
  if (Object.keys(config).length === 0) throw bad('config cannot be empty in order to create a container')
  if (!config.Image) throw bad(config.Cmd || config.Entrypoint ? 'no image specified' : 'no command specified')
  checkCreate(config, asked)
  if (asked.NetworkMode === `container:${name}`) throw bad('cannot join own network')
  const host = joinedById(asked, find)
  if (host.Isolation && host.Isolation !== 'default')
    throw bad(`Invalid isolation: "${host.Isolation}" - linux only supports 'default'`)
  const volumes: VolumeSpec[] = []
  const networks = networksOf(host, NetworkingConfig?.EndpointsConfig ?? {}, find)
  // Elsewhere links are names on the network; on the default bridge they are lines of /etc/hosts.
  const linked = networkMode(host) === 'bridge' ? (host.Links ?? []).map((link) => findLinked(link, find)) : []
  const origin: Origin = { Config: config, HostConfig: host, Networks: networks }
  const entrypoint = wordsOf(config.Entrypoint)
  const cmd = wordsOf(config.Cmd)
  const spec: ContainerSpec = {
    name,
    image: config.Image,
    ...(entrypoint ? { entrypoint } : {}),
    ...(cmd ? { cmd } : {}),
    env: config.Env ?? [],
    ...defined({ workingDir: config.WorkingDir || undefined, user: config.User || undefined }),
    groups: host.GroupAdd ?? [],
    tty: config.Tty ?? false,
    ...(host.ConsoleSize?.[0] && host.ConsoleSize[1]
      ? { consoleSize: { height: host.ConsoleSize[0], width: host.ConsoleSize[1] } }
      : {}),
    stdin: config.OpenStdin ?? false,
    stdinOnce: config.StdinOnce ?? false,
    labels: config.Labels ?? {},
    annotations: host.Annotations ?? {},
    sandbox: { own: sandboxOf(name, config, host, networks, find, linked) },
    ...(linked.length > 0 ? { links: linked.map(linkOf) } : {}),
    ...namespacesOf(host),
    mounts: mountsOf(config, host, find, volumes),
    devices: (host.Devices ?? []).map((d) => ({
      hostPath: d.PathOnHost,
      containerPath: d.PathInContainer || d.PathOnHost,
      permissions: d.CgroupPermissions || 'rwm',
    })),
    deviceRequests: (host.DeviceRequests ?? []).map((each) => ({
      driver: each.Driver ?? '',
      count: each.Count ?? 0,
      ids: each.DeviceIDs ?? [],
      capabilities: each.Capabilities ?? [],
      options: each.Options ?? {},
    })),
    deviceCgroupRules: host.DeviceCgroupRules ?? [],
    resources: resourcesOf(host, find.parts),
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
  return { spec, volumes, warnings }
}

export const restartOf = (host: HostConfig): ContainerSpec['restart'] => {
  const policy = host.RestartPolicy?.Name || 'no'
  const maxRetries = host.RestartPolicy?.MaximumRetryCount ?? 0
  if (policy !== 'no' && policy !== 'always' && policy !== 'unless-stopped' && policy !== 'on-failure')
    throw bad(
      `invalid restart policy: unknown policy '${policy}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    )
  if (maxRetries < 0) throw bad(`invalid restart policy: maximum retry count cannot be negative`)
  if (maxRetries !== 0 && policy !== 'on-failure')
    throw bad(`invalid restart policy: maximum retry count can only be used with 'on-failure'`)
  if (host.AutoRemove && policy !== 'no') throw bad(`can't create 'AutoRemove' container with restart policy`)
  return { policy, maxRetries }
}

/** The mode as docker names it: bridge by default. */
export const networkMode = (host: HostConfig): string =>
  !host.NetworkMode || host.NetworkMode === 'default' ? 'bridge' : host.NetworkMode

/** By their names: a request may say one network by its id in one place and by its name in another. */
const networksOf = (
  host: HostConfig,
  given: Record<string, EndpointConfig | null>,
  find: CreateLookups,
): Record<string, EndpointConfig> => {
  const mode = find.networkName(networkMode(host))
  const all: Record<string, EndpointConfig> = {}
  for (const [key, endpoint] of Object.entries(given)) {
    const name = find.networkName(key === 'default' ? 'bridge' : key)
    all[name] = { ...all[name], ...endpoint }
  }
  if (['host', 'none'].includes(mode) || mode.startsWith('container:')) {
    for (const [name, endpoint] of Object.entries(all)) checkAddresses(name, endpoint)
    return all
  }
  const own = all[mode] ?? {}
  const links = mode === 'bridge' ? [] : (host.Links ?? [])
  return { ...all, [mode]: links.length > 0 ? { ...own, Links: [...(own.Links ?? []), ...links] } : own }
}

type OwnSandbox = Omit<SandboxSpec, 'id'>
const sandboxOf = (
  name: string,
  config: ContainerConfig,
  host: HostConfig,
  networks: Record<string, EndpointConfig>,
  find: CreateLookups,
  linked: readonly Linked[],
): OwnSandbox => {
  const mode = networkMode(host)
  const shared = mode.startsWith('container:') ? find.container(mode.slice(10)) : undefined
  const network: SandboxSpec['network'] = shared
    ? { mode: 'sandbox', id: networkOwner(shared) }
    : mode === 'none' || config.NetworkDisabled
      ? { mode: 'none' }
      : mode === 'host'
        ? { mode: 'host' }
        : {
            mode: 'attached',
            attachments: Object.entries(networks).map(([n, e]) => attachment(n, e)),
          }
  return {
    hostname: config.Hostname || (mode === 'host' ? find.hostname : ''),
    names: [name],
    ...defined({ domainname: config.Domainname || undefined, shmSize: positive(host.ShmSize) }),
    network,
    ports: mode === 'host' || shared ? [] : portsOf(config, host, find.imagePorts),
    dns: { servers: host.Dns ?? [], searches: host.DnsSearch ?? [], options: host.DnsOptions ?? [] },
    hosts: [...(host.ExtraHosts ?? []).map(extraHost), ...linked.map(linkHost)],
    sysctls: Object.fromEntries(Object.entries(host.Sysctls ?? {}).filter(([k]) => k.startsWith('net.'))),
    labels: {},
    ...(host.IpcMode === 'shareable' ? {} : { hostIpc: true }),
  }
}

/** Containers whose namespaces are joined, by id: a name may mean another one by the time of a start. */
const joinedById = (host: HostConfig, find: CreateLookups): HostConfig => {
  const byId = (mode: string | undefined): string | undefined =>
    mode?.startsWith('container:') ? `container:${find.container(mode.slice('container:'.length)).id}` : mode
  const { PidMode, IpcMode, NetworkMode } = host
  return { ...host, ...defined({ PidMode: byId(PidMode), IpcMode: byId(IpcMode), NetworkMode: byId(NetworkMode) }) }
}

const namespacesOf = (host: HostConfig): Partial<ContainerSpec> =>
  defined({
    pidMode: host.PidMode || undefined,
    ipcMode: host.IpcMode === 'shareable' ? undefined : host.IpcMode || 'private',
    utsMode: host.UTSMode || undefined,
    usernsMode: host.UsernsMode || undefined,
    cgroupnsMode: (host.CgroupnsMode || undefined) as 'private' | 'host' | undefined,
    cgroupParent: host.CgroupParent || undefined,
  })
