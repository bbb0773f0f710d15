/** Layers as archives: the ones they came as, else made now. */
import { createHash } from 'node:crypto'
import { addAbortSignal, pipeline, type Readable, Transform } from 'node:stream'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { SlipwayError } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import { decompressor, packTar, readTar, type TarMember } from '../../lib/tar/index.ts'
import { type Digest, layerCompression, layerGzipLevel, mediaTypes } from '../../spec/oci/index.ts'
import type { LayerForm } from '../types.ts'
import type { LayerBlob } from './records.ts'
import type { ImageStore, Lease } from './store.ts'

type Compression = NonNullable<LayerForm['compression']>

const types: Record<Compression, string> = {
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
  uncompressed: mediaTypes.ociLayer,
}

export class LayerBlobs {
  readonly #store: ImageStore
  readonly #packing = new KeyedMutex()

  constructor(store: ImageStore) {
    this.#store = store
  }

  /** The layer as a compressed blob, made now if there is none; kept for the next time where an image has the layer. */
  compressed(lease: Lease, diffId: Digest, snapshot: string, signal?: AbortSignal): Promise<LayerBlob> {
    return this.#packing.run(diffId, () => this.#compressed(lease, diffId, snapshot, signal))
  }

  /**
   * The layer in a form of the caller's choice. A blob that is here already keeps its form unless `force`. `make` resolves with
   * the blob's file, which is written only then where it is known what it will be.
   */
  async in(
    form: LayerForm,
    lease: Lease,
    snapshot: string,
    signal?: AbortSignal,
  ): Promise<LayerBlob & { make(): Promise<string> }> {
    const { records, content, snapshots, deps } = this.#store
    const { diffId } = await snapshots.measure(snapshot, signal)
    const here = this.#here(form, lease, diffId)
    if (here) return { ...here, make: async () => content.path(here.digest) }
    const now = deps.clock.now()
    const key = keyOf(form)
    const before = records.packed(diffId, key, now)
    if (before) return { ...before, make: () => this.#again(before, form, lease, snapshot, signal) }
    const made = await this.#make(form, lease, snapshot, signal)
    records.setPacked(diffId, key, made, now)
    return { ...made, make: async () => content.path(made.digest) }
  }

  /** The blob that is here, if it will do. */
  #here(form: LayerForm, lease: Lease, diffId: Digest): LayerBlob | undefined {
    const { records, content } = this.#store
    if (form.notAfter !== undefined) return undefined
    const known = records.blob(diffId)
    if (!known) return undefined
    lease.blob(known.digest)
    if (!content.has(known.digest)) return undefined
    const have = layerCompression(known.mediaType)
    const wanted = form.compression === 'uncompressed' ? 'none' : (form.compression ?? 'gzip')
    return have === wanted || (have !== 'none' && !form.force) ? known : undefined
  }

