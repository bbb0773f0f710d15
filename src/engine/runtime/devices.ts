import { lstatSync, readdirSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { OciDevice, OciDeviceRule } from '../../spec/oci/index.ts'
import type { ContainerSpec } from '../types.ts'

/** How Linux packs a device number into 64 bits of st_rdev (glibc's gnu_dev_major, …_minor). */
export const majorOf = (rdev: number): number => {
  const device = BigInt(rdev)
  return Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn))
}
export const minorOf = (rdev: number): number => {
  const device = BigInt(rdev)
  return Number((device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn))
}

const deviceOf = (path: string, stat: Stats): OciDevice => ({
  path,
  type: stat.isBlockDevice() ? 'b' : 'c',
  major: majorOf(stat.rdev),
  minor: minorOf(stat.rdev),
  fileMode: stat.mode & 0o7777,
  uid: stat.uid,
  gid: stat.gid,
})
const isDevice = (stat: Stats): boolean => stat.isCharacterDevice() || stat.isBlockDevice()

/** The runtime makes these itself (OCI runtime spec, default devices), or mounts something there. */
const notPassed = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev', 'console'])

/** Every device of this machine: what a privileged container gets. */
export const hostDevices = (dir = '/dev', inside = '/dev'): OciDevice[] =>
  readdirSync(dir).flatMap((name) => {
    if (notPassed.has(name)) return []
    const stat = lstatSync(join(dir, name), { throwIfNoEntry: false })
    if (stat?.isDirectory()) return hostDevices(join(dir, name), `${inside}/${name}`)
    return stat && isDevice(stat) ? [deviceOf(`${inside}/${name}`, stat)] : []
  })

/** Devices asked for, with what the device cgroup has to allow. A directory means all devices in it. */
export const requestedDevices = (
  devices: ContainerSpec['devices'],
): { devices: OciDevice[]; rules: OciDeviceRule[] } => {
  const found: { device: OciDevice; access: string }[] = devices.flatMap(({ hostPath, containerPath, permissions }) => {
    const stat = statSync(hostPath, { throwIfNoEntry: false })
    const access = permissions || 'rwm'
    const inside = containerPath || hostPath
    const within = stat?.isDirectory() ? hostDevices(hostPath, inside) : []
    if (within.length > 0) return within.map((device) => ({ device, access }))
    if (stat && isDevice(stat)) return [{ device: deviceOf(inside, stat), access }]
    const reason = stat ? `"${hostPath}": not a device node` : 'no such file or directory'
    throw new SlipwayError(
      'bad-request',
      `error gathering device information while adding custom device "${hostPath}": ${reason}`,
    )
  })
  return {
    devices: found.map(({ device }) => device),
    rules: found.map(({ device: { type, major, minor }, access }) => ({ allow: true, type, major, minor, access })),
  }
}

/** "c 1:3 rwm", "b *:* r" (devices cgroup syntax). */
export const parseDeviceRule = (rule: string): OciDeviceRule => {
  const match = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(rule)
  if (!match) throw new SlipwayError('bad-request', `invalid device cgroup rule format: '${rule}'`)
  const [, type, major, minor, access] = match
  return {
    allow: true,
    type: type!,
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
    access: access!,
  }
}

const allowed = (
  type: string,
  major: number | undefined,
  minor: number | undefined,
  access: string,
): OciDeviceRule => ({
  allow: true,
  type,
  ...(major === undefined ? {} : { major }),
  ...(minor === undefined ? {} : { minor }),
  access,
})

/** Docker's device rules: any node may be made; null, zero, full, random, urandom, tty, console, pts and ptmx used. */
export const defaultDeviceRules: OciDeviceRule[] = [
  { allow: false, access: 'rwm' },
  allowed('c', undefined, undefined, 'm'),
  allowed('b', undefined, undefined, 'm'),
  allowed('c', 1, 3, 'rwm'),
  allowed('c', 1, 5, 'rwm'),
  allowed('c', 1, 7, 'rwm'),
  allowed('c', 1, 8, 'rwm'),
  allowed('c', 1, 9, 'rwm'),
  allowed('c', 5, 0, 'rwm'),
  allowed('c', 5, 1, 'rwm'),
  allowed('c', 5, 2, 'rwm'),
  allowed('c', 136, undefined, 'rwm'),
]
