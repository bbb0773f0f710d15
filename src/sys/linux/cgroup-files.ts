import type { CgroupStats } from '../sys.ts'

/** Reads a file of one cgroup: undefined where it does not exist. */
export type ReadFile = (controller: string, file: string) => string | undefined

/** "key value" lines (cpu.stat, memory.stat, memory.events, memory.oom_control). */
export const flatKeyed = (text: string | undefined): Record<string, number> => {
  const values: Record<string, number> = {}
  for (const line of text?.split('\n') ?? []) {
    const [key, value] = line.split(' ')
    if (key && value !== undefined) values[key] = Number(value)
  }
  return values
}
const number = (text: string | undefined): number => (text === undefined ? 0 : Number(text.trim()))
/** 'max' in v2, and in v1 anything near 2^63, is no limit. */
export const limit = (text: string | undefined): number | undefined => {
  const value = text === undefined || text.trim() === 'max' ? Number.POSITIVE_INFINITY : Number(text)
  return value >= 2 ** 62 ? undefined : value
}

type Io = CgroupStats['io'][number]
const ioOf = (devices: Map<string, Io>, device: string): Io => {
  let io = devices.get(device)
  if (!io) {
    const [major = 0, minor = 0] = device.split(':').map(Number)
    devices.set(device, (io = { major, minor, readBytes: 0, writeBytes: 0, reads: 0, writes: 0 }))
  }
  return io
}

/** "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …" (cgroup-v2, io.stat). */
export const ioStatV2 = (text: string | undefined): Io[] => {
  const devices = new Map<string, Io>()
  for (const line of text?.split('\n') ?? []) {
    const [device, ...pairs] = line.split(' ')
    if (!device?.includes(':')) continue
    const values = Object.fromEntries(pairs.map((pair) => pair.split('=')))
    const io = ioOf(devices, device)
    io.readBytes = Number(values.rbytes ?? 0)
    io.writeBytes = Number(values.wbytes ?? 0)
    io.reads = Number(values.rios ?? 0)
    io.writes = Number(values.wios ?? 0)
  }
  return [...devices.values()]
}

/** "8:0 Read 4096" lines (blkio.throttle.io_service_bytes and io_serviced). */
export const ioStatV1 = (bytes: string | undefined, operations: string | undefined): Io[] => {
  const devices = new Map<string, Io>()
  const each = (text: string | undefined, read: 'readBytes' | 'reads', write: 'writeBytes' | 'writes'): void => {
    for (const line of text?.split('\n') ?? []) {
      const [device, kind, value] = line.split(' ')
      if (!device?.includes(':')) continue
      if (kind === 'Read') ioOf(devices, device)[read] = Number(value)
      if (kind === 'Write') ioOf(devices, device)[write] = Number(value)
    }
  }
  each(bytes, 'readBytes', 'writeBytes')
  each(operations, 'reads', 'writes')
  return [...devices.values()]
}

const workingSet = (usage: number, inactive: number | undefined): number => Math.max(0, usage - (inactive ?? 0))

export const statsV2 = (read: ReadFile): CgroupStats => {
  const cpu = flatKeyed(read('cpu', 'cpu.stat'))
  const memoryStat = flatKeyed(read('memory', 'memory.stat'))
  const memoryUsageBytes = number(read('memory', 'memory.current'))
  return {
    cpuUsageNs: (cpu.usage_usec ?? 0) * 1000,
    cpuUserNs: (cpu.user_usec ?? 0) * 1000,
    cpuSystemNs: (cpu.system_usec ?? 0) * 1000,
    periods: cpu.nr_periods ?? 0,
    throttledPeriods: cpu.nr_throttled ?? 0,
    throttledNs: (cpu.throttled_usec ?? 0) * 1000,
    memoryUsageBytes,
    memoryWorkingSetBytes: workingSet(memoryUsageBytes, memoryStat.inactive_file),
    memoryLimitBytes: limit(read('memory', 'memory.max')),
    memoryStat,
    pids: number(read('pids', 'pids.current')),
    pidsLimit: limit(read('pids', 'pids.max')),
    io: ioStatV2(read('io', 'io.stat')),
  }
}

/** cpuacct.stat counts in USER_HZ, which Linux fixes at 100 towards user space. */
const tickNs = 10_000_000

export const statsV1 = (read: ReadFile): CgroupStats => {
  const times = flatKeyed(read('cpuacct', 'cpuacct.stat'))
  const throttle = flatKeyed(read('cpu', 'cpu.stat'))
  const memoryStat = flatKeyed(read('memory', 'memory.stat'))
  const memoryUsageBytes = number(read('memory', 'memory.usage_in_bytes'))
  return {
    cpuUsageNs: number(read('cpuacct', 'cpuacct.usage')),
    cpuUserNs: (times.user ?? 0) * tickNs,
    cpuSystemNs: (times.system ?? 0) * tickNs,
    periods: throttle.nr_periods ?? 0,
    throttledPeriods: throttle.nr_throttled ?? 0,
    throttledNs: throttle.throttled_time ?? 0,
    memoryUsageBytes,
    memoryWorkingSetBytes: workingSet(memoryUsageBytes, memoryStat.total_inactive_file),
    memoryLimitBytes: limit(read('memory', 'memory.limit_in_bytes')),
    memoryStat,
    pids: number(read('pids', 'pids.current')),
    pidsLimit: limit(read('pids', 'pids.max')),
    io: ioStatV1(
      read('blkio', 'blkio.throttle.io_service_bytes_recursive') ?? read('blkio', 'blkio.throttle.io_service_bytes'),
      read('blkio', 'blkio.throttle.io_serviced_recursive') ?? read('blkio', 'blkio.throttle.io_serviced'),
    ),
  }
}
