import { isError, SlipwayError } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import { Semaphore } from '../../lib/semaphore.ts'
import {
  chainIds,
  choosePlatform,
  type Descriptor,
  type Digest,
  familiarName,
  familiarRepository,
  formatPlatform,
  formatReference,
  hostPlatform,
  type ImageConfig,
  isIndexType,
  layerCompression,
  type Manifest,
  parseReference,
  readIndex,
  readManifest,
  platformRank,
  type Reference,
  repositoryOf,
  withTag,
} from '../../spec/oci/index.ts'
import type { Distribution, FetchedManifest, Repository } from '../distribution/index.ts'
import type { Image, PullOptions } from '../types.ts'
import { checkConfigType, checkSystem, readConfig } from './config.ts'
import type { LayerBlob } from './records.ts'
import type { ImageStore, Lease } from './store.ts'

const parallelDownloads = 3

/** Pulls of one daemon share their downloads: a layer two images want is fetched once. */
export class Puller {
  readonly #store: ImageStore
  readonly #distribution: Distribution
  readonly #downloads = new Semaphore(parallelDownloads)
  readonly #layers = new KeyedMutex()
  #waiting = 0

  constructor(store: ImageStore, distribution: Distribution) {
    this.#store = store
    this.#distribution = distribution
  }

  async pull(reference: Reference, options: PullOptions): Promise<Image> {
    const say = options.progress ?? (() => {})
    if (familiarRepository(reference) === 'scratch') throw new SlipwayError('invalid', "'scratch' is a reserved name")
    const repository = this.#distribution.read(reference, options)
    const top = await repository.manifest(reference.digest ?? reference.tag!)
    const asked = reference.tag ?? `${repositoryOf(reference)}@${reference.digest}`
    say({ id: asked, status: `Pulling from ${reference.path}` })
    const chosen = await this.#forPlatform(repository, top, options)
    const body = chosen.body.toString('utf8')
    const manifest = readManifest(body)
    checkConfigType(manifest.config)
    const known = this.#store.records.get(manifest.config.digest)
    const raw = known?.config ?? (await repository.smallBlob(manifest.config)).toString('utf8')
    const config = readConfig(raw)
    checkSystem(config, (os) => `cannot download image with operating system "${os}" when requesting "linux"`)
    const other = otherPlatform(reference, config, options)
    if (other && !options.anyPlatform) throw other
    const before = reference.digest === undefined ? this.#store.resolveName(formatReference(reference)) : known?.id
    const image = await this.#store.lease((lease) =>
      this.#gathering(manifest, options, async () => {
        const { chain, blobs } = await this.#layersOf(lease, repository, manifest, config, options)
        const name = formatReference(reference)
        const taken =
          options.yieldName === true && ![undefined, manifest.config.digest].includes(this.#store.resolveName(name))
        return await this.#store.register({
          config: { raw },
          snapshots: chain,
          names: reference.digest === undefined && !taken ? [name] : [],
          repoDigests: [`${repositoryOf(reference)}@${top.digest}`],
          blobs,
          manifest: { digest: chosen.digest, mediaType: chosen.mediaType, body },
          signal: options.signal,
        })
      }),
    )
    say({ status: `Digest: ${top.digest}` })
    const outcome = before === manifest.config.digest ? 'Image is up to date for' : 'Downloaded newer image for'
    say({ status: `Status: ${outcome} ${familiarName(reference)}` })
    if (other) say({ status: `WARNING: ${other.message}` })
    const attributes = { name: familiarRepository(reference) }
    this.#store.deps.events.emit({ type: 'image', action: 'pull', id: familiarName(reference), attributes })
    return image
  }

  /** Of a pull that was interrupted, what was downloaded stays for the next one, layers that had come whole included. */
  async #gathering<T>({ layers }: Manifest, { signal }: PullOptions, task: () => Promise<T>): Promise<T> {
    let stays = false
    try {
      return await task()
    } catch (error) {
      stays = signal?.aborted === true || isError(error, 'cancelled', 'unavailable')
      throw error
    } finally {
      if (!stays) await this.#store.content.dropPartials(layers.map(({ digest }) => digest))
    }
  }

  /** Follows an index to the manifest for the wanted platform. */
  async #forPlatform(repository: Repository, top: FetchedManifest, options: PullOptions): Promise<FetchedManifest> {
    let current = top
    for (let depth = 0; isIndexType(current.mediaType); depth++) {
      const wanted = options.platform ?? hostPlatform()
      const { manifests } = readIndex(current.body.toString('utf8'))
      const chosen = depth < 3 ? choosePlatform(manifests, wanted) : undefined
      if (!chosen)
        throw new SlipwayError(
          'not-found',
          `no matching manifest for ${formatPlatform(wanted)} in the manifest list entries`,
        )
      current = await repository.manifest(chosen.digest)
    }
    return current
  }

  /** All downloads at once (three of them active), unpacking in order behind them. */
  async #layersOf(
    lease: Lease,
    repository: Repository,
    manifest: Manifest,
    config: ImageConfig,
    options: PullOptions,
  ): Promise<{ chain: string[]; blobs: LayerBlob[] }> {
    const diffIds = config.rootfs.diff_ids
    if (diffIds.length !== manifest.layers.length)
      throw new SlipwayError(
        'invalid',
        `manifest has ${manifest.layers.length} layers, configuration ${diffIds.length}`,
      )
    for (const { mediaType } of manifest.layers)
      if (layerCompression(mediaType) === undefined)
        throw new SlipwayError('unsupported', `unsupported media type ${mediaType}`, {
          hint: 'This is not a container image but another kind of artifact.',
        })
    const here = this.#store.whole(manifest.config.digest, lease)
    if (here) return { chain: here, blobs: [] }
    const chain = chainIds(diffIds)
    const failed = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal
    const downloads: (Promise<string> | undefined)[] = []
    for (const [i, layer] of manifest.layers.entries()) {
      if (await this.#present(lease, chain[i]!, diffIds[i]!, signal)) {
        options.progress?.({ id: short(layer.digest), status: 'Already exists' })
        downloads.push(undefined)
        continue
      }
      const download = this.#download(lease, repository, layer, options, signal)
      download.catch(() => {}) // seen by the loop below, which may not have come so far
      downloads.push(download)
    }
    const blobs: LayerBlob[] = []
    try {
      for (const [i, download] of downloads.entries()) {
        if (!download) continue
        const unpacked = await this.#unpack(
          lease,
          manifest.layers[i]!,
          diffIds[i]!,
          chain,
          i,
          download,
          options,
          signal,
        )
        if (unpacked) blobs.push(unpacked)
      }
    } catch (error) {
      failed.abort(error)
      await Promise.allSettled(downloads)
      throw error
    }
    return { chain, blobs }
  }

  /**
   * Layer and blob: what was lost on disk is fetched again. So is the blob of a layer that has outlived its images, as
   * somebody built on it, unless the layer itself gives back the same bytes.
   */
  async #present(lease: Lease, key: string, diffId: Digest, signal: AbortSignal): Promise<boolean> {
    const { snapshots, records, content } = this.#store
    const blob = records.blob(diffId)
    if (!snapshots.intact(key) || (blob && !content.has(blob.digest))) return false
    lease.hold(key)
    return blob !== undefined || records.hasLayer(diffId) || (await snapshots.reproduces(key, signal))
  }

  #download(
    lease: Lease,
    repository: Repository,
    layer: Descriptor,
    options: PullOptions,
    signal: AbortSignal,
  ): Promise<string> {
    const say = options.progress ?? (() => {})
    const id = short(layer.digest)
    const { content } = this.#store
    lease.blob(layer.digest)
    say({ id, status: 'Pulling fs layer' })
    if (this.#waiting++ >= parallelDownloads) say({ id, status: 'Waiting' })
    const download = async (): Promise<string> => {
      if (!content.has(layer.digest)) {
        const partial = await content.partial(layer.digest)
        try {
          const report = paced((current) => say({ id, status: 'Downloading', current, total: layer.size }))
          await repository.download(layer, partial.path, (current) => {
            signal.throwIfAborted()
            report(current)
          })
          say({ id, status: 'Verifying Checksum' })
          await partial.adopt()
        } finally {
          partial.leave()
        }
      } else await content.settle(layer.digest)
      say({ id, status: 'Download complete' })
      return content.path(layer.digest)
    }
    return this.#layers
      .run(layer.digest, () => this.#downloads.run(download, signal), signal)
      .finally(() => this.#waiting--)
  }

  async #unpack(
    lease: Lease,
    layer: Descriptor,
    diffId: Digest,
    chain: string[],
    i: number,
    download: Promise<string>,
    options: PullOptions,
    signal: AbortSignal,
  ): Promise<LayerBlob | undefined> {
    const id = short(layer.digest)
    const file = await download
    let tarSize = 0
    options.progress?.({ id, status: 'Extracting', current: 0, total: layer.size })
    const unpack = (): Promise<boolean> =>
      lease.layer(chain[i]!, chain[i - 1], () => ({ file, digest: layer.digest }), {
        signal,
        check: (result) => {
          if (result.diffId !== diffId)
            throw new SlipwayError('invalid', `layer ${layer.digest} has content ${result.diffId}, expected ${diffId}`)
          tarSize = result.tarSize
        },
      })
    const present = await this.#layers.run(chain[i]!, unpack, signal)
    options.progress?.({ id, status: 'Extracting', current: layer.size, total: layer.size })
    options.progress?.({ id, status: 'Pull complete' })
    const { digest, mediaType, size } = layer
    const known = this.#store.records.blob(diffId)
    if (known && present) return { ...known, digest, mediaType, size }
    if (present) tarSize = (await this.#store.snapshots.measure(chain[i]!, signal)).tarSize
    return { diffId, digest, mediaType, size, tarSize }
  }
}

export const pullReference = (reference: string): Reference => withTag(parseReference(reference))

const short = (digest: Digest): string => digest.slice(7, 19)

/** A manifest that stands by itself may be of any platform. */
const otherPlatform = (
  reference: Reference,
  config: ImageConfig,
  { platform }: PullOptions,
): SlipwayError | undefined => {
  if (!platform || platformRank(config, platform) > 0) return undefined
  return new SlipwayError(
    'not-found',
    `image with reference ${familiarName(reference)} was found but its platform (${formatPlatform(config)}) does not match the specified platform (${formatPlatform(platform)})`,
  )
}

/** At most ten calls a second. */
const paced = (report: (current: number) => void): ((current: number) => void) => {
  let last = 0
  return (current) => {
    const now = performance.now()
    if (now - last < 100) return
    last = now
    report(current)
  }
}
