/** Finds the daemon of this instance, and starts it when it does not run. */
import { connect } from 'node:net'
import { join } from 'node:path'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from '../../../lib/fs.ts'
import { isError, SlipwayError } from '../../../errors.ts'
import { type Place, placeOf, socketsOf } from '../../../instance.ts'
import type { Shell } from './command.ts'

const startLimitMs = 60_000

/** Does something answer on the socket? */
export const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

/** Resolves once the daemon answers; starts it in the background if needed. Not root: a clear error. */
export const ensureDaemon = async (shell: Shell): Promise<void> => {
  const instance = placeOf(shell.env)
  const { control } = socketsOf(instance)
  if (await answers(control)) return
  await startDaemon(shell, instance)
}

/** Does what needs the daemon, without asking first whether it is there: where it is not, it is started and asked again. */
export const withDaemon = async <T>(shell: Shell, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    const cause = isError(error, 'unavailable') ? (error.cause as NodeJS.ErrnoException | undefined) : undefined
    // Not even connected: nothing of the request can have been done.
    if (cause?.syscall !== 'connect') throw error
  }
  await ensureDaemon(shell)
  return await work()
}

const startDaemon = async (shell: Shell, instance: Place): Promise<void> => {
  // Loaded where it is needed: mostly the daemon is there.
  const { supervisorOf, takenCode } = await import('../../../sys/supervisor.ts')
  const { control } = socketsOf(instance)
  if (process.getuid?.() !== 0)
    throw new SlipwayError('forbidden', 'the slipway daemon is not running, and only root can start it', {
      hint: 'Run the same command with sudo.',
    })
  for (const dir of [instance.stateDir, instance.runDir, instance.logDir])
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  const logFile = join(instance.logDir, 'daemon.log')
  const from = existsSync(logFile) ? statSync(logFile).size : 0
  const deadline = Date.now() + startLimitMs
  let started = false
  let code: number | undefined
  let failure: unknown
  while (Date.now() < deadline) {
    if (await answers(control)) return
    // One that was killed is coming back by itself.
    if (!started && supervisorOf(instance.runDir) === undefined) {
      started = true
      const log = openSync(logFile, 'a', 0o600)
      shell
        .startDaemon(log)
        .then((ended) => {
          code = ended
        })
        .catch((error: unknown) => {
          failure = error
        })
        .finally(() => closeSync(log))
    }
    // Another command may have been faster: its daemon is awaited.
    if (code !== undefined && code !== takenCode && !(await answers(control))) break
    if (failure !== undefined) throw failure
    if (shell.signal.aborted) throw new SlipwayError('cancelled', 'canceled')
    await new Promise((go) => setTimeout(go, 10))
  }
  const why = reasonIn(readFileSync(logFile, 'utf8').slice(from))
  throw new SlipwayError('unavailable', `the slipway daemon did not start\n${why}`, { hint: `Its log is ${logFile}.` })
}

/** Errors of the log, or its last lines; stack traces are for the log only. */
const reasonIn = (log: string): string => {
  const lines = log
    .trim()
    .split('\n')
    .filter((line) => !/^\s+at |^\s*$|^Node\.js v/.test(line))
  const errors = lines.filter((line) => / ERROR |^\w*Error\b/.test(line))
  return (errors.length > 0 ? errors.slice(-2) : lines.slice(-5))
    .map((line) => line.replace(/^\S+Z ERROR (?=\S)/, '').replace(/ error=(\w*Error: )?/, ': '))
    .join('\n')
}
