import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { isError, SlipwayError } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import { packTar, tarEntry } from '../../lib/tar/index.ts'
import { familiarName, formatReference, hostPlatform, type Reference } from '../../spec/oci/index.ts'
import type { EngineDeps } from '../deps.ts'
import type { Image, PullOptions } from '../types.ts'
import { type DebianImage, debianImage, imageFiles, omitted } from './debian.ts'
import { importImage } from './import.ts'
import { runMmdebstrap } from './mmdebstrap.ts'
import { cacheLifeMs, RootfsCache } from './rootfs-cache.ts'
import type { ImageStore } from './store.ts'

export interface BootstrapSettings {
  /** May a pull fall back to the package archive? Default: true. */
  enabled?: boolean | undefined
  /** Directory of root filesystems that instances share; 'off' for none. Default: $SLIPWAY_BOOTSTRAP_CACHE, else /var/cache/slipway/bootstrap. */
  cache?: string | undefined
}

type Options = Pick<PullOptions, 'signal' | 'progress'>
const dayMs = 24 * 3600 * 1000
const bootstrapLabel = 'slipway.bootstrapped'

/** Debian images from Debian's signed package archive, by mmdebstrap. */
export class Bootstrapper {
  readonly #store: ImageStore
  readonly #deps: EngineDeps
  readonly #settings: () => BootstrapSettings
  readonly #building = new KeyedMutex()
  readonly #work: string

  constructor(store: ImageStore, settings: () => BootstrapSettings) {
    this.#store = store
    this.#deps = store.deps
    this.#settings = settings
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
      const cache = this.#cache()
      const cached = await cache?.find(key)
      const builtAt = cached?.builtAt ?? this.#deps.clock.now()
      const day = new Date(Math.floor(builtAt / dayMs) * dayMs)
      options.progress?.({
        id: reference.tag,
        status: cached ? 'Building from a cached root filesystem' : "Building from Debian's package archive",
      })
      const copy = cached ? undefined : await cache?.copyTo(key)
      const wanted = { debian, day, copy, id: reference.tag, work: this.#work }
      const rootfs = cached ? createReadStream(cached.file) : runMmdebstrap(this.#deps.sys.processes, wanted, options)
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

  #cache(): RootfsCache | undefined {
    const directory = this.#settings().cache ?? process.env.SLIPWAY_BOOTSTRAP_CACHE ?? '/var/cache/slipway/bootstrap'
    const { log, clock } = this.#deps
    return directory === 'off' || directory === '' ? undefined : new RootfsCache(directory, log, () => clock.now())
  }

  /** Deletes what a killed build has left. */
  async recover(): Promise<void> {
    await rm(this.#work, { recursive: true, force: true })
  }
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

/** Errors after which the archive may be asked instead: only that nobody answered. */
export const isUnreachable = (error: unknown): boolean => isError(error, 'unavailable', 'timeout')
