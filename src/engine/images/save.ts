import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { decompressor, packTar, type TarMember, tarEntry } from '../../lib/tar/index.ts'
import {
  type Descriptor,
  type Digest,
  familiarName,
  formatReference,
  layerCompression,
  mediaTypes,
  parseReference,
  repositoryOf,
  sha256,
  withTag,
} from '../../spec/oci/index.ts'
import type { Image, Images, Packing } from '../types.ts'
import type { StoredIndex } from './index-records.ts'
import { imageFor, layersIn, parcelOf } from './indexes.ts'
import { blobPath } from './load-index.ts'
import { type ImageStore, noSuchImage } from './store.ts'

interface Saved {
  image: Image
  names: string[]
  /** What the names stand for besides the image. */
  whole?: StoredIndex | undefined
}

/**
 * docker save: one tar that is an OCI layout and, by its manifest.json, a docker archive. Layers are uncompressed, which
 * every reader takes; the same images give the same bytes. What stands for several images goes as it would go to a registry.
 */
export const saveImages = async (
  store: ImageStore,
  packing: Images['packing'],
  references: string[],
  { signal, platform }: NonNullable<Parameters<Images['save']>[1]>,
): Promise<Readable> => {
  const saved = new Map<Digest, Saved>()
  for (const reference of references)
    for (const { image: named, name } of meant(store, reference)) {
      const image = platform && name !== undefined ? imageFor(store, name, platform) : named
      const whole = platform || name === undefined ? undefined : store.records.indexes.get(name)
      const key = whole?.root.descriptor.digest ?? image.id
      const known = saved.get(key) ?? { image, names: [], whole }
      if (name !== undefined && !known.names.includes(name)) known.names.push(name)
      saved.set(key, known)
    }
  for (const { image } of saved.values()) store.emit('save', image)
  const stream = packTar(members(store, packing, [...saved.values()], signal))
  if (signal) {
    const abort = (): void => void stream.destroy(new SlipwayError('cancelled', 'operation was cancelled'))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    stream.once('close', () => signal.removeEventListener('abort', abort))
  }
  return stream
}

/** A bare repository means all its tags, as with docker. */
const meant = (store: ImageStore, reference: string): { image: Image; name?: string }[] => {
  const byName = store.resolveName(reference)
  const parsed = byName === undefined ? undefined : parseReference(reference)
  if (parsed?.digest !== undefined) return [{ image: store.must(byName!) }]
  if (parsed?.tag !== undefined) return [{ image: store.must(byName!), name: formatReference(parsed) }]
  const tagged = bareRepository(store, reference)
  if (tagged.length > 0) return tagged
  const image = store.get(reference)
  if (!image) throw noSuchImage(reference)
  return [{ image }]
}

const bareRepository = (store: ImageStore, reference: string): { image: Image; name: string }[] => {
  let wanted: string
  try {
    const parsed = parseReference(reference)
    if (parsed.tag !== undefined || parsed.digest !== undefined) return []
    wanted = repositoryOf(parsed)
  } catch {
    return [] // an id
  }
  return store
    .list()
    .flatMap((image) =>
      image.names.filter((name) => repositoryOf(parseReference(name)) === wanted).map((name) => ({ image, name })),
    )
}

