import { closeSync, constants, fchmodSync, openSync, unlinkSync } from 'node:fs'
import koffi from 'koffi'
import { callError, lastErrno, mknod } from './libc.ts'

/**
 * OCI runtimes change the owner of a program's standard streams to its user, also where that is the machine's /dev/null,
 * which then belongs to somebody. So each child gets a null device of its own: an inode without a name on a tmpfs that
 * is mounted nowhere and goes with this process.
 */
const libc = koffi.load('libc.so.6')
const native = {
  fsopen: libc.func('syscall', 'long', ['long', 'str', 'uint']),
  fsconfig: libc.func('syscall', 'long', ['long', 'int', 'uint', 'str', 'str', 'int']),
  fsmount: libc.func('syscall', 'long', ['long', 'int', 'uint', 'uint']),
}
/** System calls that are numbered alike on all machines. */
const numbers = { fsopen: 430, fsconfig: 431, fsmount: 432 }
const closeOnExec = 1
const configCreate = 6
const noSuidNoExec = 0x02 | 0x08

const checked = (result: number | bigint, what: string): number => {
  if (Number(result) < 0) throw callError(lastErrno(), what)
  return Number(result)
}

const mountNowhere = (): number => {
  const context = checked(native.fsopen(numbers.fsopen, 'tmpfs', closeOnExec), 'fsopen tmpfs')
  try {
    checked(native.fsconfig(numbers.fsconfig, context, configCreate, null, null, 0), 'fsconfig tmpfs')
    return checked(native.fsmount(numbers.fsmount, context, closeOnExec, noSuidNoExec), 'fsmount tmpfs')
  } finally {
    closeSync(context)
  }
}

/** 'machine': this process may not make one, so it is no root either whose children could change the machine's. */
let directory: number | 'machine' | undefined
let made = 0

/** A descriptor for reading and writing; the caller's to close. */
export const openNull = (): number => {
  if (directory === undefined) {
    try {
      directory = mountNowhere()
    } catch {
      directory = 'machine'
    }
  }
  if (directory === 'machine') return openSync('/dev/null', constants.O_RDWR)
  const path = `/proc/self/fd/${directory}/${made++}`
  mknod(path, constants.S_IFCHR | 0o666, 1, 3)
  try {
    const fd = openSync(path, constants.O_RDWR)
    fchmodSync(fd, 0o666) // whatever the umask
    return fd
  } finally {
    unlinkSync(path)
  }
}
