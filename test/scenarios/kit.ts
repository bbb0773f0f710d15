/** One instance in a directory of its own, with a project of free ports, driven from outside as a user would. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const repository = join(import.meta.dirname, '../..')
const launcher = join(repository, 'slipway')

interface Output {
  code: number
  stdout: string
  stderr: string
}

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

export class Site {
  readonly home: string
  readonly env: Record<string, string | undefined>

  constructor(name: string, env: Record<string, string> = {}) {
    this.home = mkdtempSync(join(tmpdir(), `slipway-${name}-`))
    this.env = {
      ...process.env,
      SLIPWAY_HOME: this.home,
      DOCKER_HOST: `unix://${this.home}/run/docker.sock`,
      KUBECONFIG: `${this.home}/lib/kubeconfig`,
      NO_COLOR: '1',
      ...env,
    }
  }

  start(argv: string[], options: { cwd?: string; input?: string } = {}): ChildProcess {
    const [program, ...args] = argv
    return spawn(program!, args, {
      cwd: options.cwd ?? repository,
      env: this.env as NodeJS.ProcessEnv,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  }

  run(argv: string[], options: { cwd?: string; input?: string; timeoutMs?: number } = {}): Promise<Output> {
    return new Promise((resolve, reject) => {
      const child = this.start(argv, options)
      const output = { stdout: '', stderr: '' }
      child.stdout!.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
      child.stderr!.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
      child.stdin!.on('error', () => {})
      child.stdin!.end(options.input ?? '')
      const limit = options.timeoutMs ?? 120_000
      const timer = setTimeout(() => {
        child.kill('SIGKILL')
        reject(new Error(`${argv.join(' ')} took longer than ${limit} ms\n${output.stdout}\n${output.stderr}`))
      }, limit)
      child.once('error', reject)
      child.once('close', (code) => {
        clearTimeout(timer)
        resolve({ code: code ?? -1, ...output })
      })
    })
  }

  /** Like run, but a non-zero exit code fails the test with all that was printed. */
  async must(argv: string[], options: { cwd?: string; input?: string; timeoutMs?: number } = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(argv, options)
    if (code !== 0) throw new Error(`${argv.join(' ')} exited with ${code}\n${stdout}\n${stderr}`)
    return stdout
  }

  slipway(...args: string[]): Promise<string> {
    return this.must([launcher, '--progress', 'plain', ...args], { timeoutMs: 600_000 })
  }

  kubectl(...args: string[]): Promise<string> {
    return this.must(['kubectl', ...args])
  }

  async daemonPid(): Promise<number> {
    return (JSON.parse(await this.must([launcher, 'daemon', 'status', '--format', 'json'])) as { pid: number }).pid
  }

  /** Removes everything of the instance, whatever state it is in. */
  async remove(): Promise<void> {
    const { code, stderr } = await this.run([launcher, 'system', 'reset', '--yes'], { timeoutMs: 120_000 })
    rmSync(this.home, { recursive: true, force: true })
    if (code !== 0) throw new Error(`system reset failed: ${stderr}`)
  }
}

/** Asks again until `check` gives something, or fails with the last error. */
export const eventually = async <T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  limitMs = 30_000,
): Promise<T> => {
  const deadline = Date.now() + limitMs
  let last: unknown
  while (Date.now() < deadline) {
    try {
      const value = await check()
      if (value !== undefined && value !== false) return value
    } catch (error) {
      last = error
    }
    await new Promise((go) => setTimeout(go, 100))
  }
  throw new Error(`${what}: not within ${limitMs} ms`, { cause: last })
}