async function* members(
  store: ImageStore,
  packing: Images['packing'],
  saved: Saved[],
  signal?: AbortSignal,
): AsyncGenerator<TarMember> {
  const { lease, end } = store.openLease()
  const packed = packing()
  try {
    for (const { image } of saved) for (const key of image.snapshots) lease.hold(key)
    const written = new Set<Digest>()
    const index: Descriptor[] = []
    const docker: object[] = []
    for (const { image, names, whole } of saved) {
      if (whole) {
        yield* wholeMembers(whole, packed, written)
        for (const name of names) index.push({ ...whole.root.descriptor, annotations: annotationsFor(name) })
        const layers = layersIn(whole, image.id)
        if (layers) docker.push(dockerEntry(image, names, layers))
        continue
      }
      const layers = await describeLayers(store, image, signal)
      const raw = Buffer.from(store.records.get(image.id)!.config)
      const config: Descriptor = { mediaType: mediaTypes.ociConfig, digest: image.id, size: raw.length }
      const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers }
      const body = Buffer.from(JSON.stringify(manifest))
      const descriptor = {
        mediaType: mediaTypes.ociManifest,
        digest: sha256(body),
        size: body.length,
        platform: image.platform,
      }
      for (const [digest, data] of [[image.id, raw] as const, [descriptor.digest, body] as const]) {
        // The configuration is as old as the image, for who looks at dates in an archive.
        const mtimeNs = digest === image.id ? createdNs(image) : 0n
        if (!written.has(digest)) yield { entry: { ...file(blobPath(digest), data.length), mtimeNs }, body: data }
        written.add(digest)
      }
      for (const [i, layer] of layers.entries()) {
        if (written.has(layer.digest)) continue
        written.add(layer.digest)
        yield {
          entry: file(blobPath(layer.digest), layer.size),
          body: await layerTar(store, layer.digest, image.snapshots[i]!),
        }
      }
      if (names.length === 0) index.push(descriptor)
      for (const name of names) index.push({ ...descriptor, annotations: annotationsFor(name) })
      docker.push(dockerEntry(image, names, layers))
    }
    yield json('index.json', { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: index })
    yield json('manifest.json', docker)
    yield json('oci-layout', { imageLayoutVersion: '1.0.0' })
  } finally {
    await packed.close()
    await end()
  }
}

async function* wholeMembers(whole: StoredIndex, packed: Packing, written: Set<Digest>): AsyncGenerator<TarMember> {
  const { parts, root } = await parcelOf(whole, packed)
  for (const part of [...parts, root]) {
    const { digest, size } = part.descriptor
    if (written.has(digest)) continue
    written.add(digest)
    const body = 'data' in part ? part.data : createReadStream(await part.make())
    yield { entry: file(blobPath(digest), size), body }
  }
}

const dockerEntry = (image: Image, names: readonly string[], layers: readonly Descriptor[]) => ({
  Config: blobPath(image.id),
  RepoTags: names.length === 0 ? null : names.map(familiarName),
  Layers: layers.map((layer) => blobPath(layer.digest)),
})

const createdNs = ({ config }: Image): bigint => {
  const ms = Date.parse(config.created ?? '')
  return Number.isNaN(ms) ? 0n : BigInt(Math.floor(ms / 1000)) * 1_000_000_000n
}
const file = (path: string, size: number) => tarEntry({ path, size })
const json = (path: string, value: unknown): TarMember => {
  const body = Buffer.from(JSON.stringify(value))
  return { entry: file(path, body.length), body }
}
const annotationsFor = (name: string): Record<string, string> => ({
  'io.containerd.image.name': name,
  'org.opencontainers.image.ref.name': withTag(parseReference(name)).tag ?? '',
})

const describeLayers = async (store: ImageStore, image: Image, signal?: AbortSignal): Promise<Descriptor[]> => {
  const layers: Descriptor[] = []
  for (const [i, digest] of image.config.rootfs.diff_ids.entries()) {
    const blob = store.records.blob(digest)
    if (blob && !store.content.has(blob.digest))
      throw new SlipwayError('not-found', `content of layer ${digest} is missing`, { hint: 'Pull the image again.' })
    const size = blob?.tarSize ?? (await store.snapshots.measure(image.snapshots[i]!, signal)).tarSize
    layers.push({ mediaType: mediaTypes.ociLayer, digest, size })
  }
  return layers
}

/** The uncompressed archive of a layer, the very bytes its diff_id is of. */
const layerTar = async (store: ImageStore, diffId: Digest, snapshot: string): Promise<Readable> => {
  const blob = store.records.blob(diffId)
  if (!blob) return store.snapshots.diff(snapshot)
  const transform = decompressor(layerCompression(blob.mediaType) ?? 'none')
  const stored = store.content.read(blob.digest)
  if (!transform) return stored
  pipeline(stored, transform, () => {}) // an error destroys the transform, which its reader sees
  return transform
}
