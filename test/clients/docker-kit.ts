/** Drives the real docker client. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startInstance, type TestInstance } from './instance.ts'

export interface Ran {
  code: number
  stdout: string
  stderr: string
  /** Milliseconds. */
  took: number
}
export interface RunOptions {
  input?: string | Buffer | undefined
  env?: NodeJS.ProcessEnv | undefined
  cwd?: string | undefined
  timeoutMs?: number | undefined
}
export interface Docker {
  instance: TestInstance
  /** A directory for the test's own files. */
  dir: string
  /** `docker ARGS`, whatever comes of it. */
  run(args: string[], options?: RunOptions): Promise<Ran>
  /** `docker ARGS`, which must succeed; standard output without the last newline. */
  ok(...args: string[]): Promise<string>
  /** `docker ARGS`, which must fail; standard error. */
  fails(code: number, ...args: string[]): Promise<string>
  /** A client that is not waited for. */
  start(...args: string[]): ChildProcess
  /** `docker ARGS` at a terminal of 24 by 80; each item is typed after a pause. */
  atTerminal(args: string[], typed: string[]): Promise<{ code: number; output: string }>
  /** The Engine API itself. */
  api(method: string, path: string, body?: unknown): Promise<{ status: number; body: string; res: IncomingMessage }>
  /** Removes all containers. */
  clean(): Promise<void>
  stop(): void
}

const missing = (program: string, what: string): Error =>
  new Error(`${program} is not installed: these tests need ${what}`)
const installed = (program: string): boolean =>
  (process.env.PATH ?? '').split(':').some((dir) => dir !== '' && existsSync(join(dir, program)))

const applets =
  'sh ls cat echo true false sleep id env touch mkdir rm pwd head tail seq wc stty tty ps nc nslookup hostname mount kill ping test grep ip chmod ln dd stat date df yes tr nproc'

/** busybox as an image's root: static, so it needs nothing else. */
export const busyboxTar = (dir: string): string => {
  const root = join(dir, 'busybox')
  for (const each of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev']) mkdirSync(join(root, each), { recursive: true })
  cpSync('/bin/busybox', join(root, 'bin/busybox'))
  for (const name of applets.split(' ')) symlinkSync('busybox', join(root, 'bin', name))
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n')
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\napp:x:1000:\nextra:x:2000:app\n')
  const tar = join(dir, 'busybox.tar')
  execFileSync('tar', ['-C', root, '--owner=0', '--group=0', '-cf', tar, '.'])
  return tar
}

/** Starts an instance with the image busybox:latest. Call stop() in after(). `within`: see startInstance. */
export const startDocker = (within: readonly string[] = []): Docker => {
  if (!installed('docker')) throw missing('docker', "Docker's command line client (Debian: docker-cli or docker.io)")
  if (!existsSync('/bin/busybox')) throw missing('/bin/busybox', 'a static busybox (Debian: busybox-static)')
  if (!installed('script')) throw missing('script', 'it for a terminal (Debian: bsdutils)')
  const dir = mkdtempSync(join(tmpdir(), 'slipway-docker-'))
  const instance = startInstance(within)
  const { env } = instance
  const stop = (): void => {
    rmSync(dir, { recursive: true, force: true })
    instance.stop()
  }
  const run: Docker['run'] = (args, options = {}) => collect('docker', args, { env, ...options })
  execFileSync('docker', ['import', busyboxTar(dir), 'busybox:latest'], { env, stdio: 'ignore' })
  return {
    instance,
    dir,
    run,
    stop,
    async ok(...args) {
      const ran = await run(args)
      assert.equal(ran.code, 0, `docker ${args.join(' ')}: ${ran.stderr}`)
      return ran.stdout.replace(/\n$/, '')
    },
    async fails(code, ...args) {
      const ran = await run(args)
      assert.equal(ran.code, code, `docker ${args.join(' ')}: ${ran.stdout}${ran.stderr}`)
      return ran.stderr
    },
    async clean() {
      const ids = (await run(['ps', '-aq'])).stdout.split('\n').filter(Boolean)
      if (ids.length > 0) await run(['rm', '-fv', ...ids])
    },
    start: (...args) => spawn('docker', args, { env, stdio: ['pipe', 'pipe', 'pipe'] }),
    atTerminal: (args, typed) => atTerminal(env, args, typed),
    api: (method, path, body) => api(instance.dockerSocket, method, path, body),
  }
}

/** Runs a program to its end, whatever comes of it. */
export const collect = (program: string, args: string[], options: RunOptions): Promise<Ran> =>
  new Promise((resolve, reject) => {
    const begun = performance.now()
    const child = spawn(program, args, { env: options.env, cwd: options.cwd, stdio: ['pipe', 'pipe', 'pipe'] })
    const [out, err]: Buffer[][] = [[], []]
    child.stdout.on('data', (chunk: Buffer) => out!.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err!.push(chunk))
    child.stdin.on('error', () => {}) // the client may end without reading
    child.stdin.end(options.input ?? '')
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${program} ${args.join(' ')} hangs: ${Buffer.concat([...out!, ...err!])}`))
    }, options.timeoutMs ?? 30_000)
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(limit)
      const took = performance.now() - begun
      resolve({
        code: code ?? -1,
        stdout: Buffer.concat(out!).toString(),
        stderr: Buffer.concat(err!).toString(),
        took,
      })
    })
  })

const quoted = (word: string): string => `'${word.replace(/'/g, `'\\''`)}'`

const atTerminal = (env: NodeJS.ProcessEnv, args: string[], typed: string[]): ReturnType<Docker['atTerminal']> =>
  new Promise((resolve, reject) => {
    const command = `stty rows 24 cols 80; exec docker ${args.map(quoted).join(' ')}`
    const child = spawn('script', ['-qec', command, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    child.stdin.on('error', () => {})
    const type = async (): Promise<void> => {
      for (const keys of typed) {
        await new Promise((go) => setTimeout(go, 500))
        child.stdin.write(keys)
      }
    }
    void type()
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`docker ${args.join(' ')} hangs at the terminal: ${output}`))
    }, 20_000)
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(limit)
      resolve({ code: code ?? -1, output: output.replace(/\r/g, '') })
    })
  })

const api = (socketPath: string, method: string, path: string, body?: unknown): ReturnType<Docker['api']> =>
  new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' }
    const req = request({ socketPath, method, path, headers }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => resolve({ status: res.statusCode!, body: Buffer.concat(chunks).toString(), res }))
      res.on('error', reject)
    })
    req.on('error', reject)
    req.end(body === undefined ? undefined : JSON.stringify(body))
  })

/** Polls until `look` gives something; fails after `timeoutMs`. */
export const until = async <T>(
  what: string,
  look: () => Promise<T | undefined | false | ''>,
  timeoutMs = 10_000,
): Promise<T> => {
  const end = Date.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false && found !== '') return found
    if (Date.now() > end) throw new Error(`timed out waiting for ${what}`)
    await new Promise((go) => setTimeout(go, 50))
  }
}
