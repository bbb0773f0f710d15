/** A daemon that is killed comes back. docs/decisions/0005-a-shell-watches-the-daemon.md says why it is done so. */
import { existsSync, fstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../errors.ts'
import type { Log } from '../lib/log.ts'
import { writeAtomically } from '../lib/write-atomically.ts'
import { againCode, daemonArgv } from './daemonize.ts'
import type { Processes } from './sys.ts'

/** The exit code of a daemon that has found another one serving the instance. */
export const takenCode = 3

/** So long a daemon has to live for its end not to count as a failed start. */
const steadyMs = 10_000

/**
 * Descriptor 3 is docker's listening socket: it stays open, so that clients that come in between wait instead of being
 * refused, and it is the same one for the next daemon. The daemon holds the other end of 4, on which it can say a word;
 * the end of that is the end of the daemon, however it died. A daemon that is started here begins a supervisor of its own
 * and then ends this one: at each moment somebody notices.
 */
const script = `failed=$2
shift 2
while read -r word <&4; do
  case $word in
    stop) exit 0 ;;
    steady) failed=0 ;;
  esac
done
exec 4<&-
while [ "$failed" -lt 20 ]; do
  case $failed in 0) ;; 1 | 2) sleep "$failed" ;; 3) sleep 4 ;; *) sleep 8 ;; esac
  echo "slipway: the daemon has ended; starting another one" >&2
  SLIPWAY_RESPAWN=$failed SLIPWAY_SUPERVISOR=$$ "$@"
  case $? in
    0 | ${takenCode}) exit 0 ;;
    ${againCode}) export SLIPWAY_COMPILED=1; continue ;;
  esac
  failed=$((failed + 1))
done
echo "slipway: the daemon does not start; giving up. The next command of slipway tries again." >&2`

const name = 'slipway-supervisor'
const fileIn = (runDir: string): string => join(runDir, 'supervisor.pid')

/** The pid of the supervisor of this instance, if it lives. */
export const supervisorOf = (runDir: string): number | undefined => {
  const file = fileIn(runDir)
  if (!existsSync(file)) return undefined
  const pid = Number(readFileSync(file, 'utf8'))
  // A pid may have been given to somebody else since.
  const line = `/proc/${pid}/cmdline`
  try {
    return readFileSync(line, 'utf8').includes(`\0${name}\0${runDir}\0`) ? pid : undefined
  } catch {
    return undefined
  }
}

/** Ends the supervisor of an instance, and a daemon it is just starting. */
export const endSupervisor = (runDir: string): void => {
  const pid = supervisorOf(runDir)
  if (pid === undefined) return
  const children = `/proc/${pid}/task/${pid}/children`
  const started = existsSync(children) ? readFileSync(children, 'utf8').split(' ').filter(Boolean).map(Number) : []
  for (const each of [pid, ...started]) {
    try {
      process.kill(each, 'SIGTERM')
    } catch {
      // It has ended meanwhile, which is all that was wanted.
    }
  }
}

interface Supervision {
  /** Docker's socket as a daemon before this one has left it: bound, and perhaps with clients that wait. */
  readonly inherited: number | undefined
  /** This daemon serves: from now on it is started again when it dies. */
  begin(listening: number): void
  /** `again`: the next daemon starts when this one ends; otherwise none does. */
  end(options: { again: boolean }): void
}

/** `env` tells whether there is to be a supervisor (a foreground daemon has its user), and whether one has started this daemon. */
export const createSupervision = (deps: {
  env: NodeJS.ProcessEnv
  runDir: string
  dockerSocket: string
  processes: Pick<Processes, 'spawn'>
  log: Log
}): Supervision => {
  const { env, runDir, processes, log } = deps
  const respawned = env.SLIPWAY_RESPAWN === undefined ? undefined : Number(env.SLIPWAY_RESPAWN)
  const former = Number(env.SLIPWAY_SUPERVISOR ?? 0)
  let say: ((word: string) => void) | undefined
  let ending = false

  const start = (listening: number, failed: number): void => {
    const { SLIPWAY_COMPILED: _, ...rest } = env as Record<string, string>
    const child = processes.spawn(
      ['/bin/sh', '-c', script, name, runDir, String(failed), process.execPath, ...daemonArgv],
      { env: rest, cwd: '/', fds: ['ignore', 1, 2, listening, 'pipe'], detached: true },
    )
    const pipe = child.pipes.get(4)!
    pipe.on('error', () => {})
    say = (word) => void pipe.write(`${word}\n`)
    const steady = setTimeout(() => pipe.write('steady\n'), steadyMs).unref()
    writeAtomically(fileIn(runDir), String(child.pid), 0o600)
    child.exited.then(
      () => {
        clearTimeout(steady)
        pipe.destroy()
        if (ending) return
        log.warn('the supervisor has ended; starting another one')
        setTimeout(() => begin(listening, 0), 1000).unref()
      },
      () => {},
    )
  }
  const begin = (listening: number, failed: number): void => {
    try {
      if (!ending) start(listening, failed)
    } catch (error) {
      log.error('nobody will restart this daemon', { error: messageOf(error) })
    }
  }
  return {
    inherited: respawned !== undefined && isSocket(3) && existsSync(deps.dockerSocket) ? 3 : undefined,
    begin(listening) {
      if (env.SLIPWAY_SUPERVISE === undefined) return
      begin(listening, respawned === undefined ? 0 : respawned + 1)
      if (former > 0 && process.ppid === former) process.kill(former, 'SIGTERM')
    },
    end({ again }) {
      ending = true
      say?.(again ? 'steady' : 'stop')
    },
  }
}

const isSocket = (fd: number): boolean => {
  try {
    return fstatSync(fd).isSocket()
  } catch {
    return false
  }
}
