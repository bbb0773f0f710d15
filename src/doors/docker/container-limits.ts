/** Limits and security options of a create request. */
import type { ContainerSpec, SecurityOptions } from '../../engine/types.ts'
import { bad, defined, positive } from './container-fields.ts'
import type { HostConfig } from './wire.ts'

/** Of this machine: how many there are of each. */
export interface Parts {
  cpus: number
  /** NUMA nodes. */
  nodes: number
}

const least = 6 * 1024 * 1024

/** Refuses limits in dockerd's words (moby: daemon/daemon_unix.go). An update may name swap alone: the memory limit stays. */
export const checkResources = (host: HostConfig, parts: Parts, update: boolean): void => {
  checkMemory(host, update)
  checkCpu(host, parts.cpus)
  available(host.CpusetCpus, parts.cpus, 'cpuset cpus', 'CPUs')
  available(host.CpusetMems, parts.nodes, 'cpuset mems', 'memory nodes')
  const weight = host.BlkioWeight ?? 0
  if (weight > 0 && (weight < 10 || weight > 1000)) throw bad('Range of blkio weight is from 10 to 1000')
  const { CpuRealtimePeriod: period = 0, CpuRealtimeRuntime: runtime = 0 } = host
  if (period !== 0 && runtime > period) throw bad('cpu real-time runtime cannot be higher than cpu real-time period')
}

const checkMemory = (host: HostConfig, update: boolean): void => {
  const { Memory: memory = 0, MemorySwap: swap = 0, MemoryReservation: reservation = 0 } = host
  if (memory !== 0 && memory < least) throw bad('Minimum memory limit allowed is 6MB')
  if (memory > 0 && swap > 0 && swap < memory)
    throw bad('Minimum memoryswap limit should be larger than memory limit, see usage')
  if (memory === 0 && swap > 0 && !update)
    throw bad('You should always set the Memory limit when using Memoryswap limit, see usage')
  const swappiness = host.MemorySwappiness ?? -1
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100))
    throw bad(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`)
  if (reservation > 0 && reservation < least) throw bad('Minimum memory reservation allowed is 6MB')
  if (memory > 0 && reservation > 0 && memory < reservation)
    throw bad('Minimum memory limit can not be less than memory reservation limit, see usage')
}

const checkCpu = (host: HostConfig, cpus: number): void => {
  const { NanoCpus: nano = 0, CpuPeriod: period = 0, CpuQuota: quota = 0 } = host
  if (nano > 0 && period > 0) throw bad('Conflicting options: Nano CPUs and CPU Period cannot both be set')
  if (nano > 0 && quota > 0) throw bad('Conflicting options: Nano CPUs and CPU Quota cannot both be set')
  if (nano < 0 || nano > cpus * 1e9)
    throw bad(`range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`)
  if (period !== 0 && (period < 1000 || period > 1_000_000))
    throw bad('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)')
  if (quota > 0 && quota < 1000) throw bad('CPU cfs quota can not be less than 1ms (i.e. 1000)')
}

/** "0-2,5": the bounds are enough to see whether all of it is there. */
const available = (text: string | undefined, count: number, field: string, what: string): void => {
  if (!text) return
  if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) throw bad(`Invalid value ${text} for ${field}`)
  if (text.split(/[,-]/).some((n) => Number(n) >= count))
    throw bad(
      `Requested ${what} are not available - requested ${text}, available: 0${count > 1 ? `-${count - 1}` : ''}`,
    )
}

export const resourcesOf = (host: HostConfig, parts: Parts): ContainerSpec['resources'] => {
  checkResources(host, parts, false)
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

export const securityOf = (host: HostConfig): SecurityOptions => {
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
  const label = selinux.find((each) => each !== 'disable')
  if (label !== undefined) throw bad(`invalid --security-opt: label=${label}: SELinux labels are not supported`)
  if (selinux.length > 0) security.selinux = selinux
  return security
}
