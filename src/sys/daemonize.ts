import { spawn } from 'node:child_process'
import { flushCompileCache, getCompileCacheDir } from 'node:module'
import { join } from 'node:path'

const main = join(import.meta.dirname, '../main.ts')
/** After the path of Node. */
export const daemonArgv = [
  '--disable-warning=ExperimentalWarning',
  // Young objects get 12 MB instead of 48: V8 would not give them back.
  '--max-semi-space-size=4',
  '--expose-gc', // sys/linux/memory.ts
  main,
  'daemon',
  'run',
]
/** Each of libc's arenas keeps free memory of its own; the few threads beside the main one rarely allocate. */
export const daemonMemory = { MALLOC_ARENA_MAX: '2' }

/** The exit code by which a daemon asks its supervisor to be started once more, at once. */
export const againCode = 75
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
  // Its supervisor has descriptors for it, which execve would close.
  if (env.SLIPWAY_RESPAWN !== undefined) process.exit(againCode)
  process.execve(process.execPath, [process.execPath, ...daemonArgv], { ...env, ...daemonMemory, [compiledMark]: '1' })
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
