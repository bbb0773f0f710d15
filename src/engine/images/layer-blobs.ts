/** Layers as archives: the ones they came as, else made now. */
import { SlipwayError } from '../../errors.ts'
import { gzipMethod } from '../../lib/gzip.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import { type Digest, layerCompression, layerGzipLevel, mediaTypes } from '../../spec/oci/index.ts'
import type { FastDeflate } from '../../sys/sys.ts'
import type { GrowingBlob } from '../content/index.ts'
import type { PackForm } from '../snapshots/index.ts'
import type { LayerForm } from '../types.ts'
import type { LayerBlob } from './records.ts'
import type { ImageStore, Lease } from './store.ts'

/** How gzip is written: 'fast' where the machine can, else 'blocks'; 'stream' was before, and records and registries tell of it. */
type Method = 'fast' | 'blocks' | 'stream'

const types: Record<PackForm['compression'], string> = {
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

  /**
   * The layer as a compressed blob, made now if there is none; kept for the next time where an image has the layer. One
   * that is made now is given to `grows` when that begins.
   */
  compressed(
    lease: Lease,
    diffId: Digest,
    snapshot: string,
    options: { signal?: AbortSignal | undefined; grows?: (blob: GrowingBlob) => void } = {},
  ): Promise<LayerBlob> {
    return this.#packing.run(diffId, () => this.#compressed(lease, diffId, snapshot, options), options.signal)
  }

  /** What compressed() has once made of the layer and would have to make again: it is not here. */
  remembered(diffId: Digest): LayerBlob | undefined {
    const { records, deps } = this.#store
    if (records.blob(diffId)) return undefined
    for (const method of this.#methods({})) {
      const before = records.packed(diffId, this.#key({}, method), deps.clock.now())
      if (before) return before
    }
    return undefined
  }

  /**
   * The layer in a form of the caller's choice. A blob that is here already keeps its form unless `force`. `make` resolves with
   * the blob's file, which is written only then where it is known what it will be.
   */
  async in(
    asked: LayerForm,
    lease: Lease,
    snapshot: string,
    signal?: AbortSignal,
  ): Promise<LayerBlob & { make(): Promise<string> }> {
    const { records, content, snapshots, deps } = this.#store
    const form = asked.digest === undefined ? asked : { ...asked, force: true }
    const { diffId } = await snapshots.measure(snapshot, signal)
    const here = this.#here(form, lease, diffId)
    if (here) return { ...here, make: async () => content.path(here.digest) }
    const now = deps.clock.now()
    const methods = this.#methods(form)
    for (const method of methods) {
      const before = records.packed(diffId, this.#key(form, method), now)
      if (before && (form.digest ?? before.digest) === before.digest)
        return { ...before, make: () => this.#again(before, method, form, lease, snapshot, signal) }
    }
    let made: LayerBlob | undefined
    for (const method of methods) {
      made = await this.#make(form, lease, snapshot, signal, method)
      if ((form.digest ?? made.digest) !== made.digest) continue
      records.setPacked(diffId, this.#key(form, method), made, now)
      break
    }
    const { digest } = made!
    return { ...made!, make: async () => content.path(digest) }
  }

  /** The blob that is here, if it will do. */
  #here(form: LayerForm, lease: Lease, diffId: Digest): LayerBlob | undefined {
    const { records, content } = this.#store
    if (form.notAfter !== undefined) return undefined
    const known = records.blob(diffId)
    if (!known) return undefined
    lease.blob(known.digest)
    if (!content.has(known.digest)) return undefined
    if (form.digest !== undefined) return known.digest === form.digest ? known : undefined
    const have = layerCompression(known.mediaType)
    const wanted = form.compression === 'uncompressed' ? 'none' : (form.compression ?? 'gzip')
    return have === wanted || (have !== 'none' && !form.force) ? known : undefined
  }

  /** Compressors give the same for the same: the key names their versions. */
  async #again(
    before: LayerBlob,
    method: Method,
    form: LayerForm,
    lease: Lease,
    snapshot: string,
    signal?: AbortSignal,
  ): Promise<string> {
    const { content } = this.#store
    lease.blob(before.digest)
    if (!content.has(before.digest)) {
      const { digest } = await this.#make(form, lease, snapshot, signal, method)
      if (digest !== before.digest)
        throw new SlipwayError('internal', `layer ${before.diffId} became ${digest}, and before ${before.digest}`)
    }
    return content.path(before.digest)
  }

  async #make(
    form: LayerForm,
    lease: Lease,
    snapshot: string,
    signal?: AbortSignal,
    method = this.#methods(form)[0]!,
  ): Promise<LayerBlob> {
    const { records, content, snapshots } = this.#store
    const { diffId } = await snapshots.measure(snapshot, signal)
    const known = records.blob(diffId)
    const here = known && content.has(known.digest) ? known : undefined
    const { compression = 'gzip', level, notAfter } = form
    const usual =
      compression === 'gzip' && level === undefined && notAfter === undefined && method === this.#methods({})[0]
    if (usual && !(form.force && here)) return await this.compressed(lease, diffId, snapshot, { signal })
    const rest = { signal, passing: true }
    if (notAfter !== undefined) return await this.#write(lease, undefined, snapshot, this.#form(form, method), rest)
    return await this.#write(lease, here, snapshot, this.#form(form, method), { ...rest, diffId })
  }

  async #compressed(
    lease: Lease,
    diffId: Digest,
    snapshot: string,
    { signal, grows }: Parameters<LayerBlobs['compressed']>[3] & {},
  ): Promise<LayerBlob> {
    const { records, content, deps } = this.#store
    const known = records.blob(diffId)
    if (known) lease.blob(known.digest)
    if (known && !content.has(known.digest))
      throw new SlipwayError('not-found', `content of layer ${diffId} is missing`, { hint: 'Pull the image again.' })
    if (known && layerCompression(known.mediaType) !== 'none') return known
    const blob = await this.#write(lease, known, snapshot, this.#form({}), { signal, grows, diffId })
    records.transaction(() => {
      records.setPacked(diffId, this.#key({}), blob, deps.clock.now())
      if (records.hasLayer(diffId)) records.setBlob(blob)
    })
    return blob
  }

  /** First the one that is used for what is new. Levels are zlib's, and who wants the same everywhere gets what all have: zlib. */
  #methods({ compression = 'gzip', level, notAfter }: LayerForm): Method[] {
    if (compression !== 'gzip') return ['blocks']
    const zlib = level !== undefined || notAfter !== undefined || !this.#fast()
    return zlib ? ['blocks', 'stream'] : ['fast', 'blocks', 'stream']
  }

  #fast(): FastDeflate | undefined {
    return this.#store.deps.sys.fastDeflate()
  }

  #form(form: LayerForm, method = this.#methods(form)[0]!): PackForm {
    const { compression = 'gzip', level, notAfter } = form
    return { compression, gzip: method === 'fast' ? { module: this.#fast()!.module } : method, level, notAfter }
  }

  /** Names all that decides what a layer becomes: the compressors' versions as well. */
  #key(form: LayerForm, method = this.#methods(form)[0]!): string {
    const { compression = 'gzip', level, notAfter } = form
    const { zlib, zstd } = process.versions
    const gzip = { fast: `${this.#fast()?.method} ${gzipMethod}`, blocks: `${zlib} ${gzipMethod}`, stream: zlib }[
      method
    ]
    const by = { gzip, zstd, uncompressed: '' }[compression]
    return JSON.stringify([compression, level ?? layerGzipLevel, notAfter ?? '', by])
  }

  /** Writes the layer anew, from the archive it came as or from its snapshot. */
  async #write(
    lease: Lease,
    from: LayerBlob | undefined,
    snapshot: string,
    form: PackForm,
    options: {
      signal: AbortSignal | undefined
      grows?: ((blob: GrowingBlob) => void) | undefined
      passing?: boolean
      /** What the archive has to be. */
      diffId?: Digest
    },
  ): Promise<LayerBlob> {
    const { content, snapshots } = this.#store
    const { signal, grows, passing, diffId } = options
    const staged = await content.stage()
    let growing: GrowingBlob | undefined
    try {
      if (grows) {
        growing = await staged.follow()
        grows(growing)
      }
      const source = from ? { file: content.path(from.digest), digest: from.digest } : { key: snapshot }
      const packed = await snapshots.pack(source, form, staged.path, { signal, grew: (bytes) => growing?.grew(bytes) })
      if (diffId !== undefined) mustBe(diffId, packed.diffId)
      lease.blob(packed.blob.digest)
      growing?.ended({ whole: packed.blob })
      await staged.adopt(packed.blob.digest, passing)
      const mediaType = types[form.compression]
      return { diffId: packed.diffId, ...packed.blob, mediaType, tarSize: packed.tarSize }
    } catch (error) {
      growing?.ended({ error })
      throw error
    } finally {
      await staged.drop()
    }
  }
}

const mustBe = (diffId: Digest, found: Digest): void => {
  if (found !== diffId)
    throw new SlipwayError('internal', `layer ${diffId} is now ${found}: its files were changed on disk`)
}
