import { randomUUID } from 'node:crypto'
import { isError, SlipwayError } from '../../errors.ts'
import {
  canonicalConfig,
  type Digest,
  familiarName,
  formatReference,
  type ImageConfig,
  parseReference,
  repositoryOf,
  sha256,
  withTag,
} from '../../spec/oci/index.ts'
import type { Content } from '../content/index.ts'
import type { EngineDeps } from '../deps.ts'
import type { LayerSource, SnapshotStore, UnpackOptions, UnpackResult } from '../snapshots/index.ts'
import type { Image } from '../types.ts'
import { withPlatform } from './config.ts'
import { type ImageRecord, ImageRecords, type KeptManifest, type LayerBlob } from './records.ts'

/** What is being made and must not be cleaned away under the maker. Over when the task is over, or at the next start. */
export interface Lease {
  /** Ensures the snapshot `name` on `parent`: it is unpacked from `source` unless it is here. True when it was here. */
  layer(
    name: string,
    parent: string | undefined,
    source: () => LayerSource | Promise<LayerSource>,
    options?: UnpackOptions & { done?: (result: UnpackResult) => void },
  ): Promise<boolean>
  /** Unpacks `source` into a snapshot called by its digest, and returns that. */
  newLayer(source: LayerSource, options?: UnpackOptions): Promise<string>
  hold(...snapshots: string[]): void
  blob(digest: Digest): void
}

const leasePrefix = 'lease:'
/** How long it is remembered what a layer becomes in an archive. */
const packedLifeMs = 90 * 24 * 3600 * 1000
const imagePrefix = 'image:'
const holderOf = (id: Digest): string => `${imagePrefix}${id}`

/** Images as records over blobs and snapshots: finding, registering, forgetting. */
export class ImageStore {
  readonly deps: EngineDeps
  readonly records: ImageRecords
  readonly content: Content
  readonly snapshots: SnapshotStore
  #leasedBlobs = new Map<Digest, number>()

  constructor(deps: EngineDeps, content: Content, snapshots: SnapshotStore) {
    this.deps = deps
    this.records = new ImageRecords(deps.db)
    this.content = content
    this.snapshots = snapshots
  }

  /** The layers of an image that is here whole, held. undefined: something of it is missing. */
  whole(id: Digest, lease: Lease): string[] | undefined {
    const record = this.records.get(id)
    const image = record && this.view(record)
    const intact = image?.snapshots.every((key, i) => {
      const blob = this.records.blob(image.config.rootfs.diff_ids[i]!)
      return this.snapshots.intact(key) && (!blob || this.content.has(blob.digest))
    })
    if (!image || !intact) return undefined
    lease.hold(...image.snapshots)
    return image.snapshots
  }

  /** An event of an image, with its labels to filter by. `name`: default its id, as docker says it. */
  emit(action: string, { id, config }: Pick<Image, 'id' | 'config'>, name: string = id): void {
    this.deps.events.emit({ type: 'image', action, id, attributes: { ...config.config?.Labels, name } })
  }

  /** The id an image reference of any form means. */
  resolve(reference: string): Digest | undefined {
    if (/^sha256:[a-f0-9]{64}$/.test(reference)) {
      return this.records.get(reference)?.id
    }
    return this.resolveName(reference) ?? this.resolvePrefix(reference)
  }

  resolveName(reference: string): Digest | undefined {
    try {
      const parsed = withTag(parseReference(reference))
      if (parsed.digest === undefined) return this.records.byName(formatReference(parsed))
      return this.records.byRepoDigest(`${repositoryOf(parsed)}@${parsed.digest}`)
    } catch (error) {
      if (isError(error, 'invalid')) return undefined // it may still be an id
      throw error
    }
  }

  resolvePrefix(reference: string): Digest | undefined {
    const hex = reference.replace(/^sha256:/, '')
    if (!/^[a-f0-9]{1,64}$/.test(hex)) return undefined
    const found = this.records.withPrefix(hex)
    return found.length === 1 ? found[0] : undefined
  }

  get(reference: string): Image | undefined {
    const id = this.resolve(reference)
    const record = id === undefined ? undefined : this.records.get(id)
    return record && this.view(record)
  }

  must(reference: string): Image {
    const image = this.get(reference)
    if (!image) throw noSuchImage(reference)
    return image
  }

  /** Of all images, newest first. */
  list(): Image[] {
    const called = this.records.calledAll()
    return this.records.all().map((record) => this.view(record, called(record.id)))
  }

  view(record: ImageRecord, called = this.records.called(record.id)): Image {
    const config = withPlatform(JSON.parse(record.config) as ImageConfig)
    const { os, architecture, variant } = config
    const created = Date.parse(config.created ?? '')
    return {
      id: record.id,
      config,
      platform: { os, architecture, ...(variant !== undefined && { variant }) },
      ...called,
      createdAt: Number.isNaN(created) ? record.createdAt : created,
      size: record.size,
      snapshots: JSON.parse(record.snapshots) as string[],
      ...(record.bootstrapped === 1 && { bootstrapped: true }),
    }
  }

