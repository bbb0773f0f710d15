import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import type { Container, ContainerStats, Engine } from '../../engine/types.ts'
import type { Clock } from '../../lib/clock.ts'
import { isTrue } from './filters.ts'
import { type Exchange, type Route, route } from './server.ts'

const intervalMs = 1000

export const statsRoutes = ({ containers }: Pick<Engine, 'containers'>, clock: Clock): Route[] => [
  route('GET', '/containers/:id/stats', (x) => stats(containers, clock, x)),
]

const isUp = (c: Container | undefined): boolean => c?.status === 'running' || c?.status === 'paused'

interface Sample {
  stats: ContainerStats | undefined
  systemNs: number
  read: number
}

const stats = async (containers: Engine['containers'], clock: Clock, x: Exchange): Promise<void> => {
  const { id } = containers.must(x.params.id!)
  const stream = x.query.get('stream') === null || isTrue(x.query.get('stream'))
  const oneShot = x.version[1] >= 41 && isTrue(x.query.get('one-shot'))
  const take = async (): Promise<Sample> => ({
    stats: isUp(containers.get(id)) ? await containers.stats(id) : undefined,
    systemNs: hostCpuNs(),
    read: clock.now(),
  })
  let before: Sample | undefined
  if (!stream) {
    // Nothing to wait for where nothing runs.
    if (!oneShot && isUp(containers.get(id))) {
      before = await take()
      await clock.sleep(intervalMs, x.signal)
    }
    return x.send(200, view(containers.must(id), await take(), before))
  }
  const out = x.stream(200, 'application/json')
  while (!x.signal.aborted && containers.get(id)) {
    const now = await take()
    out.write(`${JSON.stringify(view(containers.must(id), now, before))}\n`)
    before = now
    await clock.sleep(intervalMs, x.signal).catch(() => {}) // the client went away
  }
  out.end()
}

/** All CPU time of the machine since boot; USER_HZ is 100. */
const hostCpuNs = (): number =>
  readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .trim()
    .split(/\s+/)
    .slice(1, 9)
    .reduce((sum, v) => sum + Number(v), 0) * 10_000_000

const cpuView = (s: Sample | undefined) => ({
  cpu_usage: {
    total_usage: s?.stats?.cgroup.cpuUsageNs ?? 0,
    usage_in_kernelmode: s?.stats?.cgroup.cpuSystemNs ?? 0,
    usage_in_usermode: s?.stats?.cgroup.cpuUserNs ?? 0,
  },
  ...(s?.stats ? { system_cpu_usage: s.systemNs, online_cpus: cpus().length } : {}),
  throttling_data: {
    periods: s?.stats?.cgroup.periods ?? 0,
    throttled_periods: s?.stats?.cgroup.throttledPeriods ?? 0,
    throttled_time: s?.stats?.cgroup.throttledNs ?? 0,
  },
})

const view = (c: Container, now: Sample, before: Sample | undefined) => {
  const g = now.stats?.cgroup
  const time = (ms: number | undefined): string =>
    ms === undefined ? '0001-01-01T00:00:00Z' : new Date(ms).toISOString()
  return {
    id: c.id,
    name: `/${c.spec.name}`,
    read: time(now.stats ? now.read : undefined),
    preread: time(before?.read),
    pids_stats: g ? { current: g.pids, ...(g.pidsLimit === undefined ? {} : { limit: g.pidsLimit }) } : {},
    num_procs: 0,
    storage_stats: {},
    cpu_stats: cpuView(now),
    precpu_stats: cpuView(before),
    memory_stats: g
      ? { usage: g.memoryUsageBytes, stats: g.memoryStat, limit: g.memoryLimitBytes ?? hostMemory() }
      : {},
    blkio_stats: {
      io_service_bytes_recursive: (g?.io ?? []).flatMap((d) => [
        { major: d.major, minor: d.minor, op: 'read', value: d.readBytes },
        { major: d.major, minor: d.minor, op: 'write', value: d.writeBytes },
      ]),
      io_serviced_recursive: null,
      io_queue_recursive: null,
      io_service_time_recursive: null,
      io_wait_time_recursive: null,
      io_merged_recursive: null,
      io_time_recursive: null,
      sectors_recursive: null,
    },
    networks: Object.fromEntries(
      Object.entries(now.stats?.networks ?? {})
        .filter(([name]) => name !== 'lo')
        .map(([name, n]) => [
          name,
          {
            rx_bytes: n.rxBytes,
            rx_packets: n.rxPackets,
            rx_errors: n.rxErrors,
            rx_dropped: n.rxDropped,
            tx_bytes: n.txBytes,
            tx_packets: n.txPackets,
            tx_errors: n.txErrors,
            tx_dropped: n.txDropped,
          },
        ]),
    ),
  }
}

const hostMemory = (): number =>
  Number(/^MemTotal:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024
