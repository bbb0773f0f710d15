import { spawn } from 'node:child_process'
import { flushCompileCache, getCompileCacheDir } from 'node:module'
import { join } from 'node:path'

const main = join(import.meta.dirname, '../main.ts')
const argv = [
  '--disable-warning=ExperimentalWarning',
  // Young objects get 12 MB instead of 48: V8 would not give them back.
  '--max-semi-space-size=4',
  main,
  'daemon',
  'run',
]
/** Each of libc's arenas keeps free memory of its own; the few threads beside the main one rarely allocate. */
const memory = { MALLOC_ARENA_MAX: '2' }

/**
 * Starts the daemon of the instance named by `env` in its own session, with its output going to `log` (a descriptor).
 * Resolves with the exit code if it ends; it never keeps this process alive.
 */
export const spawnDaemon = (env: Record<string, string | undefined>, log: number): Promise<number> => {
  const child = spawn(process.execPath, argv, {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...env, ...memory } as NodeJS.ProcessEnv,
  })
  child.unref()
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1))
    child.once('error', () => resolve(1))
  })
}

const compiledMark = 'SLIPWAY_COMPILED'

/**
 * Node's TypeScript compiler, once needed, stays in memory (25 MB) for all of a daemon's life. Where it was, on the first
 * start after an installation or an update, its results are kept and the daemon begins anew, in the same process, without
 * it. Call when everything is imported and nothing is open.
 */
export const restartOnceCompiled = (env: Record<string, string | undefined>): void => {
  const compiled = (process as { moduleLoadList?: string[] }).moduleLoadList?.some((name) => name.includes('amaro/'))
  if (!compiled || !process.execve || !getCompileCacheDir() || env[compiledMark] !== undefined) return
  flushCompileCache()
  process.execve(process.execPath, [process.execPath, ...argv], { ...env, ...memory, [compiledMark]: '1' })
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
