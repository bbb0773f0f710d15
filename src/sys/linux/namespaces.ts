import { closeSync, mkdirSync, openSync, readdirSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import type { NamespaceKind, Namespaces } from '../sys.ts'
import { ioctl, mount, sethostname, setns, socket, unmount, unshare } from './libc.ts'
import { MS } from './mount-flags.ts'
import { isPinned } from './shared-run.ts'

const cloneFlags: Record<NamespaceKind, number> = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 }
const kinds = Object.keys(cloneFlags) as NamespaceKind[]

/** SIOCSIFFLAGS with IFF_UP | IFF_RUNNING. */
const loopbackUp = (): void => {
  const fd = socket(2, 2 | 0x80000)
  try {
    const request = Buffer.alloc(40)
    request.write('lo')
    request.writeUInt16LE(0x1 | 0x40, 16)
    ioctl(fd, 0x8914, request, 'set lo up')
  } finally {
    closeSync(fd)
  }
}

/** `before` runs ahead of each mount, with its target. */
export const createNamespaces = (log: Log, before: (target: string) => void): Namespaces => {
  const home = new Map<NamespaceKind, number>()
  const homeOf = (kind: NamespaceKind): number => {
    let fd = home.get(kind)
    if (fd === undefined) home.set(kind, (fd = openSync(`/proc/thread-self/ns/${kind}`, 'r')))
    return fd
  }
  /** A thread left in a foreign namespace would do all later work in the wrong place: there is no going on. */
  const goHome = (kind: NamespaceKind): void => {
    try {
      setns(homeOf(kind), cloneFlags[kind])
    } catch (error) {
      log.error('cannot return to the own namespace', { kind, error: String(error) })
      process.abort()
    }
  }

  const remove: Namespaces['remove'] = (dir) => {
    for (const kind of kinds) {
      const pin = join(dir, kind)
      unmount(pin, 2)
      ignoreMissing(() => unlinkSync(pin))
    }
    ignoreMissing(() => {
      if (readdirSync(dir).length === 0) rmdirSync(dir)
    })
  }

  return {
    create(dir, wanted, options = {}) {
      before(dir)
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      for (const kind of wanted) {
        homeOf(kind)
        const pin = join(dir, kind)
        if (isPinned(pin)) throw new SlipwayError('already-exists', `namespace ${pin} exists`)
        writeFileSync(pin, '', { mode: 0o600 })
      }
      let inside = false
      try {
        unshare(wanted.reduce((flags, kind) => flags | cloneFlags[kind], 0))
        inside = true
        for (const kind of wanted) mount(`/proc/thread-self/ns/${kind}`, join(dir, kind), 'none', MS.bind, '')
        if (wanted.includes('net')) loopbackUp()
        if (wanted.includes('uts') && options.hostname !== undefined) sethostname(options.hostname)
      } catch (error) {
        remove(dir)
        throw error
      } finally {
        if (inside) for (const kind of wanted) goHome(kind)
      }
    },
    remove,
    within(netns, body) {
      homeOf('net')
      const fd = openSync(netns, 'r')
      try {
        setns(fd, cloneFlags.net)
      } finally {
        closeSync(fd)
      }
      try {
        return body()
      } finally {
        goHome('net')
      }
    },
  }
}

const ignoreMissing = (body: () => void): void => {
  try {
    body()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY' && code !== 'ENOTDIR') throw error
  }
}
