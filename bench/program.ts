/** Programs run from outside, as a user runs them, and timed by the wall clock. */
import { type ChildProcess, spawn } from 'node:child_process'

export type Env = Record<string, string | undefined>

export interface Finished {
  code: number
  stdout: string
  stderr: string
  /** From before the process is made until it is gone and its output is read. */
  ms: number
}

export const start = (argv: readonly string[], env: Env, stdio: 'pipe' | 'ignore' = 'pipe'): ChildProcess =>
  spawn(argv[0]!, argv.slice(1), { env: env as NodeJS.ProcessEnv, stdio: ['pipe', stdio, stdio], cwd: '/' })

export const run = (
  argv: readonly string[],
  env: Env = process.env,
  options: { input?: Buffer; limitMs?: number; discard?: boolean } = {},
): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const from = performance.now()
    const child = start(argv, env, options.discard ? 'ignore' : 'pipe')
    const chunks: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] }
    child.stdout?.on('data', (chunk: Buffer) => chunks.stdout.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => chunks.stderr.push(chunk))
    child.stdin!.on('error', () => {}) // it may not read its input
    child.stdin!.end(options.input ?? '')
    const timer = setTimeout(() => child.kill('SIGKILL'), options.limitMs ?? 120_000)
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      const [stdout, stderr] = [Buffer.concat(chunks.stdout).toString(), Buffer.concat(chunks.stderr).toString()]
      resolve({ code: code ?? -1, stdout, stderr, ms: performance.now() - from })
    })
  })

/** Like run; a failure ends the benchmark with all that was printed. */
export const must = async (...args: Parameters<typeof run>): Promise<Finished> => {
  const finished = await run(...args)
  if (finished.code !== 0)
    throw new Error(`${args[0].join(' ')} exited with ${finished.code}\n${finished.stdout}\n${finished.stderr}`)
  return finished
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Asks every 20 ms until there is an answer. */
export const eventually = async <T>(what: string, ask: () => Promise<T | undefined>, limitMs = 30_000): Promise<T> => {
  for (const deadline = Date.now() + limitMs; Date.now() < deadline; await pause(20)) {
    const answer = await ask()
    if (answer !== undefined) return answer
  }
  throw new Error(`${what}: not within ${limitMs} ms`)
}

/** ext4 without a journal passes over inodes that were deleted a short time ago, one by one: what others left must slow the next less. */
export const deleted = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 6000))
