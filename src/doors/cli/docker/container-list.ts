/** `container ls` and `stats`: containers as rows. */
import { familiarName, formatPlatform, parseReference } from '../../../spec/oci/index.ts'
import { quote, type Value } from '../../../lib/go-template/index.ts'
import type { Listing } from './format.ts'
import { ago, binarySize, ellipsis, humanSize, localTime, shortId } from './units.ts'

export interface Port {
  IP?: string
  PrivatePort: number
  PublicPort?: number
  Type: string
}
export interface ListedContainer {
  Id: string
  Names: string[]
  Image: string
  ImageID: string
  Command: string
  Created: number
  State: string
  Status: string
  Ports: Port[]
  Labels: Record<string, string> | null
  Mounts?: { Type: string; Name?: string; Source: string; Driver?: string }[]
  NetworkSettings?: { Networks: Record<string, object> | null }
  SizeRw?: number
  SizeRootFs?: number
  ImageManifestDescriptor?: { platform?: { os: string; architecture: string; variant?: string } }
}

export const labelsText = (labels: Record<string, string> | null | undefined): string =>
  Object.entries(labels ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(',')

export const labelField =
  (labels: Record<string, string> | null | undefined) => (): ((...args: Value[]) => Value) => (name) =>
    labels?.[String(name)] ?? ''

const joined = (ip: string, port: number | string): string => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)
const compareIps = (a = '', b = ''): number => (a === b ? 0 : a < b ? -1 : 1)

