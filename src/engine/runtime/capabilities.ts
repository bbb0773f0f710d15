import { SlipwayError } from '../../errors.ts'
import type { SecurityOptions } from '../types.ts'

/** In the order of their numbers (linux/capability.h). */
export const allCapabilities = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE',
  'NET_BROADCAST',
  'NET_ADMIN',
  'NET_RAW',
  'IPC_LOCK',
  'IPC_OWNER',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SYS_PACCT',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
  'SYS_TTY_CONFIG',
  'MKNOD',
  'LEASE',
  'AUDIT_WRITE',
  'AUDIT_CONTROL',
  'SETFCAP',
  'MAC_OVERRIDE',
  'MAC_ADMIN',
  'SYSLOG',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'AUDIT_READ',
  'PERFMON',
  'BPF',
  'CHECKPOINT_RESTORE',
].map((name) => `CAP_${name}`)

/** What docker gives every container. */
const defaults = new Set(
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
    .split(' ')
    .map((name) => `CAP_${name}`),
)

/** The names in a hexadecimal mask of /proc/PID/status. */
export const capabilitiesOf = (mask: string): Set<string> => {
  const bits = BigInt(`0x${mask}`)
  return new Set(allCapabilities.filter((_, i) => (bits >> BigInt(i)) & 1n))
}

const normal = (name: string, option: string): string => {
  const upper = name.toUpperCase()
  const full = upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  if (full === 'ALL' || allCapabilities.includes(full)) return full
  throw new SlipwayError('bad-request', `invalid ${option}: unknown capability: "${full}"`)
}

/**
 * What a container may have. `available` is what this process has itself: nobody can give more. One asked for by name
 * that is not available is refused; of "all" the available ones are meant.
 */
export const containerCapabilities = (
  security: Pick<SecurityOptions, 'privileged' | 'capAdd' | 'capDrop'>,
  available: ReadonlySet<string>,
): string[] => {
  const add = new Set(security.capAdd.map((name) => normal(name, 'CapAdd')))
  const drop = new Set(security.capDrop.map((name) => normal(name, 'CapDrop')))
  for (const name of add)
    if (name !== 'ALL' && !available.has(name))
      throw new SlipwayError('invalid', `capability ${name} cannot be granted`, {
        hint: `slipway itself runs without ${name} on this machine; leave it out of cap_add.`,
      })
  const base = (name: string): boolean =>
    security.privileged || add.has('ALL')
      ? !drop.has(name) || security.privileged
      : add.has(name)
        ? true
        : drop.has('ALL')
          ? false
          : defaults.has(name) && !drop.has(name)
  return allCapabilities.filter((name) => base(name) && available.has(name))
}

/** Only root gets them at once; for others they bound what a set-uid program may regain. */
export const processCapabilities = (
  names: string[],
  uid: number,
): Record<'bounding', string[]> & Partial<Record<'effective' | 'permitted', string[]>> =>
  uid === 0 ? { bounding: names, effective: names, permitted: names } : { bounding: names }
