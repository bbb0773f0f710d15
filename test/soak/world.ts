/** One instance on a small disk of its own, a registry behind a line that can be cut, and clients that can be stopped. */
import { execFileSync, spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endSupervisor } from '../../src/sys/supervisor.ts'
import { busyboxTar } from '../clients/docker-kit.ts'
import { type Registry, startRegistry } from '../clients/images-kit.ts'
import { startInstance, type TestInstance } from '../clients/instance.ts'
import { clientsIn } from '../clients/tools.ts'
import type { Chance } from './chance.ts'

export interface Said {
  /** null: by a signal. */
  code: number | null
  text: string
}
interface Asked {
  env?: Record<string, string>
  cwd?: string
  /** The client gets this signal after so many milliseconds. */
  stop?: { after: number; signal: NodeJS.Signals } | undefined
}

/** Nothing that is asked here takes longer, whatever goes wrong. */
const longestMs = 180_000

export class World {
  readonly home: string
  /** For what clients write and read. */
  readonly dir = mkdtempSync(join(tmpdir(), 'slipway-soak-'))
  /** The registry as the daemon and clients name it; the line there can be cut. */
  host = ''
  registry!: Registry
  /** How often a connection to the registry is cut, from 0 to 1. */
  cuts = 0
  readonly #disk = mkdtempSync(join(tmpdir(), 'slipway-soak-disk-'))
  readonly #instance: TestInstance
  readonly #troubles: { from: number; to: number }[] = []
  readonly #chance: Chance
  #line: Server | undefined
  #live = new Set<Socket>()

