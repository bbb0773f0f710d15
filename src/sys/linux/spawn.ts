import { accessSync, closeSync, constants } from 'node:fs'
import { constants as os } from 'node:os'
import koffi from 'koffi'
import { SlipwayError } from '../../errors.ts'
import { withinMounts } from './mount-namespace.ts'
import { openNull } from './null-device.ts'

/**
 * Children by posix_spawn. Node forks: it copies the page tables of the whole process, which takes ten milliseconds once
 * that has grown to 150 MB, and all of it on the main thread. posix_spawn (CLONE_VFORK) takes a quarter of one.
 */
const libc = koffi.load('libc.so.6')
const native = {
  spawn: libc.func(
    'int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, const char **argv, const char **envp)',
  ),
  actionsInit: libc.func('int posix_spawn_file_actions_init(void *actions)'),
  actionsDestroy: libc.func('int posix_spawn_file_actions_destroy(void *actions)'),
  addDup: libc.func('int posix_spawn_file_actions_adddup2(void *actions, int fd, int as)'),
  addChdir: libc.func('int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)'),
  attributesInit: libc.func('int posix_spawnattr_init(void *attributes)'),
  setFlags: libc.func('int posix_spawnattr_setflags(void *attributes, short flags)'),
  setDefault: libc.func('int posix_spawnattr_setsigdefault(void *attributes, void *signals)'),
  setMask: libc.func('int posix_spawnattr_setsigmask(void *attributes, void *signals)'),
  waitpid: libc.func('int waitpid(int pid, _Out_ int *status, int options)'),
  dupAbove: libc.func('fcntl', 'int', ['int', 'int', 'int']),
}
/** Since glibc 2.34. undefined: what somebody has left open without "close on exec" reaches children. */
const addCloseFrom = ((): ReturnType<typeof libc.func> | undefined => {
  try {
    return libc.func('int posix_spawn_file_actions_addclosefrom_np(void *actions, int from)')
  } catch {
    return undefined
  }
})()
/** Larger than the libc's structures (glibc: 80, 336 and 128 bytes). */
const roomForActions = 256
const roomForAttributes = 512
const roomForSignals = 128

const SETSIGDEF = 0x04
const SETSIGMASK = 0x08
const SETSID = 0x80
const F_DUPFD_CLOEXEC = 1030

interface SpawnRequest {
  argv: readonly string[]
  env: Record<string, string>
  cwd: string | undefined
  /** Index = the child's descriptor; a number is one of ours, undefined is a null device. */
  fds: (number | undefined)[]
  detached: boolean
}
interface Ended {
  code: number
  signal: NodeJS.Signals | undefined
}

const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const found = new Map<string, string>()

const resolveProgram = (name: string): string | undefined => {
  if (name.includes('/')) return name
  const known = found.get(name)
  if (known !== undefined) return known
  for (const dir of searchPath.split(':')) {
    const path = `${dir}/${name}`
    try {
      accessSync(path, constants.X_OK)
      found.set(name, path)
      return path
    } catch {
      // The next directory may have it.
    }
  }
  return undefined
}

/** The child begins like any other: no signal blocked or ignored (Node ignores SIGPIPE). */
const attributes = (detached: boolean): Buffer => {
  const made = Buffer.alloc(roomForAttributes)
  native.attributesInit(made)
  native.setFlags(made, SETSIGDEF | SETSIGMASK | (detached ? SETSID : 0))
  native.setDefault(made, Buffer.alloc(roomForSignals, 0xff))
  native.setMask(made, Buffer.alloc(roomForSignals))
  return made
}
let attached: Buffer | undefined
let detachedOnes: Buffer | undefined

const check = (result: number, what: string): void => {
  if (result === 0) return
  const errno = Object.entries(os.errno).find(([, number]) => number === result)?.[0] ?? `errno ${result}`
  throw new SlipwayError(errno === 'ENOENT' ? 'not-found' : 'internal', `${what}: ${errno}`, { details: { errno } })
}

