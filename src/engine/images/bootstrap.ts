import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { access, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { PassThrough, pipeline, Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { createZstdCompress } from 'node:zlib'
import { isError, SlipwayError } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import { packTar, tarEntry } from '../../lib/tar/index.ts'
import { familiarName, formatReference, hostPlatform, type Reference } from '../../spec/oci/index.ts'
import type { EngineDeps } from '../deps.ts'
import type { Image, PullOptions } from '../types.ts'
import {
  type DebianImage,
  debianImage,
  defaultMirror,
  imageFiles,
  mirrorsIn,
  omitted,
  slimRules,
  sourcesOf,
} from './debian.ts'
import { importImage } from './import.ts'
import type { ImageStore } from './store.ts'

export interface BootstrapSettings {
  /** May a pull fall back to the package archive? Default: true. */
  enabled?: boolean | undefined
  /** Directory of root filesystems that instances share; 'off' for none. Default: $SLIPWAY_BOOTSTRAP_CACHE, else /var/cache/slipway/bootstrap. */
  cache?: string | undefined
}

type Options = Pick<PullOptions, 'signal' | 'progress'>
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'
const dayMs = 24 * 3600 * 1000
const cacheLifeMs = 7 * dayMs
export const bootstrapLabel = 'slipway.bootstrapped'

/** Debian images from Debian's signed package archive, by mmdebstrap. */
export class Bootstrapper {
  readonly #store: ImageStore
  readonly #deps: EngineDeps
  readonly #cache: string | undefined
  readonly #building = new KeyedMutex()
  readonly #work: string

  constructor(store: ImageStore, settings: BootstrapSettings) {
    this.#store = store
    this.#deps = store.deps
    const cache = settings.cache ?? process.env.SLIPWAY_BOOTSTRAP_CACHE ?? '/var/cache/slipway/bootstrap'
    this.#cache = cache === 'off' || cache === '' ? undefined : cache
    this.#work = `${this.#deps.instance.stateDir}/bootstrap`
  }

  /** Has this reference an equivalent in the archive? */
  offers(reference: Reference, platform: PullOptions['platform']): boolean {
    const host = hostPlatform()
    return debianImage(reference) !== undefined && (!platform || platform.architecture === host.architecture)
  }

  /** Made less than a week ago: good enough for a pull that cannot ask. */
  recent(reference: Reference): Image | undefined {
    const image = this.#store.get(formatReference(reference))
    return image?.bootstrapped && image.createdAt > this.#deps.clock.now() - cacheLifeMs ? image : undefined
  }

  async build(reference: Reference, options: Options): Promise<Image> {
    const debian = debianImage(reference)
    if (!debian)
      throw new SlipwayError('invalid', `cannot build ${familiarName(reference)} from a package archive`, {
        hint: 'debian:SUITE and debian:SUITE-slim can be built, with a suite like bookworm or trixie.',
      })
    const key = `${debian.suite}-${debian.slim ? 'slim' : 'full'}-${hostPlatform().architecture}`
    return this.#building.run(key, async () => {
      const cached = await this.#cached(key)
      const builtAt = cached?.builtAt ?? this.#deps.clock.now()
      const day = new Date(Math.floor(builtAt / dayMs) * dayMs)
      options.progress?.({
        id: reference.tag,
        status: cached ? 'Building from a cached root filesystem' : "Building from Debian's package archive",
      })
      const rootfs = cached ? createReadStream(cached.file) : this.#mmdebstrap(debian, key, day, reference.tag, options)
      const importing = importImage(this.#store, rootfs, {
        name: formatReference(reference),
        config: {
          Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
          Cmd: ['bash'],
          Labels: { [bootstrapLabel]: key },
        },
        created: day.toISOString(),
        createdBy: `mmdebstrap --variant=minbase ${debian.suite}${debian.slim ? ' # slim' : ''}`,
        message: "built from Debian's package archive",
        bootstrapped: true,
        unpack: { omit: omitted, extra: await extraFiles(debian) },
        signal: options.signal,
      })
      // Whatever happens, mmdebstrap and its directory are gone before this is over.
      const image = await importing.finally(() => {
        rootfs.destroy()
        return rootfs.closed ? undefined : once(rootfs, 'close').catch(() => {})
      })
      options.progress?.({ id: reference.tag, status: 'Build complete' })
      return image
    })
  }

  /** Deletes what a killed build has left. */
  async recover(): Promise<void> {
    await rm(this.#work, { recursive: true, force: true })
  }

  async #cached(key: string): Promise<{ file: string; builtAt: number } | undefined> {
    const file = `${this.#cache}/${key}.tar.zst`
    if (this.#cache === undefined) return undefined
    try {
      const [directory, found] = [await stat(this.#cache), await stat(file)]
      // Somebody else's directory could hold somebody else's Debian.
      const trusted = [directory, found].every(({ uid, mode }) => uid === process.getuid?.() && (mode & 0o022) === 0)
      const fresh = found.mtimeMs > this.#deps.clock.now() - cacheLifeMs
      return trusted && fresh ? { file, builtAt: found.mtimeMs } : undefined
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  /** The root filesystem as mmdebstrap writes it, with a copy going to the cache. Fails when mmdebstrap does. */
  #mmdebstrap(debian: DebianImage, key: string, day: Date, id: string | undefined, options: Options): Readable {
    const self = this
    return Readable.from(
      (async function* (): AsyncGenerator<Buffer> {
        const directory = `${self.#work}/${randomUUID()}`
        await mkdir(directory, { recursive: true, mode: 0o700 })
        const child = self.#deps.sys.processes.spawn(await self.#argv(debian), {
          fds: ['ignore', 'pipe', 'pipe'],
          detached: true, // on a signal mmdebstrap hangs up its whole process group, which must not be ours
          env: { ...environment(), TMPDIR: directory, SOURCE_DATE_EPOCH: String(day.getTime() / 1000) },
        })
        // Its parts run in one group, and only the group as a whole ends at once.
        let over = false
        const stop = (): void => {
          if (!over) self.#deps.sys.processes.kill(-child.pid, 'SIGTERM')
        }
        void child.exited.catch(() => {}).then(() => (over = true))
        options.signal?.addEventListener('abort', stop, { once: true })
        const said = listen(child.stderr!, id, options)
        const copy = await self.#copyTo(key)
        try {
          for await (const chunk of child.stdout! as AsyncIterable<Buffer>) {
            await copy?.write(chunk)
            yield chunk
          }
          const { code } = await child.exited
          options.signal?.throwIfAborted()
          if (code !== 0) throw failure(debian, said())
          await copy?.keep()
        } finally {
          options.signal?.removeEventListener('abort', stop)
          stop() // over already, unless the reader has gone
          await copy?.drop()
          await child.exited.catch(() => {})
          await rm(directory, { recursive: true, force: true })
        }
      })(),
      { objectMode: false, highWaterMark: 1 << 20 },
    )
  }

  async #argv(debian: DebianImage): Promise<string[]> {
    await access(keyring).catch((cause: unknown) => {
      throw new SlipwayError('unavailable', `${keyring} is missing`, {
        hint: "Install the package debian-archive-keyring: Debian's signatures cannot be checked without it.",
        cause,
      })
    })
    const own = mirrorsIn(await aptSources())
    const archive = own.archive ?? defaultMirror
    const options = ['force-unsafe-io', ...(debian.slim ? slimRules : [])].map((rule) => `--dpkgopt=${rule}`)
    return [
      'mmdebstrap',
      '--variant=minbase',
      '--mode=root',
      '--format=tar',
      '--skip=output/dev',
      `--keyring=${keyring}`,
      '--aptopt=Acquire::Languages "none"',
      '--aptopt=Acquire::Retries "2"',
      '--aptopt=Acquire::http::Timeout "20"',
      ...options,
      ...(await mergedUsr(debian)),
      debian.suite,
      '-',
      ...sourcesOf(debian.suite, archive, own.security ?? 'http://deb.debian.org/debian-security'),
    ]
  }

  /** A second copy on the way, compressed. The cache is a convenience: where it cannot be written, there is none. */
  async #copyTo(key: string) {
    if (this.#cache === undefined) return undefined
    const file = `${this.#cache}/${key}.tar.zst`
    const partial = `${file}.${randomUUID()}`
    try {
      await mkdir(this.#cache, { recursive: true, mode: 0o755 })
      await dropStale(this.#cache, this.#deps.clock.now())
    } catch (error) {
      this.#deps.log.warn('cannot keep a root filesystem for later', { directory: this.#cache, error: String(error) })
      return undefined
    }
    const input = new PassThrough({ highWaterMark: 4 << 20 })
    const output = createWriteStream(partial, { mode: 0o644, flush: true })
    let failed: unknown
    const done = new Promise<void>((resolve) => {
      pipeline(input, createZstdCompress(), output, (error) => {
        failed = error
        input.resume()
        resolve()
      })
    })
    return {
      async write(chunk: Buffer): Promise<void> {
        if (failed || input.destroyed || input.write(chunk)) return
        await Promise.race([new Promise((go) => input.once('drain', go)), done])
      },
      keep: async (): Promise<void> => {
        input.end()
        await done
        if (!failed) await rename(partial, file)
      },
      drop: async (): Promise<void> => {
        input.destroy()
        await done
        await finished(output).catch(() => {})
        await rm(partial, { force: true })
      },
    }
  }
}

/** A merged /usr from the start: otherwise bookworm installs a package that merges it, and all of perl with that. */
const mergedUsr = async (debian: DebianImage): Promise<string[]> => {
  const hooks = '/usr/share/mmdebstrap/hooks/maybe-merged-usr'
  const there = await access(hooks).then(
    () => true,
    () => false,
  )
  return there ? [`--hook-dir=${hooks}`, ...(debian.suite === 'bookworm' ? ['--include=usr-is-merged'] : [])] : []
}

/** Small files every such image gets, as a tar. */
const extraFiles = async (debian: DebianImage): Promise<Buffer> => {
  const members = Object.entries(imageFiles(debian)).map(([path, { text, mode }]) => {
    const body = Buffer.from(text)
    return { entry: tarEntry({ path, size: body.length, mode: mode ?? 0o644 }), body }
  })
  const dev = { entry: tarEntry({ path: 'dev', type: 'directory' }) }
  const parts: Buffer[] = []
  for await (const part of packTar([dev, ...members])) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

/** Tells the user each step mmdebstrap names; returns the last lines on demand. */
const listen = (stderr: Readable, id: string | undefined, options: Options): (() => string[]) => {
  let lines: string[] = []
  let rest = ''
  stderr.setEncoding('utf8')
  stderr.on('data', (text: string) => {
    const whole = (rest + text).split('\n')
    rest = whole.pop()!
    for (const line of whole) {
      const step = /^I: ((?:running|downloading|extracting|installing|cleaning|creating)[^/]*?)(?:\.\.\.)?$/.exec(
        line,
      )?.[1]
      if (step) options.progress?.({ id, status: step[0]!.toUpperCase() + step.slice(1) })
    }
    lines = [...lines, ...whole.filter((line) => /^(E|W|Err|error)/i.test(line))].slice(-10)
  })
  return () => lines
}

const failure = (debian: DebianImage, lines: string[]): SlipwayError =>
  new SlipwayError('unavailable', `cannot build debian:${debian.suite} from the package archive: ${lines.join('; ')}`, {
    hint: "Check that Debian's archive can be reached: apt-get update.",
  })

const environment = (): Record<string, string> => {
  const env: Record<string, string> = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' }
  for (const name of ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'])
    if (process.env[name] !== undefined) env[name] = process.env[name]
  return env
}

const aptSources = async (): Promise<string[]> => {
  const read = (file: string): Promise<string> =>
    readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
  const release = await read('/etc/os-release')
  if (!/^ID=debian$/m.test(release)) return []
  const directory = '/etc/apt/sources.list.d'
  const names = await readdir(directory).catch(() => [])
  const files = names.filter((name) => /\.(list|sources)$/.test(name)).map((name) => `${directory}/${name}`)
  return Promise.all(['/etc/apt/sources.list', ...files.sort()].map(read))
}

/** Old root filesystems, and copies nobody finished. */
const dropStale = async (directory: string, now: number): Promise<void> => {
  for (const name of await readdir(directory)) {
    if (!/\.tar\.zst(\.|$)/.test(name)) continue
    const limit = name.endsWith('.zst') ? cacheLifeMs : dayMs
    const { mtimeMs } = await stat(`${directory}/${name}`).catch(() => ({ mtimeMs: now }))
    if (mtimeMs < now - limit) await rm(`${directory}/${name}`, { force: true })
  }
}

/** Errors after which the archive may be asked instead: only that nobody answered. */
export const isUnreachable = (error: unknown): boolean => isError(error, 'unavailable', 'timeout')
