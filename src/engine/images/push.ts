import { SlipwayError } from '../../errors.ts'
import { Semaphore } from '../../lib/semaphore.ts'
import {
  type Descriptor,
  type Digest,
  familiarName,
  familiarRepository,
  formatReference,
  layerCompression,
  type Manifest,
  mediaTypes,
  parseReference,
  type Reference,
  repositoryOf,
  sha256,
  withTag,
} from '../../spec/oci/index.ts'
import type { GrowingBlob } from '../content/index.ts'
import type { Distribution, Uploaded, Uploads } from '../distribution/index.ts'
import type { Image, PullOptions } from '../types.ts'
import type { LayerBlobs } from './layer-blobs.ts'
import type { KeptManifest, LayerBlob } from './records.ts'
import type { ImageStore, Lease } from './store.ts'

type PushOptions = Omit<PullOptions, 'platform' | 'bootstrap'>
const parallelUploads = 3
const maxSources = 3

/** Layers made here are compressed when they are first pushed; the result is kept, so a second push sends nothing. */
export class Pusher {
  readonly #store: ImageStore
  readonly #distribution: Distribution
  readonly #uploads = new Semaphore(parallelUploads)
  readonly #blobs: LayerBlobs

  constructor(store: ImageStore, distribution: Distribution, blobs: LayerBlobs) {
    this.#store = store
    this.#distribution = distribution
    this.#blobs = blobs
  }

  push(text: string, options: PushOptions): Promise<Descriptor> {
    const reference = withTag(parseReference(text))
    const id = this.#store.resolveName(formatReference(reference))
    if (id === undefined)
      throw new SlipwayError('not-found', `An image does not exist locally with the tag: ${familiarName(reference)}`)
    if (reference.tag === undefined) throw new SlipwayError('invalid', 'cannot push a digest reference')
    const image = this.#store.must(id)
    return this.#store.lease((lease) => this.#push(lease, image, reference, reference.tag!, options))
  }

