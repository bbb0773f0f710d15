import { readFileSync } from 'node:fs'
import { arch, cpus, hostname, release, totalmem } from 'node:os'
import type { Builder } from '../../build/types.ts'
import type { Engine, EngineEvent, Instance } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { registryOfKey } from '../../spec/docker/config.ts'
import type { Sys } from '../../sys/sys.ts'
import { diskUsage } from './disk-usage.ts'
import { Filters, instant, isTrue } from './filters.ts'
import { isShown } from './images.ts'
import { type AuthConfig, credentialsIn } from './registry-auth.ts'
import { apiVersion, type Exchange, minApiVersion, type Route, route } from './server.ts'

interface SystemBackend {
  engine: Engine
  builder: Pick<Builder, 'prune' | 'cacheUsage'>
  sys: Pick<Sys, 'cgroups' | 'processes'>
  instance: Instance
  version: string
  clock: Clock
}

const goArch = (): string => ({ x64: 'amd64', arm64: 'arm64' })[arch() as 'x64'] ?? arch()
const fileLine = (path: string, pattern: RegExp): string => {
  try {
    return pattern.exec(readFileSync(path, 'utf8'))?.[1]?.replace(/^"|"$/g, '') ?? ''
  } catch {
    return ''
  }
}

export const systemRoutes = (backend: SystemBackend): Route[] => [
  route('GET', '/_ping', (x) =>
    x.send(200, 'OK', { 'Cache-Control': 'no-cache, no-store, must-revalidate', Pragma: 'no-cache' }),
  ),
  route('GET', '/version', async (x) => x.send(200, await versionView(backend))),
  route('GET', '/info', async (x) => x.send(200, infoAsOf(x.version, await infoView(backend)))),
  route('GET', '/events', (x) => events(backend, x)),
  route('GET', '/system/df', async (x) => x.send(200, await diskUsage(backend, x))),
  route('POST', '/auth', async (x) => {
    const body = await x.json<AuthConfig & { serveraddress?: string }>()
    const registry = registryOfKey(body.serveraddress || 'docker.io')
    const auth = credentialsIn(body)
    if (!auth) throw new SlipwayError('bad-request', 'no credentials given')
    const { identityToken } = await backend.engine.images.login(registry, auth, x.signal)
    x.send(200, { Status: 'Login Succeeded', IdentityToken: identityToken ?? '' })
  }),
  route('POST', '/build/prune', async (x) => {
    const filters = Filters.parse(x.query.get('filters'), ['until', 'unused-for', ...cacheFields])
    const bytes = (name: string): number => Number(x.query.get(name) ?? 0)
    const now = backend.clock.now()
    const { deleted, reclaimed } = await backend.builder.prune({
      all: isTrue(x.query.get('all')),
      filters: cacheFilters(filters),
      until: filters.time('until', now) ?? filters.time('unused-for', now),
      reservedBytes: bytes('reserved-space') || bytes('keep-storage'),
      maxUsedBytes: bytes('max-used-space'),
      minFreeBytes: bytes('min-free-space'),
    })
    x.send(200, { CachesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed })
  }),
]

const cacheFields = ['id', 'parent', 'type', 'description', 'inuse', 'shared', 'private']

/** One value each; all must hold. An id may be given in part. */
const cacheFilters = (filters: Filters): string[] => {
  const parts = cacheFields.flatMap((field) => {
    const [value, ...more] = filters.get(field)
    if (value === undefined) return []
    if (more.length > 0)
      throw new SlipwayError('bad-request', `filters: multiple values for "${field}": expected only one value`)
    if (['inuse', 'shared', 'private'].includes(field) && value === '') return [field]
    return [`${field}${field === 'id' ? '~=' : '=='}${JSON.stringify(value)}`]
  })
  return parts.length > 0 ? [parts.join(',')] : []
}

