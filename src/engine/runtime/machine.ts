import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import type { Cgroups } from '../../sys/sys.ts'
import { canLoadProfiles } from './apparmor.ts'
import type { Machine } from './config.ts'
import { readOwnLimits } from './rlimits.ts'

const apparmorSwitch = '/sys/module/apparmor/parameters/enabled'

/** Looks once at what this machine and this process can do. */
export const readMachine = (cgroups: Cgroups): Machine => {
  const version = cgroups.layout === 'v2' ? 2 : 1
  const apparmor = existsSync(apparmorSwitch) && readFileSync(apparmorSwitch, 'utf8').startsWith('Y')
  return {
    own: readOwnLimits(),
    cgroups: {
      version,
      swap: version === 2 ? existsSync('/proc/swaps') : existsSync('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes'),
    },
    apparmor,
    defaultApparmor: apparmor && canLoadProfiles(),
    thermalPaths: cpus()
      .map((_, cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`)
      .filter((path) => existsSync(path)),
  }
}
