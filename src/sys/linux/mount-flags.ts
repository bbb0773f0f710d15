/** Option words of fstab, mount(8) and the OCI runtime spec as flags of mount(2). */
export const MS = {
  rdonly: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  synchronous: 0x10,
  remount: 0x20,
  mandlock: 0x40,
  dirsync: 0x80,
  nosymfollow: 0x100,
  noatime: 0x400,
  nodiratime: 0x800,
  bind: 0x1000,
  rec: 0x4000,
  silent: 0x8000,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relatime: 1 << 21,
  strictatime: 1 << 24,
  lazytime: 1 << 25,
} as const

const flags: Record<string, { set: number } | { clear: number }> = {
  defaults: { set: 0 },
  ro: { set: MS.rdonly },
  rw: { clear: MS.rdonly },
  nosuid: { set: MS.nosuid },
  suid: { clear: MS.nosuid },
  nodev: { set: MS.nodev },
  dev: { clear: MS.nodev },
  noexec: { set: MS.noexec },
  exec: { clear: MS.noexec },
  sync: { set: MS.synchronous },
  async: { clear: MS.synchronous },
  dirsync: { set: MS.dirsync },
  remount: { set: MS.remount },
  mand: { set: MS.mandlock },
  nomand: { clear: MS.mandlock },
  nosymfollow: { set: MS.nosymfollow },
  noatime: { set: MS.noatime },
  atime: { clear: MS.noatime },
  nodiratime: { set: MS.nodiratime },
  diratime: { clear: MS.nodiratime },
  relatime: { set: MS.relatime },
  norelatime: { clear: MS.relatime },
  strictatime: { set: MS.strictatime },
  nostrictatime: { clear: MS.strictatime },
  lazytime: { set: MS.lazytime },
  bind: { set: MS.bind },
  rbind: { set: MS.bind | MS.rec },
  silent: { set: MS.silent },
  loud: { clear: MS.silent },
}

const propagations: Record<string, number> = {
  private: MS.private,
  rprivate: MS.private | MS.rec,
  shared: MS.shared,
  rshared: MS.shared | MS.rec,
  slave: MS.slave,
  rslave: MS.slave | MS.rec,
  unbindable: MS.unbindable,
  runbindable: MS.unbindable | MS.rec,
}

interface ParsedOptions {
  flags: number
  /** Each needs a mount(2) call of its own, after the mount. */
  propagation: number[]
  /** 'rro': read-only with everything below it. */
  recursiveReadOnly: boolean
  /** What the filesystem itself reads. */
  data: string[]
}

export const parseOptions = (options: readonly string[]): ParsedOptions => {
  const parsed: ParsedOptions = { flags: 0, propagation: [], recursiveReadOnly: false, data: [] }
  for (const option of options) {
    const flag = flags[option]
    const propagation = propagations[option]
    if (flag) parsed.flags = 'set' in flag ? parsed.flags | flag.set : parsed.flags & ~flag.clear
    else if (propagation !== undefined) parsed.propagation.push(propagation)
    else if (option === 'rro') parsed.recursiveReadOnly = true
    else if (option !== '') parsed.data.push(option)
  }
  return parsed
}

/** mountinfo writes space, tab, newline and backslash as octal. */
const unescapeMountPath = (text: string): string =>
  text.includes('\\')
    ? text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    : text

interface MountInfoLine {
  target: string
  type: string
  source: string
  options: string
  /** Has a peer group: mounts made below it appear in its slaves. */
  shared: boolean
}

/** One line of /proc/PID/mountinfo (proc(5)): the fields after the sixth are optional until a lone '-'. */
export const parseMountInfo = (text: string): MountInfoLine[] =>
  text.split('\n').flatMap((line) => {
    const [left, right] = line.split(' - ')
    if (left === undefined || right === undefined) return []
    const fields = left.split(' ')
    const [type = '', source = '', superOptions = ''] = right.split(' ')
    return [
      {
        target: unescapeMountPath(fields[4] ?? ''),
        type,
        source: unescapeMountPath(source),
        options: `${fields[5]},${superOptions}`,
        shared: fields.slice(6).some((field) => field.startsWith('shared:')),
      },
    ]
  })
