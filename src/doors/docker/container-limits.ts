/** Limits and security options of a create request. */
import type { ContainerSpec, SecurityOptions } from '../../engine/types.ts'
import { bad, defined, positive } from './container-fields.ts'
import type { HostConfig } from './wire.ts'

/** "0-2,5" → its bounds; enough to see whether they are there. */
const cpuList = (text: string): number[] => {
  if (!/^(\d+(-\d+)?(,\d+(-\d+)?)*)?$/.test(text)) throw bad(`Invalid value ${text} for cpuset cpus`)
  return text.split(/[,-]/).filter(Boolean).map(Number)
}

export const resourcesOf = (host: HostConfig, cpus: number): ContainerSpec['resources'] => {
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
  if (selinux.length > 0) security.selinux = selinux
  return security
}
