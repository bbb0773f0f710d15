import { closeSync, constants, openSync } from 'node:fs'
import koffi from 'koffi'
import { setns, unshare } from './libc.ts'

const libc = koffi.load('libc.so.6')
const native = {
  fchdir: libc.func('int fchdir(int fd)'),
  chroot: libc.func('int chroot(const char *path)'),
}
const CLONE_FS = 0x200
const CLONE_NEWNS = 0x20000
const directory = constants.O_RDONLY | constants.O_DIRECTORY

/** Where this process is at home, opened once. */
let home: { mounts: number; root: number } | undefined

/** setns leaves a thread in the root directory of the namespace, which need not be where it was. */
const goHome = ({ mounts, root }: { mounts: number; root: number }, cwd: number): void => {
  try {
    setns(mounts, CLONE_NEWNS)
    if (native.fchdir(root) !== 0 || native.chroot('.') !== 0 || native.fchdir(cwd) !== 0) throw new Error('chroot')
  } catch {
    // A thread left among foreign mounts would do all later work in the wrong place.
    process.abort()
  }
}

/**
 * Runs `body` with this thread in the mount namespace pinned at `pin`: what it spawns starts there, in the namespace's
 * root directory. nsenter does the same, a program later. Throws before `body` where it is not allowed.
 */
export const withinMounts = <T>(pin: string, body: () => T): T => {
  home ??= { mounts: openSync('/proc/thread-self/ns/mnt', 'r'), root: openSync('/', directory) }
  const cwd = openSync('.', directory)
  try {
    const there = openSync(pin, 'r')
    try {
      // A thread that shares its directories with others may not change mount namespaces; threads made later share again.
      unshare(CLONE_FS)
      setns(there, CLONE_NEWNS)
    } finally {
      closeSync(there)
    }
    try {
      return body()
    } finally {
      goHome(home, cwd)
    }
  } finally {
    closeSync(cwd)
  }
}
