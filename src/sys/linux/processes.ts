import { spawn as nodeSpawn, type StdioOptions } from 'node:child_process'
import { closeSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { constants } from 'node:os'
import { basename } from 'node:path'
import type { Duplex } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { pipe } from './libc.ts'
import type { Child, Processes, RunOptions, RunResult, SpawnOptions } from '../sys.ts'

const defaultEnv = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' }

const cannotRun = (program: string, error: NodeJS.ErrnoException): SlipwayError =>
  error.code === 'ENOENT'
    ? new SlipwayError('unavailable', `${program}: not found`, {
        hint: `Install the package that provides '${basename(program)}' on this machine.`,
        cause: error,
      })
    : new SlipwayError('internal', `cannot run ${program}: ${error.message}`, { cause: error })

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

export const run = (argv: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
  new Promise((resolve, reject) => {
    const program = argv[0]!
    if (options.signal?.aborted) return reject(abortError(options.signal))
    const child = nodeSpawn(program, argv.slice(1), {
      cwd: options.cwd,
      env: options.env ?? defaultEnv,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
    const stdout = tailOf(options.maxOutput ?? 1 << 20)
    const stderr = tailOf(options.maxOutput ?? 1 << 20)
    let stopped: SlipwayError | undefined
    const stop = (why: SlipwayError): void => {
      stopped ??= why
      child.kill('SIGKILL')
    }
    const onAbort = (): void => stop(abortError(options.signal!))
    options.signal?.addEventListener('abort', onAbort, { once: true })
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(
            () => stop(new SlipwayError('timeout', `${program} took longer than ${options.timeoutMs} ms`)),
            options.timeoutMs,
          )
    const over = (): void => {
      clearTimeout(timer)
      options.signal?.removeEventListener('abort', onAbort)
    }
    child.stdout!.on('data', stdout.add)
    child.stderr!.on('data', stderr.add)
    child.on('error', (error) => {
      over()
      reject(cannotRun(program, error))
    })
    child.on('close', (code, signal) => {
      over()
      if (stopped) return reject(stopped)
      resolve({ code: code ?? 128 + (constants.signals[signal!] ?? 0), stdout: stdout.text(), stderr: stderr.text() })
    })
    if (child.stdin) {
      // A program may end without reading all of its input: its exit code tells, not EPIPE.
      child.stdin.on('error', () => {})
      child.stdin.end(options.input)
    }
  })

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
 * Standard streams are real pipes. Node's own are sockets, and a program that opens /dev/stdout or /dev/stderr anew gets
 * an error on those.
 */
const standardPipes = (stdio: (string | number)[]) => {
  const theirs: number[] = []
  const ours = ([0, 1, 2] as const).map((fd) => {
    if (stdio[fd] !== 'pipe') return undefined
    const ends = pipe()
    const [their, our] = fd === 0 ? [ends.read, ends.write] : [ends.write, ends.read]
    theirs.push(their)
    stdio[fd] = their
    return our
  })
  return {
    /** After the fork: their ends are the child's now. */
    handOver() {
      for (const fd of theirs) closeSync(fd)
    },
    stream: (fd: 0 | 1 | 2): Socket | undefined =>
      ours[fd] === undefined ? undefined : new Socket({ fd: ours[fd], readable: fd !== 0, writable: fd === 0 }),
  }
}

const spawn = (argv: readonly string[], options: SpawnOptions = {}): Child => {
  const program = argv[0]!
  const stdio: (string | number)[] = [...(options.fds ?? [])]
  while (stdio.length < 3) stdio.push('ignore')
  const standard = standardPipes(stdio)
  const child = nodeSpawn(program, argv.slice(1), {
    cwd: options.cwd,
    env: options.env ?? defaultEnv,
    stdio: stdio as StdioOptions,
    detached: options.detached ?? false,
  })
  standard.handOver()
  const pipes = new Map<number, Duplex>()
  for (let fd = 3; fd < stdio.length; fd++) if (stdio[fd] === 'pipe') pipes.set(fd, child.stdio[fd] as Duplex)
  const exited = new Promise<{ code: number; signal: NodeJS.Signals | undefined }>((resolve, reject) => {
    child.on('error', (error) => reject(cannotRun(program, error)))
    child.on('exit', (code, signal) =>
      resolve({ code: code ?? 128 + (constants.signals[signal!] ?? 0), signal: signal ?? undefined }),
    )
  })
  // Whoever looks gets the error; nobody has to look.
  exited.catch(() => {})
  if (options.detached) child.unref()
  return {
    pid: child.pid ?? 0,
    stdin: standard.stream(0),
    stdout: standard.stream(1),
    stderr: standard.stream(2),
    pipes,
    exited,
    kill: (signal = 'SIGTERM') => void child.kill(signal),
  }
}

const kill: Processes['kill'] = (pid, signal) => {
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
  const todo = [pid]
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const mine = children(next)
    found.push(...mine)
    todo.push(...mine)
  }
  return found
}

export const processes: Omit<Processes, 'ociRuntime'> = { run, must, spawn, kill, startTime, descendants }