const versionView = async ({ version, sys }: SystemBackend) => {
  const runtime = await sys.processes.ociRuntime()
  const base = {
    Version: version,
    ApiVersion: apiVersion,
    MinAPIVersion: minApiVersion,
    GitCommit: 'none',
    GoVersion: `node ${process.versions.node}`,
    Os: 'linux',
    Arch: goArch(),
    KernelVersion: release(),
    BuildTime: '2026-01-01T00:00:00.000000000+00:00',
  }
  return {
    Platform: { Name: 'slipway' },
    Components: [
      {
        Name: 'Engine',
        Version: version,
        Details: {
          ApiVersion: apiVersion,
          Arch: base.Arch,
          BuildTime: base.BuildTime,
          Experimental: 'false',
          GitCommit: base.GitCommit,
          GoVersion: base.GoVersion,
          KernelVersion: base.KernelVersion,
          MinAPIVersion: minApiVersion,
          Os: base.Os,
        },
      },
      { Name: runtime.name, Version: runtime.version, Details: { GitCommit: '' } },
    ],
    ...base,
  }
}

const switchedOn = (path: string): boolean => fileLine(path, /^(\d)/) === '1'

/** What does not depend on the machine. */
const offered = {
  Plugins: {
    Volume: ['local'],
    Network: ['bridge', 'host', 'ipvlan', 'macvlan', 'null'],
    Authorization: null,
    Log: ['json-file', 'local', 'none'],
  },
  MemoryLimit: true,
  SwapLimit: true,
  CpuCfsPeriod: true,
  CpuCfsQuota: true,
  CPUShares: true,
  CPUSet: true,
  PidsLimit: true,
  IPv4Forwarding: true,
  Swarm: {
    NodeID: '',
    NodeAddr: '',
    LocalNodeState: 'inactive',
    ControlAvailable: false,
    Error: '',
    RemoteManagers: null,
  },
}

/** What confines containers that nobody has said anything about. */
const securityOptions = ({ containers }: Pick<Engine, 'containers'>, sys: Pick<Sys, 'cgroups'>): string[] => [
  ...(['', 'unconfined'].includes(containers.apparmorProfile()) ? [] : ['name=apparmor']),
  'name=seccomp,profile=builtin',
  ...(sys.cgroups.layout === 'v2' ? ['name=cgroupns'] : []),
]

const infoView = async ({ engine, sys, instance, version, clock }: SystemBackend) => {
  const containers = engine.containers.list()
  const { devices, problems } = await engine.devices.list()
  const warnings = [...engine.networks.warnings(), ...problems]
  const count = (status: string): number => containers.filter((c) => c.status === status).length
  const runtime = await sys.processes.ociRuntime()
  return {
    ID: instance.id,
    Containers: containers.length,
    ContainersRunning: count('running'),
    ContainersPaused: count('paused'),
    ContainersStopped: containers.length - count('running') - count('paused'),
    Images: (await engine.images.list()).filter(isShown).length,
    Driver: 'overlay2',
    DriverStatus: [
      ['Backing Filesystem', 'extfs'],
      ['Supports d_type', 'true'],
      ['Native Overlay Diff', 'true'],
    ],
    ...offered,
    BridgeNfIptables: switchedOn('/proc/sys/net/bridge/bridge-nf-call-iptables'),
    BridgeNfIp6tables: switchedOn('/proc/sys/net/bridge/bridge-nf-call-ip6tables'),
    Debug: false,
    NFd: 0,
    OomKillDisable: sys.cgroups.layout !== 'v2',
    NGoroutines: 0,
    SystemTime: new Date(clock.now()).toISOString(),
    LoggingDriver: 'json-file',
    CgroupDriver: 'cgroupfs',
    CgroupVersion: sys.cgroups.layout === 'v2' ? '2' : '1',
    NEventsListener: 0,
    KernelVersion: release(),
    OperatingSystem: fileLine('/etc/os-release', /^PRETTY_NAME=(.*)$/m),
    OSVersion: fileLine('/etc/os-release', /^VERSION_ID=(.*)$/m),
    OSType: 'linux',
    Architecture: arch() === 'x64' ? 'x86_64' : 'aarch64',
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: registryView(engine.images.registries()),
    NCPU: cpus().length,
    MemTotal: totalmem(),
    GenericResources: null,
    DockerRootDir: instance.stateDir,
    HttpProxy: '',
    HttpsProxy: '',
    NoProxy: '',
    Name: hostname(),
    Labels: [],
    ExperimentalBuild: false,
    ServerVersion: version,
    Runtimes: {
      [runtime.name]: { path: runtime.path },
      ...(runtime.name === 'runc' ? {} : { runc: { path: runtime.path } }),
    },
    DefaultRuntime: 'runc',
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: 'docker-init',
    ContainerdCommit: { ID: '', Expected: '' },
    RuncCommit: { ID: runtime.version, Expected: runtime.version },
    InitCommit: { ID: '', Expected: '' },
    SecurityOptions: securityOptions(engine, sys),
    CDISpecDirs: engine.devices.directories(),
    ...(devices.length > 0 ? { DiscoveredDevices: devices.map(({ name }) => ({ Source: 'cdi', ID: name })) } : {}),
    Warnings: warnings.length > 0 ? warnings.map((each) => `WARNING: ${each}`) : null,
  }
}

