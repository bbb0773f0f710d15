/** POST /containers/:id/update. */
import type { Container, Engine } from '../../engine/types.ts'
import { restartOf } from './container-create.ts'
import { bad } from './container-fields.ts'
import type { HostConfig, Origin } from './wire.ts'

type Change = Parameters<Engine['containers']['update']>[1]

/** Docker says CPUs in two ways; what was said in the one is not changed in the other. */
const checkAgainst = (body: HostConfig, { spec }: Container, host: HostConfig): void => {
  const conflict = (what: string, set: string): Error =>
    bad(`Conflicting options: ${what} cannot be updated as ${set} has already been set`)
  const { memory = 0, memorySwap = memory * 2, cpuPeriod, cpuQuota } = spec.resources
  if (body.NanoCpus && !host.NanoCpus && cpuPeriod) throw conflict('Nano CPUs', 'CPU Period')
  if (body.NanoCpus && !host.NanoCpus && cpuQuota) throw conflict('Nano CPUs', 'CPU Quota')
  if (body.CpuPeriod && host.NanoCpus) throw conflict('CPU Period', 'NanoCPUs')
  if (body.CpuQuota && host.NanoCpus) throw conflict('CPU Quota', 'NanoCPUs')
  if (body.Memory && !body.MemorySwap && memorySwap > 0 && body.Memory > memorySwap)
    throw bad(
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    )
}

/** Zero and absent mean: as it is. */
export const updateOf = (body: HostConfig, container: Container): Change => {
  const origin = container.spec.origin as Origin | undefined
  checkAgainst(body, container, origin?.HostConfig ?? {})
  const resources = Object.fromEntries(
    Object.entries({
      memory: body.Memory,
      memorySwap: body.MemorySwap,
      memoryReservation: body.MemoryReservation,
      cpuShares: body.CpuShares,
      cpuQuota: body.NanoCpus ? Math.round(body.NanoCpus / 10_000) : body.CpuQuota,
      cpuPeriod: body.NanoCpus ? 100_000 : body.CpuPeriod,
      cpusetCpus: body.CpusetCpus || undefined,
      cpusetMems: body.CpusetMems || undefined,
      blkioWeight: body.BlkioWeight,
    }).filter(([, v]) => v !== undefined && v !== 0),
  )
  if (body.PidsLimit != null) resources.pidsLimit = Math.max(body.PidsLimit, 0)
  const { NanoCpus } = body
  return {
    ...(Object.keys(resources).length > 0 ? { resources } : {}),
    ...(body.RestartPolicy?.Name ? { restart: restartOf(body) } : {}),
    ...(NanoCpus && origin ? { origin: { ...origin, HostConfig: { ...origin.HostConfig, NanoCpus } } } : {}),
  }
}
