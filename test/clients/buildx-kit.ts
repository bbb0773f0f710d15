/** Drives the real `docker buildx` and `docker compose` (2.x), which build through BuildKit's API. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startInstance, type TestInstance } from './instance.ts'
import { clientsIn } from './tools.ts'

interface Ran {
  code: number
  stdout: string
  stderr: string
  all: string
}
interface RunOptions {
  input?: string | Buffer
  cwd?: string
  env?: NodeJS.ProcessEnv
}
export interface Buildx {
  instance: TestInstance
  dir: string
  /** `docker ARGS`, whatever comes of it. */
  run(args: string[], options?: RunOptions): Promise<Ran>
  /** The same, which must succeed. */
  ok(args: string[], options?: RunOptions): Promise<Ran>
  start(args: string[], options?: RunOptions): ChildProcess
  /** A new directory with files; `busybox` is always there. */
  project(name: string, files: Record<string, string>): string
  stop(): void
}

/** `newest`: with the buildx and compose of Debian's next release; that compose builds by `buildx bake`. */
export const startBuildx = (newest = false): Buildx => {
  const plugin = newest ? 'docker-buildx-newest' : 'docker-buildx'
  const compose = newest ? 'docker-compose-newest' : 'docker-compose-v2'
  const bin = clientsIn(plugin, compose)
  const dir = mkdtempSync(join(tmpdir(), 'slipway-buildx-'))
  const instance = startInstance()
  const config = join(dir, 'docker-config')
  mkdirSync(join(config, 'cli-plugins'), { recursive: true })
  symlinkSync(join(bin, plugin), join(config, 'cli-plugins/docker-buildx'))
  symlinkSync(join(bin, compose), join(config, 'cli-plugins/docker-compose'))
  const env = {
    ...instance.env,
    DOCKER_CONFIG: config,
    PATH: `${process.env.PATH}:${bin}`,
    BUILDKIT_PROGRESS: 'plain',
    NO_COLOR: '1',
  }
  const start: Buildx['start'] = (args, options = {}) =>
    spawn('docker', args, { cwd: options.cwd ?? dir, env: { ...env, ...options.env }, stdio: ['pipe', 'pipe', 'pipe'] })
  const run: Buildx['run'] = (args, options = {}) => collect(start(args, options), args, options.input)
  return {
    instance,
    dir,
    run,
    start,
    async ok(args, options) {
      const ran = await run(args, options)
      assert.equal(ran.code, 0, `docker ${args.join(' ')}\n${ran.all}`)
      return ran
    },
    project(name, files) {
      const root = join(dir, name)
      mkdirSync(root, { recursive: true })
      copyFileSync('/bin/busybox', join(root, 'busybox'))
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(root, path)), { recursive: true })
        writeFileSync(join(root, path), text)
      }
      return root
    },
    stop() {
      instance.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

const collect = (child: ChildProcess, args: string[], input: string | Buffer = ''): Promise<Ran> =>
  new Promise((resolve, reject) => {
    let stdout = ''
    let stderr = ''
    let all = ''
    child.stdout!.on('data', (chunk: Buffer) => {
      stdout += chunk
      all += chunk
    })
    child.stderr!.on('data', (chunk: Buffer) => {
      stderr += chunk
      all += chunk
    })
    child.stdin!.on('error', () => {}) // the client may end without reading
    child.stdin!.end(input)
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`docker ${args.join(' ')} hangs:\n${all}`))
    }, 60_000)
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(limit)
      resolve({ code: code ?? -1, stdout, stderr, all })
    })
  })

/** An image to start from that needs no registry. */
export const shell = 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n'
