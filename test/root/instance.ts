/** A whole slipway in a directory of its own: the real command line and the real daemon, as a user has them. */
import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'

const main = join(import.meta.dirname, '../../src/main.ts')

export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}
interface RunOptions {
  cwd?: string
  env?: Record<string, string | undefined>
  input?: string
  /** Killed after this long; default 60 s. */
  limitMs?: number
}

interface TestInstance {
  home: string
  kubeconfig: string
  dockerHost: string
  /** Runs one command to its end. */
  run(args: string[], options?: RunOptions): Promise<Ran>
  /** The same, failing with all it said unless it exits with 0. */
  ok(args: string[], options?: RunOptions): Promise<Ran>
  /** One that goes on; the caller ends it. */
  begin(args: string[], options?: RunOptions): Running
  destroy(): Promise<void>
}
interface Running {
  child: ChildProcessWithoutNullStreams
  /** Resolves once stdout and stderr together match; rejects when it ends before. */
  says(pattern: RegExp, limitMs?: number): Promise<void>
  ended: Promise<Ran>
}

export const start = (argv: string[], options: RunOptions = {}): Running => {
  const child = spawn(argv[0]!, argv.slice(1), { cwd: options.cwd, env: { ...process.env, ...options.env } })
  let stdout = ''
  let stderr = ''
  const waiting = new Set<() => void>()
  const heard = (): void => {
    for (const look of waiting) look()
  }
  child.stdout.on('data', (d: Buffer) => {
    stdout += d
    heard()
  })
  child.stderr.on('data', (d: Buffer) => {
    stderr += d
    heard()
  })
  child.stdin.on('error', () => {})
  if (options.input !== undefined) child.stdin.end(options.input)
  const timer = setTimeout(() => child.kill('SIGKILL'), options.limitMs ?? 60_000)
  const ended = once(child, 'close').then(([code]): Ran => {
    clearTimeout(timer)
    return { code: code as number | null, stdout, stderr }
  })
  return {
    child,
    ended,
    says: (pattern, limitMs = 20_000) =>
      new Promise((resolve, reject) => {
        const done = (error?: Error): void => {
          waiting.delete(look)
          clearTimeout(limit)
          if (error) reject(error)
          else resolve()
        }
        const look = (): void => {
          if (pattern.test(stdout + stderr)) done()
        }
        const limit = setTimeout(() => done(new Error(`never said ${pattern}:\n${stdout}${stderr}`)), limitMs)
        waiting.add(look)
        look()
        void ended.then(() => done(new Error(`ended without saying ${pattern}:\n${stdout}${stderr}`)))
      }),
  }
}

/** No daemon runs yet: the first command that needs one starts it. */
export const createInstance = (name = 'cli'): TestInstance => {
  assert.equal(process.getuid?.(), 0, 'these tests need root')
  const home = realpathSync(mkdtempSync(`/tmp/slipway-${name}-`))
  const env = { SLIPWAY_HOME: home, COMPOSE_PROGRESS: 'plain', NODE_COMPILE_CACHE: '/tmp/slipway-test-compile-cache' }
  const begin = (args: string[], options: RunOptions = {}): Running =>
    start([process.execPath, '--disable-warning=ExperimentalWarning', main, ...args], {
      cwd: home,
      ...options,
      env: { ...env, ...options.env },
    })
  const run = (args: string[], options?: RunOptions): Promise<Ran> => {
    const running = begin(args, options)
    if (options?.input === undefined) running.child.stdin.end()
    return running.ended
  }
  return {
    home,
    kubeconfig: join(home, 'lib/kubeconfig'),
    dockerHost: `unix://${join(home, 'run/docker.sock')}`,
    begin,
    run,
    async ok(args, options) {
      const ran = await run(args, options)
      assert.equal(ran.code, 0, `slipway ${args.join(' ')}\n${ran.stdout}${ran.stderr}`)
      return ran
    },
    async destroy() {
      const { code, stderr } = await run(['system', 'reset', '--yes'])
      rmSync(home, { recursive: true, force: true })
      assert.equal(code, 0, stderr)
    },
  }
}

/** Writes files into a new folder below `home`, with a busybox to COPY. */
export const projectFolder = (home: string, name: string, files: Record<string, string>): string => {
  const folder = join(home, name)
  mkdirSync(folder, { recursive: true })
  copyFileSync('/bin/busybox', join(folder, 'busybox'))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

/** An image with nothing but busybox and its applets. */
export const busyboxDockerfile = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "mkdir", "-p", "/tmp", "/www"]
RUN ["/bin/busybox", "--install", "/bin"]
`

export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await new Promise((closed) => server.close(closed))
  return port
}