/** Ports that follow each other are one range; those that are published under another number stand by themselves. */
const portsText = (ports: readonly Port[]): string => {
  const sorted = [...ports].sort(
    (a, b) =>
      a.PrivatePort - b.PrivatePort ||
      compareIps(a.IP, b.IP) ||
      (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
      compareIps(a.Type, b.Type),
  )
  const groups = new Map<string, { first: number; last: number; port: Port }>()
  const done: string[] = []
  const mapped: string[] = []
  for (const port of sorted) {
    const { IP = '', PublicPort, PrivatePort, Type } = port
    if (IP !== '' && PublicPort !== PrivatePort) {
      mapped.push(`${joined(IP, PublicPort!)}->${PrivatePort}/${Type}`)
      continue
    }
    const key = `${IP}/${Type}`
    const group = groups.get(key)
    if (group && PrivatePort === group.last + 1) group.last = PrivatePort
    else {
      if (group) done.push(groupText(group))
      groups.set(key, { first: PrivatePort, last: PrivatePort, port })
    }
  }
  return [...done, ...[...groups.values()].map(groupText), ...mapped].join(', ')
}
const groupText = ({ first, last, port }: { first: number; last: number; port: Port }): string => {
  const numbers = first === last ? `${first}` : `${first}-${last}`
  return `${port.IP ? `${joined(port.IP, numbers)}->${numbers}` : numbers}/${port.Type}`
}

const imageText = ({ Image, ImageID }: ListedContainer, cut: boolean): string => {
  if (Image === '') return '<no image>'
  if (!cut) return Image
  if (shortId(ImageID) === shortId(Image)) return shortId(ImageID)
  try {
    const { digest: _, ...named } = parseReference(Image)
    return familiarName(named)
  } catch {
    return Image // an id
  }
}

const namesText = (names: readonly string[], cut: boolean): string => {
  const plain = names.map((name) => name.replace(/^\//, ''))
  return cut ? (plain.find((name) => !name.includes('/')) ?? '') : plain.join(',')
}

const sizeText = ({ SizeRw = 0, SizeRootFs = 0 }: ListedContainer): string =>
  SizeRootFs > 0 ? `${humanSize(SizeRw, 3)} (virtual ${humanSize(SizeRootFs, 3)})` : humanSize(SizeRw, 3)

export const containerTable =
  'table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}'

export const containerRaw = (size: boolean): string =>
  `container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
${size ? 'size: {{.Size}}\n' : ''}`

/** `cut`: ids, commands and mounts are shortened. */
export const containers = (cut: boolean): Listing<ListedContainer> => ({
  type: 'formatter.ContainerContext',
  headers: {
    ID: 'CONTAINER ID',
    Names: 'NAMES',
    Image: 'IMAGE',
    Command: 'COMMAND',
    CreatedAt: 'CREATED AT',
    RunningFor: 'CREATED',
    Ports: 'PORTS',
    State: 'STATE',
    Status: 'STATUS',
    Size: 'SIZE',
    Labels: 'LABELS',
    Mounts: 'MOUNTS',
    LocalVolumes: 'LOCAL VOLUMES',
    Networks: 'NETWORKS',
    Platform: 'PLATFORM',
  },
  fields: (c) => ({
    ID: () => (cut ? shortId(c.Id) : c.Id),
    Names: () => namesText(c.Names, cut),
    Image: () => imageText(c, cut),
    Command: () => quote(cut ? ellipsis(c.Command, 20) : c.Command),
    CreatedAt: () => localTime(c.Created * 1000),
    RunningFor: () => ago(c.Created),
    Ports: () => portsText(c.Ports),
    State: () => c.State,
    Status: () => c.Status,
    Size: () => sizeText(c),
    Labels: () => labelsText(c.Labels),
    Label: labelField(c.Labels),
    Mounts: () =>
      (c.Mounts ?? []).map(({ Name, Source }) => (cut ? ellipsis(Name || Source, 15) : Name || Source)).join(','),
    LocalVolumes: () => String((c.Mounts ?? []).filter(({ Driver }) => Driver === 'local').length),
    Networks: () => Object.keys(c.NetworkSettings?.Networks ?? {}).join(','),
    Platform: () => {
      const platform = c.ImageManifestDescriptor?.platform
      return platform ? formatPlatform(platform) : null
    },
  }),
})

/** One answer of GET /containers/ID/stats. */
export interface StatsAnswer {
  name?: string
  id?: string
  cpu_stats: CpuStats
  precpu_stats: CpuStats
  memory_stats: { usage?: number; limit?: number; stats?: Record<string, number> }
  networks?: Record<string, { rx_bytes: number; tx_bytes: number }>
  blkio_stats: { io_service_bytes_recursive?: { op: string; value: number }[] | null }
  pids_stats: { current?: number }
}
interface CpuStats {
  cpu_usage: { total_usage: number; percpu_usage?: number[] | null }
  system_cpu_usage?: number
  online_cpus?: number
}
export interface MeasuredContainer {
  container: string
  /** Nothing yet, or no more. */
  stats: StatsAnswer | undefined
}

const cpuPercent = ({ cpu_stats: now, precpu_stats: before }: StatsAnswer): number => {
  const used = now.cpu_usage.total_usage - before.cpu_usage.total_usage
  const passed = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0)
  const cpus = now.online_cpus || now.cpu_usage.percpu_usage?.length || 0
  return used > 0 && passed > 0 ? (used / passed) * cpus * 100 : 0
}
/** Without pages that could be dropped: cgroup 1 and cgroup 2 name them differently. */
const memoryUsed = ({ usage = 0, stats = {} }: StatsAnswer['memory_stats']): number => {
  const idle = stats.total_inactive_file ?? stats.inactive_file ?? 0
  return idle < usage ? usage - idle : usage
}
const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)
const blockBytes = ({ blkio_stats }: StatsAnswer, letter: string): number =>
  sum(
    (blkio_stats.io_service_bytes_recursive ?? [])
      .filter(({ op }) => op.toLowerCase().startsWith(letter))
      .map(({ value }) => value),
  )

export const statsTable =
  'table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}'

export const measurements = (cut: boolean): Listing<MeasuredContainer> => ({
  type: 'container.statsContext',
  headers: {
    Container: 'CONTAINER',
    Name: 'NAME',
    ID: 'CONTAINER ID',
    CPUPerc: 'CPU %',
    MemUsage: 'MEM USAGE / LIMIT',
    MemPerc: 'MEM %',
    NetIO: 'NET I/O',
    BlockIO: 'BLOCK I/O',
    PIDs: 'PIDS',
  },
  fields: ({ container, stats }) => {
    const shown =
      (text: (s: StatsAnswer) => string, none = '--') =>
      () =>
        stats ? text(stats) : none
    const percent = (n: number): string => `${n.toFixed(2)}%`
    const both = (a: number, b: number): string => `${humanSize(a, 3)} / ${humanSize(b, 3)}`
    const networks = Object.values(stats?.networks ?? {})
    return {
      Container: () => container,
      Name: () => stats?.name?.replace(/^\//, '') || '--',
      ID: () => {
        const id = stats?.id || '--'
        return cut ? id.slice(0, 12) : id
      },
      CPUPerc: shown((s) => percent(cpuPercent(s))),
      MemUsage: shown(({ memory_stats: m }) => `${binarySize(memoryUsed(m))} / ${binarySize(m.limit ?? 0)}`, '-- / --'),
      MemPerc: shown(({ memory_stats: m }) => percent(m.limit ? (memoryUsed(m) / m.limit) * 100 : 0)),
      NetIO: shown(() => both(sum(networks.map((n) => n.rx_bytes)), sum(networks.map((n) => n.tx_bytes)))),
      BlockIO: shown((s) => both(blockBytes(s, 'r'), blockBytes(s, 'w'))),
      PIDs: shown((s) => String(s.pids_stats.current ?? 0)),
    }
  },
})