  constructor(chance: Chance, diskMB: number) {
    this.#chance = chance
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMB}m`, 'soak', this.#disk])
    const elsewhere = process.env.TMPDIR
    process.env.TMPDIR = this.#disk
    try {
      this.#instance = startInstance()
    } catch (error) {
      execFileSync('umount', ['-l', this.#disk])
      throw error
    } finally {
      if (elsewhere === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = elsewhere
    }
    this.home = this.#instance.home
    const plugins = join(this.dir, 'docker/cli-plugins')
    mkdirSync(plugins, { recursive: true })
    mkdirSync(join(this.dir, 'tmp'))
    symlinkSync(join(clientsIn('docker-buildx'), 'docker-buildx'), join(plugins, 'docker-buildx'))
  }

  async open(): Promise<void> {
    this.registry = await startRegistry(this.dir)
    this.host = await this.#openLine()
    await this.importBase()
  }

  /** The image that everything here is built on. */
  async importBase(): Promise<void> {
    const tar = join(this.dir, 'busybox.tar')
    if (!existsSync(tar)) busyboxTar(this.dir)
    await this.must(['docker', 'import', tar, 'busybox:latest'])
    await this.must(['docker', 'tag', 'busybox', `${this.host}/base:1`])
    await this.must(['docker', 'push', '-q', `${this.host}/base:1`])
  }

  /** Of this instance's daemon, and nobody else's; undefined while there is none that says who it is. */
  get daemon(): number | undefined {
    try {
      const { pid } = JSON.parse(readFileSync(join(this.home, 'run/daemon.json'), 'utf8')) as { pid: number }
      const [environment, line] = ['environ', 'cmdline'].map((name) => readFileSync(`/proc/${pid}/${name}`, 'utf8'))
      const ours = environment!.split('\0').includes(`SLIPWAY_HOME=${this.home}`) && line!.includes('\0daemon\0run')
      return ours ? pid : undefined
    } catch {
      return undefined
    }
  }

  get pid(): number {
    const { daemon } = this
    if (daemon === undefined) throw new Error('there is no daemon')
    return daemon
  }

  /** Runs a client to its end, whatever comes of it. 'slipway' is ours. */
  ask([program = '', ...args]: readonly string[], options: Asked = {}): Promise<Said> {
    const path = program === 'slipway' ? join(import.meta.dirname, '../../slipway') : program
    const env = { ...this.#instance.env, TMPDIR: join(this.dir, 'tmp'), DOCKER_CONFIG: join(this.dir, 'docker') }
    const child = spawn(path, args, {
      cwd: options.cwd ?? this.dir,
      env: { ...env, BUILDKIT_PROGRESS: 'plain', ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const said: string[] = []
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data: Buffer) => said.push(data.toString('latin1')))
    // All of it: docker's plugins are processes of their own.
    const end = (signal: NodeJS.Signals): void => {
      try {
        process.kill(-child.pid!, signal)
      } catch {
        // over already
      }
    }
    const { stop } = options
    const timers = [setTimeout(() => end('SIGKILL'), longestMs)]
    if (stop) timers.push(setTimeout(() => end(stop.signal), stop.after))
    const begun = Date.now()
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        for (const timer of timers) clearTimeout(timer)
        const hangs = Date.now() - begun >= longestMs
        resolve({ code, text: said.join('') + (hangs ? `\nHANGS: ended after ${longestMs / 1000} s` : '') })
      })
    })
  }

  async must(argv: readonly string[]): Promise<string> {
    const { code, text } = await this.ask(argv)
    if (code !== 0) throw new Error(`${argv.join(' ')}: ${code}\n${text}`)
    return text.trim()
  }

  /** From now until the end of the task anything may fail, and a little longer. */
  async trouble<T>(task: () => Promise<T>): Promise<T> {
    const one = { from: Date.now(), to: Number.POSITIVE_INFINITY }
    this.#troubles.push(one)
    try {
      return await task()
    } finally {
      one.to = Date.now() + 1000
    }
  }

  /** Was there any since then? */
  troubledSince(time: number): boolean {
    return this.#troubles.some(({ to }) => to >= time)
  }

  kill(how: 'alone' | 'for good'): void {
    const { daemon } = this
    if (how === 'for good') endSupervisor(join(this.home, 'run'))
    if (daemon !== undefined) process.kill(daemon, 'SIGKILL')
  }

  /** Returns when a daemon answers, which is started where none is. */
  async up(): Promise<void> {
    for (let i = 0; ; i++) {
      const { code, text } = await this.ask(['slipway', 'daemon', 'start'])
      const answers = code === 0 && (await this.ask(['docker', 'version', '-f', '{{.Server.Version}}'])).code === 0
      if (answers) return
      if (i > 20) throw new Error(`the daemon does not come up: ${text}`)
      await sleep(500)
    }
  }

  /** Leaves so many bytes of the disk. */
  fill(room: number): void {
    const filler = join(this.#disk, 'filler')
    for (let size = 4 << 20; size >= 4096; size /= 4)
      try {
        for (;;) writeFileSync(filler, Buffer.alloc(size), { flag: 'a' })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
    const size = Number(execFileSync('stat', ['-c', '%s', filler], { encoding: 'utf8' }))
    truncateSync(filler, Math.max(0, size - room))
  }

  free(): void {
    rmSync(join(this.#disk, 'filler'), { force: true })
  }

  async #openLine(): Promise<string> {
    const [, port] = this.registry.host.split(':')
    this.#line = createServer((near) => {
      const far = connect(Number(port), '127.0.0.1')
      let left = this.#chance.happens(this.cuts) ? this.#chance.between(0, 1 << this.#chance.between(8, 23)) : undefined
      const pass = (from: Socket, to: Socket): void => {
        this.#live.add(from)
        from.on('data', (data: Buffer) => {
          if (left !== undefined && (left -= data.length) < 0) {
            near.resetAndDestroy()
            far.destroy()
          }
        })
        from.on('error', () => to.destroy())
        from.on('close', () => {
          this.#live.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
      pass(near, far)
      pass(far, near)
    })
    await new Promise<void>((resolve) => this.#line!.listen(0, '127.0.0.1', resolve))
    return `127.0.0.1:${(this.#line.address() as AddressInfo).port}`
  }

  close(): void {
    for (const socket of this.#live) socket.destroy()
    this.#line?.close()
    this.registry?.stop()
    this.free()
    try {
      this.#instance.stop()
    } finally {
      execFileSync('umount', ['-l', this.#disk])
      rmSync(this.#disk, { recursive: true })
      rmSync(this.dir, { recursive: true, force: true })
    }
  }
}
