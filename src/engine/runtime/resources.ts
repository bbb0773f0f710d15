import { statSync } from 'node:fs'
import { SlipwayError } from '../../errors.ts'
import type { OciResources } from '../../spec/oci/index.ts'
import type { Resources } from '../types.ts'
import { majorOf, minorOf } from './devices.ts'

export interface CgroupAbilities {
  version: 1 | 2
  /** Can memory and swap be limited together? */
  swap: boolean
}

const given = <T extends object>(values: T): { [K in keyof T]: NonNullable<T[K]> } | undefined => {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined && value !== '')
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as { [K in keyof T]: NonNullable<T[K]> })
}
/** Docker writes "no limit" as 0. */
const positive = (value: number | undefined): number | undefined => (value ? value : undefined)

const memory = (resources: Resources, { version, swap }: CgroupAbilities): OciResources['memory'] => {
  const limit = positive(resources.memory)
  // As docker: a container with a memory limit may use as much swap again.
  const both = positive(resources.memorySwap) ?? (limit !== undefined && limit > 0 ? limit * 2 : undefined)
  return given({
    limit,
    swap: swap ? both : undefined,
    reservation: positive(resources.memoryReservation),
    swappiness: version === 1 && resources.memorySwappiness !== -1 ? resources.memorySwappiness : undefined,
    disableOOMKiller: version === 1 && resources.oomKillDisable ? true : undefined,
  }) as OciResources['memory']
}

const blockDevices = (resources: Resources): OciResources['blockIO'] => {
  const numbered = (resources.blkioDevices ?? []).map(({ kind, path, value }) => {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (!stat?.isBlockDevice()) throw new SlipwayError('bad-request', `${path} is not a block device`)
    return { kind, major: majorOf(stat.rdev), minor: minorOf(stat.rdev), value }
  })
  const rates = (
    kind: (typeof numbered)[number]['kind'],
  ): { major: number; minor: number; rate: number }[] | undefined => {
    const rows = numbered
      .filter((row) => row.kind === kind)
      .map(({ major, minor, value }) => ({ major, minor, rate: value }))
    return rows.length ? rows : undefined
  }
  const weights = numbered.filter(({ kind }) => kind === 'weight')
  return given({
    weight: positive(resources.blkioWeight),
    weightDevice: weights.length
      ? weights.map(({ major, minor, value }) => ({ major, minor, weight: value }))
      : undefined,
    throttleReadBpsDevice: rates('read-bps'),
    throttleWriteBpsDevice: rates('write-bps'),
    throttleReadIOPSDevice: rates('read-iops'),
    throttleWriteIOPSDevice: rates('write-iops'),
  }) as OciResources['blockIO']
}

/** Limits as the OCI runtime takes them; it translates to the cgroup version itself. */
export const ociResources = (resources: Resources, abilities: CgroupAbilities): OciResources =>
  (given({
    memory: memory(resources, abilities),
    cpu: given({
      shares: positive(resources.cpuShares),
      // "No limit" is -1; crun 1.8 writes that as a number without a sign.
      quota: (resources.cpuQuota ?? 0) > 0 ? resources.cpuQuota : undefined,
      period: positive(resources.cpuPeriod),
      realtimeRuntime: positive(resources.cpuRealtimeRuntime),
      realtimePeriod: positive(resources.cpuRealtimePeriod),
      cpus: resources.cpusetCpus,
      mems: resources.cpusetMems,
    }),
    pids: resources.pidsLimit !== undefined && resources.pidsLimit > 0 ? { limit: resources.pidsLimit } : undefined,
    blockIO: blockDevices(resources),
    hugepageLimits: resources.hugepages?.length ? resources.hugepages : undefined,
  }) ?? {}) as OciResources
