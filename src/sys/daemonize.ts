import { spawn } from 'node:child_process'
import { join } from 'node:path'

/**
 * Starts the daemon of the instance named by `env` in its own session, with its output going to `log` (a descriptor).
 * Resolves with the exit code if it ends; it never keeps this process alive.
 */
export const spawnDaemon = (env: Record<string, string | undefined>, log: number): Promise<number> => {
  const main = join(import.meta.dirname, '../main.ts')
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, 'daemon', 'run'], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log],
    env: env as NodeJS.ProcessEnv,
  })
  child.unref()
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1))
    child.once('error', () => resolve(1))
  })
}