  /** One transaction: afterwards the image is there with its names, and its snapshots and blobs stay while it does. */
  async register(image: {
    /** Either raw text that was hashed elsewhere, or a configuration to complete from the snapshots. */
    config: { raw: string } | Omit<ImageConfig, 'rootfs'>
    snapshots: string[]
    names?: string[]
    repoDigests?: string[]
    blobs?: LayerBlob[]
    manifest?: KeptManifest | undefined
    bootstrapped?: boolean
    signal?: AbortSignal | undefined
  }): Promise<Image> {
    const wantsDigests = !('raw' in image.config)
    const looks = image.snapshots.map(async (key) => {
      if (!this.snapshots.intact(key)) throw new SlipwayError('not-found', `snapshot ${key} is not a committed one`)
      // First: whoever makes the digest has counted the bytes.
      const measured = wantsDigests ? await this.snapshots.measure(key, image.signal) : undefined
      return { diffId: measured?.diffId, size: (await this.snapshots.stat(key))!.size }
    })
    await Promise.allSettled(looks)
    const layers = await Promise.all(looks)
    const diffIds = layers.flatMap(({ diffId }) => diffId ?? [])
    const size = layers.reduce((sum, layer) => sum + layer.size, 0)
    const raw = 'raw' in image.config ? (image.config.raw as string) : canonicalConfig(image.config, diffIds)
    const id = sha256(raw)
    this.records.transaction(() => {
      this.snapshots.hold(image.snapshots, holderOf(id))
      this.records.add({
        id,
        config: raw,
        snapshots: JSON.stringify(image.snapshots),
        size,
        bootstrapped: image.bootstrapped ? 1 : 0,
        createdAt: this.deps.clock.now(),
      })
      for (const blob of image.blobs ?? []) this.records.setBlob(blob)
      if (image.manifest) this.records.keepManifest(id, image.manifest)
      for (const name of image.names ?? []) this.records.setName(name, id, this.deps.clock.now())
      for (const name of image.repoDigests ?? []) this.records.setRepoDigest(name, id)
    })
    return this.view(this.records.get(id)!)
  }

  /** Deletes the image, its names, and what only it used. Resolves with the bytes freed. */
  async forget(id: Digest): Promise<number> {
    const orphans = this.records.transaction(() => this.records.delete(id))
    let freed = 0
    for (const { digest, size } of orphans) {
      await this.#dropBlob(digest)
      if (!this.content.has(digest)) freed += size
    }
    return freed + (await this.snapshots.release(holderOf(id)))
  }

  async lease<T>(task: (lease: Lease) => Promise<T>): Promise<T> {
    const { lease, end } = this.openLease()
    try {
      return await task(lease)
    } finally {
      await end()
    }
  }

  /** For what outlives a call; `end` must be called. */
  openLease(): { lease: Lease; end(): Promise<void> } {
    const holder = `${leasePrefix}${randomUUID()}`
    const blobs = new Set<Digest>()
    const hold = (...names: string[]): void => this.snapshots.hold(names, holder)
    const lease: Lease = {
      hold,
      blob: (digest) => {
        if (blobs.has(digest)) return
        blobs.add(digest)
        this.#leasedBlobs.set(digest, (this.#leasedBlobs.get(digest) ?? 0) + 1)
      },
      layer: async (name, parent, source, options) => {
        if (this.snapshots.intact(name)) {
          hold(name)
          return true
        }
        const result = await this.snapshots.unpack(name, parent, await source(), options)
        hold(name)
        if (result) options?.done?.(result)
        return result === undefined
      },
      newLayer: async (source, options) => {
        const { name } = (await this.snapshots.unpack((diffId) => diffId, undefined, source, options))!
        hold(name)
        return name
      },
    }
    const end = async (): Promise<void> => {
      for (const digest of blobs) {
        const left = this.#leasedBlobs.get(digest)! - 1
        if (left > 0) this.#leasedBlobs.set(digest, left)
        else this.#leasedBlobs.delete(digest)
        await this.#dropBlob(digest)
      }
      await this.snapshots.release(holder, { abandon: isLayerKey })
    }
    return { lease, end }
  }

  async recover(): Promise<void> {
    await this.snapshots.releaseAll(leasePrefix)
    // A kill between the end of an image's record and that of its layers.
    for (const holder of this.snapshots.holders(imagePrefix))
      if (!this.records.get(holder.slice(imagePrefix.length))) await this.snapshots.release(holder)
    // Also layers that were there a moment before the lease held them: only images do now, and what stands on them.
    await this.snapshots.abandon(isLayerKey)
    await this.content.recover((digest) => this.records.hasBlob(digest))
    this.records.forgetPacked(this.deps.clock.now() - packedLifeMs)
  }

  async #dropBlob(digest: Digest): Promise<void> {
    await this.content.remove(digest, () => this.#leasedBlobs.has(digest) || this.records.hasBlob(digest))
  }
}

/** Snapshots this room has made are called by a digest: their chain id. Other rooms' keys are theirs to remove. */
const isLayerKey = (key: string): boolean => /^sha256:[a-f0-9]{64}$/.test(key)

export const noSuchImage = (reference: string): SlipwayError => {
  let name = reference
  try {
    name = familiarName(withTag(parseReference(reference)))
  } catch {
    // not a name: shown as it was given
  }
  return new SlipwayError('not-found', `No such image: ${name}`)
}
