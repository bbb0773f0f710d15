/** What benchmarks are given: an instance of ours and Debian's dockerd, started when first asked for, and one image. */
import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { packTar, type TarMember, tarEntry } from '../src/lib/tar/index.ts'
import { type Dockerd, startDockerd } from './dockerd.ts'
import { Instance } from './instance.ts'
import { withPeers } from './packages.ts'
import { type Env, must, run } from './program.ts'

export const image = 'slipway-bench:1'

/** One side of a comparison: a Docker engine that has the image. */
export interface Side {
  host: string
  docker(...args: string[]): ReturnType<typeof must>
  /** Wall time in ms of the docker client from start to end. */
  time(...args: string[]): Promise<number>
}

export class Bench {
  readonly env: Env
  readonly say: (line: string) => void
  #dockerd: Promise<Dockerd & Side> | undefined
  #ours: Promise<Side & { instance: Instance }> | undefined

  private constructor(env: Env, say: (line: string) => void) {
    this.env = env
    this.say = say
  }

  static async open(say: (line: string) => void): Promise<Bench> {
    return new Bench(await withPeers(say), say)
  }

  ours() {
    return (this.#ours ??= this.#startOurs())
  }

  theirs() {
    return (this.#dockerd ??= this.#startTheirs())
  }

  /** A second dockerd that comes back when it is killed; the caller stops it. */
  liveDockerd() {
    return this.#startTheirs({ live: true })
  }

  /** A second dockerd that reaches the network; the caller stops it. */
  onlineDockerd() {
    return this.#startTheirs({ online: true })
  }

  async close(): Promise<void> {
    const ours = await this.#ours?.catch(() => undefined)
    const theirs = await this.#dockerd?.catch(() => undefined)
    await Promise.all([ours?.instance.remove(), theirs?.stop()])
  }

  async #startOurs() {
    const instance = new Instance(this.env)
    try {
      await instance.slipway('daemon', 'start')
      const side = this.#side(instance.host)
      await side.load()
      return { ...side, instance }
    } catch (error) {
      await instance.remove()
      throw error
    }
  }

  async #startTheirs(options: { live?: boolean; online?: boolean } = {}) {
    const dockerd = await startDockerd(this.env, options)
    this.say(`dockerd ${dockerd.version}`)
    const side = this.#side(dockerd.host)
    await side.load().catch(async (error: unknown) => {
      await dockerd.stop()
      throw error
    })
    return { ...dockerd, ...side }
  }

  #side(host: string) {
    const { env } = this
    const argv = (args: string[]): string[] => ['docker', '-H', host, ...args]
    return {
      host,
      docker: (...args: string[]) => must(argv(args), env),
      time: async (...args: string[]) => (await must(argv(args), env, { discard: true })).ms,
      load: async (): Promise<void> => {
        const imported = await run(argv(['import', '-', image]), env, { input: await buffer(busyboxTar()) })
        if (imported.code !== 0) throw new Error(`docker import: ${imported.stderr}`)
      },
    }
  }
}

const applets = ['sh', 'true', 'sleep', 'cat', 'echo', 'yes', 'head', 'httpd', 'seq', 'awk', 'ip']

/** The host's static busybox as a root file system. */
const busyboxTar = () => {
  const file = (path: string, body: Buffer, mode = 0o644): TarMember => ({
    entry: tarEntry({ path, mode, size: body.length }),
    body,
  })
  return packTar([
    ...['bin', 'etc', 'tmp', 'www'].map(
      (path): TarMember => ({ entry: tarEntry({ path, type: 'directory', mode: path === 'tmp' ? 0o1777 : 0o755 }) }),
    ),
    file('bin/busybox', readFileSync('/bin/busybox'), 0o755),
    ...applets.map(
      (name): TarMember => ({ entry: tarEntry({ path: `bin/${name}`, type: 'symlink', linkName: 'busybox' }) }),
    ),
    file('etc/passwd', Buffer.from('root:x:0:0:root:/root:/bin/sh\n')),
    file('www/index.html', Buffer.from('ready\n')),
  ])
}
