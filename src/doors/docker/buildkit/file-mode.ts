/** Modes as Go's os.FileMode has them: type and special bits are at the top. */
import type { RemoteEntry } from '../../../build/types.ts'

const bits = {
  directory: 2 ** 31,
  symlink: 2 ** 27,
  device: 2 ** 26,
  fifo: 2 ** 25,
  socket: 2 ** 24,
  setuid: 2 ** 23,
  setgid: 2 ** 22,
  charDevice: 2 ** 21,
  sticky: 2 ** 20,
} as const
const has = (mode: number, bit: number): boolean => Math.floor(mode / bit) % 2 === 1

export const kindOf = (mode: number): RemoteEntry['kind'] => {
  if (has(mode, bits.directory)) return 'directory'
  if (has(mode, bits.symlink)) return 'symlink'
  if (has(mode, bits.fifo)) return 'fifo'
  return [bits.device, bits.socket, bits.charDevice].some((bit) => has(mode, bit)) ? 'other' : 'file'
}

export const permissionsOf = (mode: number): number =>
  (mode % 0o1000) +
  (has(mode, bits.setuid) ? 0o4000 : 0) +
  (has(mode, bits.setgid) ? 0o2000 : 0) +
  (has(mode, bits.sticky) ? 0o1000 : 0)

/** Of what lstat says (st_mode). */
export const goMode = (mode: number): number => {
  const type = { 0o040000: bits.directory, 0o120000: bits.symlink, 0o010000: bits.fifo, 0o140000: bits.socket }[
    mode & 0o170000
  ]
  const device =
    (mode & 0o170000) === 0o020000 ? bits.device + bits.charDevice : (mode & 0o170000) === 0o060000 ? bits.device : 0
  return (
    (mode & 0o777) +
    (type ?? device) +
    (mode & 0o4000 ? bits.setuid : 0) +
    (mode & 0o2000 ? bits.setgid : 0) +
    (mode & 0o1000 ? bits.sticky : 0)
  )
}
