import { closeSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { basename } from 'node:path'
import type { Duplex, Readable } from 'node:stream'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import type { Child, Processes, RunOptions, RunResult, SpawnOptions } from '../sys.ts'
import { pipe, socketpair } from './libc.ts'
import { posixSpawn } from './spawn.ts'

/** What children get where nothing is said. */
export const defaultEnv = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' }

const cannotRun = (program: string, error: unknown): SlipwayError =>
  isError(error, 'not-found')
    ? new SlipwayError('unavailable', `${program}: not found`, {
        hint: `Install the package that provides '${basename(program)}' on this machine.`,
        cause: error,
      })
    : new SlipwayError('internal', `cannot run ${program}: ${messageOf(error)}`, { cause: error })

/** Keeps the last `limit` bytes. */
const tailOf = (limit: number): { add(chunk: Buffer): void; text(): string } => {
  let chunks: Buffer[] = []
  let size = 0
  return {
    add(chunk) {
      chunks.push(chunk)
      size += chunk.length
      if (size > limit * 2) {
        chunks = [Buffer.concat(chunks).subarray(-limit)]
        size = limit
      }
    },
    text: () => Buffer.concat(chunks).subarray(-limit).toString('utf8'),
  }
}

/** Resolves when the stream has ended, however. */
const read = (stream: Readable | undefined, add: (chunk: Buffer) => void): Promise<void> =>
  new Promise((resolve) => {
    if (!stream) return resolve()
    stream.on('data', add)
    stream.on('error', () => {})
    stream.on('close', () => resolve())
  })

export const run = async (argv: readonly string[], options: RunOptions = {}): Promise<RunResult> => {
  if (options.signal?.aborted) throw abortError(options.signal)
  const fds: SpawnOptions['fds'] = [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe']
  const child = spawn(argv, { cwd: options.cwd, env: options.env, fds })
  const stdout = tailOf(options.maxOutput ?? 1 << 20)
  const stderr = tailOf(options.maxOutput ?? 1 << 20)
  let stopped: SlipwayError | undefined
  const stop = (why: SlipwayError): void => {
    stopped ??= why
    child.kill('SIGKILL')
    // What the program has started may hold the pipes open: nobody waits for that.
    child.stdout?.destroy()
    child.stderr?.destroy()
  }
  const onAbort = (): void => stop(abortError(options.signal!))
  options.signal?.addEventListener('abort', onAbort, { once: true })
  const { timeoutMs } = options
  const late = (): void => stop(new SlipwayError('timeout', `${argv[0]} took longer than ${timeoutMs} ms`))
  const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs)
  if (child.stdin) {
    // A program may end without reading all of its input: its exit code tells, not EPIPE.
    child.stdin.on('error', () => {})
    child.stdin.end(options.input)
  }
  try {
    const [{ code }] = await Promise.all([child.exited, read(child.stdout, stdout.add), read(child.stderr, stderr.add)])
    if (stopped) throw stopped
    return { code, stdout: stdout.text(), stderr: stderr.text() }
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', onAbort)
    child.stdin?.destroy()
  }
}

const abortError = (signal: AbortSignal): SlipwayError =>
  signal.reason instanceof SlipwayError
    ? signal.reason
    : new SlipwayError('cancelled', 'cancelled', { cause: signal.reason })

export const must = async (argv: readonly string[], options: RunOptions = {}): Promise<RunResult> => {
  const result = await run(argv, options)
  if (result.code === 0) return result
  const said = result.stderr.trim() || result.stdout.trim().slice(-2000) || 'no message'
  throw new SlipwayError('internal', `${basename(argv[0]!)} failed (${result.code}): ${said}`, { details: result })
}

/**
 * Descriptors for a child, and our ends of them. Standard streams are real pipes: on a socket, as Node would make, a
 * program that opens /dev/stdout or /dev/stderr anew gets an error. Beyond them it is a socket, which goes both ways.
 */
const channels = (wanted: ('pipe' | 'ignore' | number)[]) => {
  const theirs: number[] = []
  const streams = new Map<number, Socket>()
  const fds = wanted.map((kind, fd) => {
    if (kind === 'ignore') return undefined
    if (kind !== 'pipe') return kind
    let [their, our] = [0, 0]
    if (fd > 2) [their, our] = socketpair()
    else {
      const ends = pipe()
      ;[their, our] = fd === 0 ? [ends.read, ends.write] : [ends.write, ends.read]
    }
    theirs.push(their)
    streams.set(fd, new Socket({ fd: our, readable: fd !== 0, writable: fd === 0 || fd > 2 }))
    return their
  })
  return {
    fds,
    streams,
    /** After the fork their ends are the child's. */
    handOver(): void {
      for (const fd of theirs) closeSync(fd)
    },
  }
}

const spawn = (argv: readonly string[], options: SpawnOptions = {}): Child => {
  const wanted = [...(options.fds ?? [])]
  while (wanted.length < 3) wanted.push('ignore')
  const { fds, streams, handOver } = channels(wanted)
  const { cwd, env = defaultEnv, detached = false } = options
  let child: ReturnType<typeof posixSpawn> | undefined
  let failure: SlipwayError | undefined
  try {
    child = posixSpawn({ argv, env, cwd, fds, detached })
  } catch (error) {
    failure = cannotRun(argv[0]!, error)
    for (const stream of streams.values()) stream.destroy()
  } finally {
    handOver()
  }
  const exited = child?.exited ?? Promise.reject(failure)
  // Whoever looks gets the error; nobody has to look.
  exited.catch(() => {})
  const pipes = new Map<number, Duplex>([...streams].filter(([fd]) => fd > 2))
  return {
    pid: child?.pid ?? 0,
    stdin: streams.get(0),
    stdout: streams.get(1),
    stderr: streams.get(2),
    pipes,
    exited,
    // Until it has been waited for, its pid cannot be another's.
    kill: (signal = 'SIGTERM') => void (child?.alive() && kill(child.pid, signal)),
  }
}

const kill: Processes['kill'] = (pid, signal) => {
  // To the kernel 0 and -1 are our own group and everybody; 1 is nobody's either. A pid that was never known must not become that.
  if (!Number.isSafeInteger(pid) || Math.abs(pid) <= 1)
    throw new SlipwayError('internal', `${pid} is no process to signal`)
  try {
    process.kill(pid, signal)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw new SlipwayError('forbidden', `cannot signal process ${pid}`, { cause: error })
  }
}

/** Fields of /proc/PID/stat from the third on; the second, the name, may itself hold blanks and parentheses. */
const statFields = (pid: number): string[] | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}
const startTime: Processes['startTime'] = (pid) => {
  const fields = statFields(pid)
  return fields === undefined || fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19])
}

const childrenOf = (pid: number): number[] => {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    )
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return []
    throw error
  }
}
/** For kernels without /proc/PID/task/TID/children. */
const childrenByScan = (pid: number): number[] =>
  readdirSync('/proc').flatMap((name) =>
    /^\d+$/.test(name) && statFields(Number(name))?.[1] === String(pid) ? [Number(name)] : [],
  )
const descendants: Processes['descendants'] = (pid) => {
  const children = existsSync(`/proc/${process.pid}/task/${process.pid}/children`) ? childrenOf : childrenByScan
  const found: number[] = []
  // 0 is what a child has that could not be started, and the parent of all.
  const todo = pid > 0 ? [pid] : []
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const mine = children(next)
    found.push(...mine)
    todo.push(...mine)
  }
  return found
}

export const processes: Omit<Processes, 'ociRuntime'> = { run, must, spawn, kill, startTime, descendants }