  async #push(
    lease: Lease,
    image: Image,
    reference: Reference,
    tag: string,
    options: PushOptions,
  ): Promise<Descriptor> {
    const say = options.progress ?? (() => {})
    for (const key of image.snapshots) lease.hold(key)
    const sources = mountSources(image, reference)
    const uploads = this.#distribution.write(reference, sources, options)
    say({ status: `The push refers to repository [${repositoryOf(reference)}]` })
    const diffIds = image.config.rootfs.diff_ids
    const distinct = [...new Set(diffIds)]
    for (const diffId of distinct) say({ id: short(diffId), status: 'Preparing' })
    const layers = new Map<Digest, Descriptor>()
    const failed = new AbortController()
    const tasks = distinct.map((diffId) =>
      this.#uploads.run(async () => {
        failed.signal.throwIfAborted()
        const snapshot = image.snapshots[diffIds.indexOf(diffId)]!
        layers.set(diffId, await this.#pushLayer(lease, uploads, diffId, snapshot, sources, options))
      }),
    )
    for (const task of tasks) task.catch((error: unknown) => failed.abort(error))
    await Promise.allSettled(tasks)
    await Promise.all(tasks)
    const descriptor = await this.#pushManifest(
      uploads,
      image,
      diffIds.map((diffId) => layers.get(diffId)!),
      tag,
    )
    this.#store.records.setRepoDigest(`${repositoryOf(reference)}@${descriptor.digest}`, image.id)
    say({ status: `${tag}: digest: ${descriptor.digest} size: ${descriptor.size}` })
    const attributes = { name: familiarRepository(reference) }
    this.#store.deps.events.emit({ type: 'image', action: 'push', id: familiarName(reference), attributes })
    return descriptor
  }

  async #pushLayer(
    lease: Lease,
    uploads: Uploads,
    diffId: Digest,
    snapshot: string,
    sources: string[],
    options: PushOptions,
  ): Promise<Descriptor> {
    const id = short(diffId)
    const say = options.progress ?? (() => {})
    const done = (blob: LayerBlob, { result, source }: Uploaded): Descriptor => {
      if (result === 'exists') say({ id, status: 'Layer already exists' })
      else if (result === 'mounted') say({ id, status: `Mounted from ${source}` })
      else say({ id, status: 'Pushed' })
      return { mediaType: dockerLayerType(blob.mediaType), digest: blob.digest, size: blob.size }
    }
    // Nothing is compressed that the registry has.
    const remembered = this.#blobs.remembered(diffId)
    const found = remembered && (await uploads.find(remembered, sources))
    if (found && 'result' in found) return done(remembered, found)
    const { blob, sent } = await sentMeanwhile(
      options.signal,
      (signal, grows) => this.#blobs.compressed(lease, diffId, snapshot, { signal, grows }),
      (growing) =>
        uploads.putGrowing(growing, sources, (current) => say({ id, status: 'Pushing', current }), found?.place),
    )
    if (sent) return done(blob, sent)
    const file = this.#store.content.path(blob.digest)
    const progress = (current: number): void => say({ id, status: 'Pushing', current, total: blob.size })
    return done(blob, await uploads.put(blob, { file }, sources, progress))
  }

  async #pushManifest(uploads: Uploads, image: Image, layers: Descriptor[], tag: string): Promise<Descriptor> {
    const raw = Buffer.from(this.#store.records.get(image.id)!.config)
    const kept = this.#keptManifest(image, layers)
    if (kept) {
      const { config } = JSON.parse(kept.body) as Manifest
      await uploads.put(config, { data: raw }, [], () => {})
      const body = Buffer.from(kept.body)
      await uploads.manifest(tag, kept.mediaType, body)
      return { mediaType: kept.mediaType, digest: kept.digest, size: body.length }
    }
    // Docker's own schema knows no zstd.
    const oci = layers.some((layer) => layer.mediaType === mediaTypes.ociLayerZstd)
    const config = {
      mediaType: oci ? mediaTypes.ociConfig : mediaTypes.dockerConfig,
      digest: image.id,
      size: raw.length,
    }
    const mediaType = oci ? mediaTypes.ociManifest : mediaTypes.dockerManifest
    await uploads.put(config, { data: raw }, [], () => {})
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType,
      config,
      layers: oci ? layers.map((layer) => ({ ...layer, mediaType: ociLayerType(layer.mediaType) })) : layers,
    }
    const body = Buffer.from(JSON.stringify(manifest, undefined, 3))
    await uploads.manifest(tag, mediaType, body)
    return { mediaType, digest: sha256(body), size: body.length }
  }

  /** The manifest the image came with, where its layers are still these: the image keeps its digest in every registry. */
  #keptManifest(image: Image, layers: Descriptor[]): KeptManifest | undefined {
    return this.#store.records.manifests(image.id).find(({ body }) => {
      const { layers: theirs } = JSON.parse(body) as Manifest
      return theirs.length === layers.length && theirs.every(({ digest }, i) => digest === layers[i]!.digest)
    })
  }
}

/** Makes a blob, and sends it while it grows if it does; what fails of the two ends the other. */
const sentMeanwhile = async (
  signal: AbortSignal | undefined,
  make: (signal: AbortSignal, grows: (blob: GrowingBlob) => void) => Promise<LayerBlob>,
  send: (blob: GrowingBlob) => Promise<Uploaded>,
): Promise<{ blob: LayerBlob; sent?: Uploaded }> => {
  const failed = new AbortController()
  const begun: { growing: GrowingBlob; sending: Promise<Uploaded> }[] = []
  try {
    const blob = await make(signal ? AbortSignal.any([signal, failed.signal]) : failed.signal, (growing) => {
      const sending = send(growing)
      sending.catch((error: unknown) => failed.abort(error))
      begun.push({ growing, sending })
    })
    return { blob, ...(begun[0] && { sent: await begun[0].sending }) }
  } catch (error) {
    await begun[0]?.sending.catch(() => {}) // it reads from the file that is closed now
    throw failed.signal.aborted ? failed.signal.reason : error
  } finally {
    await begun[0]?.growing.close()
  }
}

const short = (digest: Digest): string => digest.slice(7, 19)

const dockerLayerType = (type: string): string =>
  layerCompression(type) === 'zstd' ? mediaTypes.ociLayerZstd : mediaTypes.dockerLayerGzip

const ociLayerType = (type: string): string =>
  layerCompression(type) === 'zstd' ? mediaTypes.ociLayerZstd : mediaTypes.ociLayerGzip

/** Repositories of the target's registry in which layers of the image are known to be. */
const mountSources = (image: Image, target: Reference): string[] => {
  const paths = image.repoDigests.map(parseReference).filter((each) => each.domain === target.domain)
  return [...new Set(paths.map((each) => each.path))].filter((path) => path !== target.path).slice(0, maxSources)
}