  /** Compressors give the same for the same: the key names their versions. */
  async #again(before: LayerBlob, form: LayerForm, lease: Lease, snapshot: string, signal?: AbortSignal) {
    const { content } = this.#store
    lease.blob(before.digest)
    if (!content.has(before.digest)) {
      const { digest } = await this.#make(form, lease, snapshot, signal)
      if (digest !== before.digest)
        throw new SlipwayError('internal', `layer ${before.diffId} became ${digest}, and before ${before.digest}`)
    }
    return content.path(before.digest)
  }

  async #make(form: LayerForm, lease: Lease, snapshot: string, signal?: AbortSignal): Promise<LayerBlob> {
    const { records, content, snapshots } = this.#store
    if (form.notAfter !== undefined) return await this.#rewritten(form, lease, snapshot, signal)
    const { diffId, tarSize } = await snapshots.measure(snapshot, signal)
    const compression = form.compression ?? 'gzip'
    const known = records.blob(diffId)
    const here = known && content.has(known.digest) ? known : undefined
    if (compression === 'gzip' && form.level === undefined && !(form.force && here))
      return await this.compressed(lease, diffId, snapshot, signal)
    const hash = createHash('sha256')
    const streams = [await this.#plain(here, snapshot), hashing(hash), compressor(compression, form.level)]
    const written = await content.write(chained(streams, signal), { passing: true }, lease.blob)
    mustBe(diffId, `sha256:${hash.digest('hex')}`)
    return { diffId, ...written, mediaType: types[compression], tarSize }
  }

  async #compressed(lease: Lease, diffId: Digest, snapshot: string, signal?: AbortSignal): Promise<LayerBlob> {
    const { records, content, snapshots } = this.#store
    const known = records.blob(diffId)
    if (known) lease.blob(known.digest)
    if (known && !content.has(known.digest))
      throw new SlipwayError('not-found', `content of layer ${diffId} is missing`, { hint: 'Pull the image again.' })
    if (known && layerCompression(known.mediaType) !== 'none') return known
    const mediaType = mediaTypes.ociLayerGzip
    if (known) {
      const gzip = createGzip({ level: layerGzipLevel, chunkSize: 256 * 1024 })
      pipeline(content.read(known.digest), gzip, () => {}) // an error destroys gzip, which its reader sees
      const written = await content.write(gzip, {}, lease.blob)
      const blob = { diffId, ...written, mediaType, tarSize: known.tarSize }
      records.setBlob(blob)
      return blob
    }
    const staged = await content.stage()
    try {
      const packed = await snapshots.pack(snapshot, staged.path, signal)
      mustBe(diffId, packed.diffId)
      lease.blob(packed.blob.digest)
      await staged.adopt(packed.blob.digest)
      const blob = { diffId, digest: packed.blob.digest, size: packed.blob.size, mediaType, tarSize: packed.tarSize }
      if (records.hasLayer(diffId)) records.setBlob(blob)
      return blob
    } finally {
      await staged.drop()
    }
  }

  async #plain(blob: LayerBlob | undefined, snapshot: string): Promise<Readable> {
    const { content, snapshots } = this.#store
    if (!blob) return await snapshots.diff(snapshot)
    const stored = content.read(blob.digest)
    const transform = decompressor(layerCompression(blob.mediaType) ?? 'none')
    return transform ? chained([stored, transform], undefined) : stored
  }

  /** No file is younger than the given time: another layer, with a digest of its own. */
  async #rewritten(form: LayerForm, lease: Lease, snapshot: string, signal?: AbortSignal): Promise<LayerBlob> {
    const { content, snapshots } = this.#store
    const compression = form.compression ?? 'gzip'
    const hash = createHash('sha256')
    const tar = packTar(clamped(await snapshots.diff(snapshot), BigInt(form.notAfter!) * 1_000_000n))
    const measured = hashing(hash)
    const written = await content.write(
      chained([tar, measured, compressor(compression, form.level)], signal),
      { passing: true },
      lease.blob,
    )
    const diffId = `sha256:${hash.digest('hex')}`
    return { diffId, ...written, mediaType: types[compression], tarSize: measured.bytes }
  }
}

async function* clamped(tar: Readable, limitNs: bigint): AsyncGenerator<TarMember> {
  for await (const { entry, body } of readTar(tar))
    yield { entry: entry.mtimeNs > limitNs ? { ...entry, mtimeNs: limitNs } : entry, body }
}

const mustBe = (diffId: Digest, found: Digest): void => {
  if (found !== diffId)
    throw new SlipwayError('internal', `layer ${diffId} is now ${found}: its files were changed on disk`)
}

const hashing = (hash: ReturnType<typeof createHash>): Transform & { bytes: number } => {
  const transform = Object.assign(
    new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk)
        transform.bytes += chunk.length
        done(null, chunk)
      },
    }),
    { bytes: 0 },
  )
  return transform
}

const compressor = (compression: Compression, level: number | undefined): Transform | undefined => {
  const chunkSize = 256 * 1024
  if (compression === 'gzip') return createGzip({ level: level ?? layerGzipLevel, chunkSize })
  if (compression === 'uncompressed') return undefined
  const params = level === undefined ? {} : { [constants.ZSTD_c_compressionLevel]: level }
  return createZstdCompress({ chunkSize, params })
}

/** An error anywhere, or the abort, destroys the last stream, which its reader sees. */
const chained = (streams: (Readable | Transform | undefined)[], signal: AbortSignal | undefined): Readable => {
  const all = streams.filter((stream) => stream !== undefined)
  const last = all.at(-1)!
  if (all.length > 1) pipeline(all as [Readable, Transform], () => {})
  return signal ? addAbortSignal(signal, last) : last
}

const keyOf = ({ compression = 'gzip', level, notAfter }: LayerForm): string => {
  const by = { gzip: process.versions.zlib, zstd: process.versions.zstd, uncompressed: '' }[compression]
  return JSON.stringify([compression, level ?? layerGzipLevel, notAfter ?? '', by])
}
