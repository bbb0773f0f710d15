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

/** Runs a credential helper or exec plugin to its end, with the given input on stdin; its stderr is the user's. */
export const runHelper = (
  argv: readonly string[],
  options: { input?: string; env?: Record<string, string | undefined> } = {},
): Promise<{ code: number; stdout: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: (options.env ?? process.env) as NodeJS.ProcessEnv,
    })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stdin.on('error', () => {}) // it may not read its input
    child.stdin.end(options.input ?? '')
    child.once('error', reject)
    child.once('close', (code) => resolve({ code: code ?? 1, stdout: Buffer.concat(chunks).toString() }))
  })
