import { constants } from 'node:os'
import koffi from 'koffi'
import { type ErrorCode, SlipwayError } from '../../errors.ts'
import { encodeName } from '../../lib/tar/index.ts'

const libc = koffi.load(process.platform === 'linux' ? 'libc.so.6' : null)

// The arguments of the variadic ones are all integers or pointers, which Linux passes alike with and without `...`.
const native = {
  mount: libc.func(
    'int mount(const char *source, const char *target, const char *type, ulong flags, const char *data)',
  ),
  umount2: libc.func('int umount2(const char *target, int flags)'),
  unshare: libc.func('int unshare(int flags)'),
  setns: libc.func('int setns(int fd, int kind)'),
  sethostname: libc.func('int sethostname(const char *name, size_t length)'),
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  pipe2: libc.func('int pipe2(void *ends, int flags)'),
  socketpair: libc.func('int socketpair(int domain, int type, int protocol, void *ends)'),
  connect: libc.func('int connect(int fd, void *address, uint length)'),
  bind: libc.func('int bind(int fd, void *address, uint length)'),
  fallocate: libc.func('int fallocate(int fd, int mode, long offset, long length)'),
  flock: libc.func('int flock(int fd, int operation)'),
  ioctl: libc.func('int ioctl(int fd, ulong request, void *argument)'),
  lsetxattr: libc.func('int lsetxattr(const char *path, const char *name, void *value, size_t size, int flags)'),
  lgetxattr: libc.func('long lgetxattr(const char *path, const char *name, void *value, size_t size)'),
  // Very many files are asked and dated: an address as a number costs less than a buffer that koffi looks at each time.
  llistxattr: libc.func('long llistxattr(const char *path, uint64 list, size_t size)'),
  utimensat: libc.func('int utimensat(int dirfd, const char *path, uint64 times, int flags)'),
  memfdCreate: libc.func('int memfd_create(const char *name, uint flags)'),
  syncfs: libc.func('int syncfs(int fd)'),
  openat2: libc.func('syscall', 'long', ['long', 'int', 'str', 'void *', 'size_t']),
  mountSetattr: libc.func('syscall', 'long', ['long', 'int', 'str', 'uint', 'void *', 'size_t']),
  mknodat: libc.func('syscall', 'long', ['long', 'int', 'str', 'uint', 'uint']),
}

/** System call numbers where libc (glibc 2.31) has no wrapper. */
const numbers = {
  openat2: 437,
  mountSetattr: 442,
  mknodat: process.arch === 'x64' ? 259 : 33,
}

const names = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))

const codes: Record<string, ErrorCode> = {
  ENOENT: 'not-found',
  ENOTDIR: 'not-found',
  EEXIST: 'already-exists',
  EBUSY: 'conflict',
  ENOTEMPTY: 'conflict',
  EPERM: 'forbidden',
  EACCES: 'forbidden',
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  ELOOP: 'invalid',
  EXDEV: 'invalid',
  ENAMETOOLONG: 'invalid',
  ENOTSUP: 'unsupported',
  ENOSYS: 'unsupported',
}

/** The error of a failed call; `details.errno` is its name. */
export const callError = (errno: string, what: string): SlipwayError =>
  new SlipwayError(codes[errno] ?? 'internal', `${what}: ${errno}`, { details: { errno } })

/** The errno name of the call before it. */
export const lastErrno = (): string => names.get(koffi.errno()) ?? `errno ${koffi.errno()}`

const checked = (result: number, what: string): number => {
  if (result < 0) throw callError(lastErrno(), what)
  return result
}

export const mount = (source: string, target: string, type: string, flags: number, data: string): void => {
  checked(native.mount(source, target, type, flags, data === '' ? null : data), `mount ${source} on ${target}`)
}

/** Not mounted, or nothing there: no error. */
export const unmount = (target: string, flags: number): void => {
  if (native.umount2(target, flags) >= 0) return
  const errno = lastErrno()
  if (errno !== 'EINVAL' && errno !== 'ENOENT') throw callError(errno, `unmount ${target}`)
}

/** False where the kernel (before 5.12) does not know the call. */
export const setMountAttributes = (target: string, recursive: boolean, set: number, clear: number): boolean => {
  const attributes = new BigUint64Array([BigInt(set), BigInt(clear), 0n, 0n])
  if (native.mountSetattr(numbers.mountSetattr, -100, target, recursive ? 0x8000 : 0, attributes, 32) >= 0) return true
  const errno = lastErrno()
  if (errno === 'ENOSYS') return false
  throw callError(errno, `mount_setattr ${target}`)
}

export const unshare = (flags: number): void => {
  checked(native.unshare(flags), 'unshare')
}
export const setns = (fd: number, kind: number): void => {
  checked(native.setns(fd, kind), 'setns')
}
export const sethostname = (name: string): void => {
  checked(native.sethostname(name, Buffer.byteLength(name)), `sethostname ${name}`)
}
export const socket = (domain: number, type: number, protocol = 0): number =>
  checked(native.socket(domain, type, protocol), 'socket')
