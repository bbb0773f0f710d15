import { daemonArgv, daemonMemory } from '../daemonize.ts'
import { posixSpawn } from './spawn.ts'

/**
 * Starts the daemon of the instance named by `env` in its own session, with its output going to `log` (a descriptor) and
 * a supervisor that starts it again when it dies. Of what this process has inherited from its shell (`flock 200`,
 * `exec 3>file`) it gets nothing: it lives on, and whoever waits for the end of such a file or lock would wait as long.
 * Resolves with the exit code if it ends; it never keeps this process alive.
 */
export const spawnDaemon = async (env: Record<string, string | undefined>, log: number): Promise<number> => {
  const given = Object.entries({ ...env, ...daemonMemory, SLIPWAY_SUPERVISE: '1' })
  const child = posixSpawn({
    argv: [process.execPath, ...daemonArgv],
    env: Object.fromEntries(given.filter((entry): entry is [string, string] => entry[1] !== undefined)),
    cwd: '/',
    fds: [undefined, log, log],
    detached: true,
  })
  return (await child.exited).code
}