/** What older clients are told in another way (moby api/server/router/system). */
const infoAsOf = ([, minor]: readonly [number, number], info: Awaited<ReturnType<typeof infoView>>): object =>
  minor < 25
    ? {
        ...info,
        ExecutionDriver: '<not supported>',
        SecurityOptions: info.SecurityOptions.map((option) => option.replace(/^name=([^,]*).*$/, '$1')),
      }
    : info

/** Hosts that are not spoken to by verified https, and docker.io's mirrors. */
const registryView = ({ mirrors, insecure }: ReturnType<Engine['images']['registries']>) => {
  const hub = mirrors['docker.io'] ?? mirrors['*'] ?? []
  const entry = (Name: string, Secure: boolean, Mirrors: string[]) => ({
    Name,
    Mirrors: Mirrors.map((url) => url.replace(/\/\/[^/@]*@/, '//')),
    Secure,
    Official: Name === 'docker.io',
  })
  const hosts = insecure.filter((each) => !each.includes('/'))
  return {
    InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8', ...insecure.filter((each) => each.includes('/'))],
    IndexConfigs: Object.fromEntries([
      ['docker.io', entry('docker.io', true, hub)],
      ...hosts.map((name) => [name, entry(name, false, [])] as const),
    ]),
    Mirrors: hub.length > 0 ? entry('', true, hub).Mirrors : null,
  }
}

const eventFilters = [
  'config',
  'container',
  'daemon',
  'event',
  'image',
  'label',
  'network',
  'node',
  'plugin',
  'scope',
  'secret',
  'service',
  'type',
  'volume',
]

const events = async ({ engine, clock }: SystemBackend, x: Exchange): Promise<void> => {
  const filters = Filters.parse(x.query.get('filters'), eventFilters)
  const since = instant(x.query.get('since') ?? '', clock.now())
  const until = instant(x.query.get('until') ?? '', clock.now())
  if (since !== undefined && until !== undefined && since > until)
    throw new SlipwayError('bad-request', '`since` time cannot be after `until` time')
  const out = x.stream(200, 'application/json')
  const end = new AbortController()
  x.signal.addEventListener('abort', () => end.abort())
  for await (const event of engine.events.subscribe({
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    signal: end.signal,
  })) {
    if (!wanted(event, filters)) continue
    if (!out.write(`${JSON.stringify(eventView(event))}\n`))
      await new Promise((go) => out.once('drain', go).once('close', go))
  }
  out.end()
}

const wanted = (e: EngineEvent, filters: Filters): boolean => {
  const named = (name: string): boolean =>
    filters.any(
      name,
      (v) =>
        e.type === name && (e.id === v || e.id.startsWith(v) || e.attributes.name === v || e.attributes[name] === v),
    )
  const ofImage = filters.any('image', (v) =>
    e.type === 'image'
      ? e.id === v || e.attributes.name === v
      : e.attributes.image === v || e.attributes.image?.startsWith(`${v}:`) === true,
  )
  return (
    filters.any('type', (v) => e.type === v) &&
    filters.any('event', (v) => e.action === v || e.action.startsWith(`${v}:`)) &&
    filters.any('scope', (v) => v === 'local') &&
    filters.labels(e.attributes) &&
    ofImage &&
    named('container') &&
    named('network') &&
    named('volume')
  )
}

const eventView = (e: EngineEvent) => {
  const legacy =
    e.type === 'container'
      ? { status: e.action, id: e.id, from: e.attributes.image ?? '' }
      : e.type === 'image'
        ? { status: e.action, id: e.id }
        : {}
  return {
    ...legacy,
    Type: e.type,
    Action: e.action,
    Actor: { ID: e.id, Attributes: e.attributes },
    scope: 'local',
    time: Number(e.timeNs / 1_000_000_000n),
    timeNano: Number(e.timeNs),
  }
}