/** Both ends close on exec. */
export const pipe = (): { read: number; write: number } => {
  const ends = new Int32Array(2)
  checked(native.pipe2(ends, 0x80000), 'pipe')
  return { read: ends[0]!, write: ends[1]! }
}
/** Two connected stream sockets; both close on exec. */
export const socketpair = (): [number, number] => {
  const ends = new Int32Array(2)
  checked(native.socketpair(1, 1 | 0x80000, 0, ends), 'socketpair')
  return [ends[0]!, ends[1]!]
}
export const connect = (fd: number, address: Buffer, what: string): void => {
  checked(native.connect(fd, address, address.length), `connect ${what}`)
}
export const bind = (fd: number, address: Buffer, what: string): void => {
  checked(native.bind(fd, address, address.length), `bind ${what}`)
}
/** Gives a file blocks without making it longer. False where the file system cannot, or is full. */
export const preallocate = (fd: number, offset: number, length: number): boolean =>
  native.fallocate(fd, 1, offset, length) >= 0 // FALLOC_FL_KEEP_SIZE
/** False: somebody else has it. Held until the descriptor is closed, at the latest by the end of this process. */
export const tryLock = (fd: number): boolean => {
  if (native.flock(fd, 2 | 4) >= 0) return true // LOCK_EX | LOCK_NB
  const errno = lastErrno()
  if (errno === 'EAGAIN' || errno === 'EWOULDBLOCK') return false // one number, two names
  throw callError(errno, 'flock')
}
export const ioctl = (fd: number, request: number, argument: Buffer, what: string): void => {
  checked(native.ioctl(fd, request, argument), what)
}

/** A path whose bytes need not be UTF-8 (lib/tar/names.ts). */
const pathOf = (path: string): string | Buffer => {
  const name = encodeName(path)
  return typeof name === 'string' ? name : Buffer.concat([name, Buffer.alloc(1)])
}

/** Closes on exec. */
export const memoryFile = (): number => checked(native.memfdCreate('slipway', 1), 'memfd_create')

export const setXattr = (path: string, name: string, value: Uint8Array): void => {
  checked(native.lsetxattr(pathOf(path), name, Buffer.from(value), value.length, 0), `setxattr ${name} on ${path}`)
}
/** undefined: no such attribute. */
export const getXattr = (path: string, name: string): Buffer | undefined => {
  for (let room = 256; ; room *= 16) {
    const buffer = Buffer.alloc(room)
    const length = native.lgetxattr(pathOf(path), name, buffer, room)
    if (length >= 0) return buffer.subarray(0, length)
    const errno = lastErrno()
    if (errno === 'ENODATA' || errno === 'ENOTSUP' || errno === 'EOPNOTSUPP') return undefined
    if (errno !== 'ERANGE' || room > 65536) throw callError(errno, `getxattr ${name} of ${path}`)
  }
}
const addressOf = (buffer: Buffer): number => Number(koffi.address(buffer))

/** XATTR_LIST_MAX: no list is longer. */
const xattrList = Buffer.from(new ArrayBuffer(64 * 1024))
const xattrListAt = addressOf(xattrList)

export const listXattrs = (path: string): string[] => {
  const length = native.llistxattr(pathOf(path), xattrListAt, xattrList.length) as number
  if (length === 0) return []
  if (length > 0) return xattrList.toString('utf8', 0, length).split('\0').filter(Boolean)
  const errno = lastErrno()
  if (errno === 'ENOTSUP' || errno === 'EOPNOTSUPP') return []
  throw callError(errno, `listxattr ${path}`)
}

const timesRoom = Buffer.from(new ArrayBuffer(32))
const times = new BigInt64Array(timesRoom.buffer)
const timesAt = addressOf(timesRoom)

/** Seconds and nanoseconds of two times: into `times`. */
const putTime = (index: number, ns: bigint): void => {
  const rest = ((ns % second) + second) % second
  times[index] = (ns - rest) / second
  times[index + 1] = rest
}
const second = 1_000_000_000n

export const setTimes = (path: string, atimeNs: bigint, mtimeNs: bigint): void => {
  putTime(0, atimeNs)
  if (atimeNs === mtimeNs) times.copyWithin(2, 0, 2)
  else putTime(2, mtimeNs)
  checked(native.utimensat(-100, pathOf(path), timesAt, 0x100), `utimensat ${path}`)
}

export const mknod = (path: string, mode: number, major: number, minor: number): void => {
  const device = ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0
  checked(native.mknodat(numbers.mknodat, -100, pathOf(path), mode, device), `mknod ${path}`)
}

export const openat2 = (dir: number, path: string, flags: number, mode: number, resolve: number): number => {
  const how = new BigUint64Array([BigInt(flags), BigInt(mode), BigInt(resolve)])
  for (let attempt = 0; ; attempt++) {
    const fd = native.openat2(numbers.openat2, dir, pathOf(path), how, 24)
    if (fd >= 0) return Number(fd)
    const errno = lastErrno()
    // EAGAIN: a rename somewhere on the path raced with the kernel's check.
    if (errno !== 'EAGAIN' || attempt > 100) throw callError(errno, `open ${path}`)
  }
}

/** syncfs(2) on a thread of its own. */
export const syncFileSystem = async (fd: number): Promise<void> => {
  const call = native.syncfs.async as (fd: number, done: (error: Error | null, result: number) => void) => void
  const result = await new Promise<number>((resolve, reject) =>
    call(fd, (error, code) => (error ? reject(error) : resolve(code))),
  )
  // errno belongs to that thread.
  if (result < 0) throw new SlipwayError('internal', 'syncfs: the disk refuses to take what was written')
}