interface Waiting {
  ended: (ended: Ended) => void
  detached: boolean
}
const children = new Map<number, Waiting>()
const signalNames = new Map(Object.entries(os.signals).map(([name, number]) => [number, name as NodeJS.Signals]))

/**
 * A signal handler does not keep a process alive, and a program may end after its output has: while children run that
 * somebody waits for, this does. It also finds those whose signal was lost.
 */
let waiting: NodeJS.Timeout | undefined
const keepAlive = (): void => {
  const wanted = [...children.values()].some(({ detached }) => !detached)
  if (wanted) waiting ??= setInterval(reap, 1000)
  else {
    clearInterval(waiting)
    waiting = undefined
  }
}

/** Node waits for its own children only, by pid: these are ours to wait for. */
const reap = (): void => {
  for (const [pid, { ended }] of children) {
    const status = [0]
    if (native.waitpid(pid, status, 1) !== pid) continue
    children.delete(pid)
    const signal = status[0]! & 0x7f
    ended(
      signal === 0
        ? { code: (status[0]! >> 8) & 0xff, signal: undefined }
        : { code: 128 + signal, signal: signalNames.get(signal) },
    )
  }
  keepAlive()
}
let listening = false

interface Spawned {
  pid: number
  exited: Promise<Ended>
  alive(): boolean
}

/**
 * Throws 'not-found' where there is no such program. The child runs in the namespaces of the calling thread. What begins
 * with `nsenter --mount=FILE` needs no nsenter: this thread goes there for the moment in which the child is made.
 */
export const posixSpawn = (request: SpawnRequest): Spawned => {
  const [first, second, ...argv] = request.argv
  const pin = first?.endsWith('/nsenter') ? /^--mount=(.+)$/.exec(second ?? '')?.[1] : undefined
  if (pin === undefined || argv.length === 0) return spawnHere(request)
  let started = false
  try {
    return withinMounts(pin, () => {
      started = true
      return spawnHere({ ...request, argv })
    })
  } catch (error) {
    if (started) throw error
    return spawnHere(request) // nsenter tells what is wrong
  }
}

const spawnHere = (request: SpawnRequest): Spawned => {
  const program = resolveProgram(request.argv[0]!)
  if (program === undefined)
    throw new SlipwayError('not-found', `${request.argv[0]}: ENOENT`, { details: { errno: 'ENOENT' } })
  if (!listening) {
    process.on('SIGCHLD', reap)
    listening = true
  }
  const actions = Buffer.alloc(roomForActions)
  native.actionsInit(actions)
  const moved: number[] = []
  const pid = [0]
  try {
    // Sources are kept above all targets, so that no target overwrites a source that is still to come.
    const high = request.fds.map((fd) => {
      const source = fd ?? openNull()
      if (fd === undefined) moved.push(source)
      if (source >= request.fds.length) return source
      const copy = native.dupAbove(source, F_DUPFD_CLOEXEC, Math.max(request.fds.length, 32)) as number
      moved.push(copy)
      return copy
    })
    for (const [as, fd] of high.entries()) check(native.addDup(actions, fd, as), 'posix_spawn')
    // A monitor lives as long as its container: a pipe or a lock that it held by accident would be held as long.
    if (addCloseFrom) check(addCloseFrom(actions, high.length), 'posix_spawn')
    if (request.cwd !== undefined) check(native.addChdir(actions, request.cwd), 'posix_spawn')
    const flags = request.detached ? (detachedOnes ??= attributes(true)) : (attached ??= attributes(false))
    const env = Object.entries(request.env).map(([key, value]) => `${key}=${value}`)
    check(native.spawn(pid, program, actions, flags, [...request.argv, null], [...env, null]), `cannot run ${program}`)
  } finally {
    native.actionsDestroy(actions)
    for (const fd of moved) closeSync(fd)
  }
  const exited = new Promise<Ended>((ended) => children.set(pid[0]!, { ended, detached: request.detached }))
  keepAlive()
  return { pid: pid[0]!, exited, alive: () => children.has(pid[0]!) }
}
