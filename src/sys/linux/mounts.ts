import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import type { Mount, Mounts } from '../sys.ts'
import { mount as mountCall, setMountAttributes, unmount as unmountCall } from './libc.ts'
import { MS, parseMountInfo, parseOptions } from './mount-flags.ts'

/** What mount(2) leaves of the data of a mount: one page, with its final zero. */
const longestData = 4095
/** Flags a bind ignores at first: they need a second step. */
const bindAttributes = MS.rdonly | MS.nosuid | MS.nodev | MS.noexec | MS.noatime | MS.nosymfollow
/** The MOUNT_ATTR_ bits of mount_setattr(2); the low four are spelled like MS_. */
const attributeBits = (flags: number): number =>
  (flags & (MS.rdonly | MS.nosuid | MS.nodev | MS.noexec)) |
  (flags & MS.noatime ? 0x10 : 0) |
  (flags & MS.nosymfollow ? 0x200000 : 0)
const anyAtime = 0x70

const bind = (mount: Mount): void => {
  const { flags, propagation, recursiveReadOnly } = parseOptions(mount.options)
  mountCall(mount.source, mount.target, 'none', MS.bind | (flags & MS.rec), '')
  try {
    const wanted = (flags & bindAttributes) | (recursiveReadOnly ? MS.rdonly : 0)
    if (wanted) {
      // Unlike a remount this keeps nosuid and the like where the source has them.
      const clear = flags & MS.noatime ? anyAtime : 0
      const done = setMountAttributes(mount.target, recursiveReadOnly, attributeBits(wanted), clear)
      if (!done) mountCall('none', mount.target, 'none', MS.bind | MS.remount | wanted, '')
    }
    for (const kind of propagation) mountCall('none', mount.target, 'none', kind, '')
  } catch (error) {
    unmountCall(mount.target, 2)
    throw error
  }
}

/** A chain of layers too long for one page is named by descriptors, which are shorter than paths. */
const withShortLayers = <T>(data: string[], body: (data: string) => T): T => {
  const whole = data.join(',')
  if (Buffer.byteLength(whole) <= longestData) return body(whole)
  const opened: number[] = []
  const short = (path: string): string => {
    const fd = openSync(path, 0x200000 | constants.O_DIRECTORY)
    opened.push(fd)
    return `/proc/self/fd/${fd}`
  }
  try {
    const options = data.map((option) =>
      option.startsWith('lowerdir=') ? `lowerdir=${splitLayers(option.slice(9)).map(short).join(':')}` : option,
    )
    return body(options.join(','))
  } finally {
    for (const fd of opened) closeSync(fd)
  }
}
const splitLayers = (list: string): string[] =>
  (list.match(/(?:\\.|[^:\\])+/g) ?? []).map((layer) => layer.replace(/\\(.)/g, '$1'))

const mount: Mounts['mount'] = (wanted) => {
  const { flags, propagation, data } = parseOptions(wanted.options)
  if (flags & MS.bind && !(flags & MS.remount)) return bind(wanted)
  if (wanted.type !== '' && wanted.type !== 'none')
    withShortLayers(data, (text) => mountCall(wanted.source, wanted.target, wanted.type, flags, text))
  else if (flags & MS.remount) mountCall('none', wanted.target, 'none', flags, data.join(','))
  for (const kind of propagation) mountCall('none', wanted.target, 'none', kind, '')
}

const below: Mounts['below'] = (prefix) =>
  parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).flatMap(({ shared: _, ...entry }) =>
    entry.target === prefix || entry.target.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`) ? [entry] : [],
  )

/** `before` runs ahead of each mount, with its target. */
export const createMounts = (before: (target: string) => void): Mounts => ({
  mount(wanted) {
    before(wanted.target)
    mount(wanted)
  },
  unmount(target, options = {}) {
    unmountCall(target, (options.detach ? 2 : 0) | 8) // MNT_DETACH, UMOUNT_NOFOLLOW
  },
  below,
})
