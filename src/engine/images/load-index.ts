/** Images for several platforms, with what is said of them, in an archive: where nothing is missing, the name stands for all. */
import {
  type Descriptor,
  type Digest,
  isIndexType,
  layerCompression,
  type Manifest,
  readIndex,
  readManifest,
} from '../../spec/oci/index.ts'
import type { Image } from '../types.ts'
import type { ArchiveFiles } from './archive-files.ts'
import type { IndexLayer, StoredIndex } from './index-records.ts'

export interface WholeIndex {
  names: string[]
  root: Descriptor
  images: { manifest: Manifest; descriptor: Descriptor; body: string }[]
  /** Besides layers; parts before what refers to them. */
  documents: Map<Digest, Descriptor>
}

const maxDepth = 4
/** Documents are kept in the database. */
const maxDocument = 8 << 20

export const blobPath = (digest: Digest): string => `blobs/${digest.replace(':', '/')}`

/** Attestations lie beside the images they are about, and are none. */
export const isImage = ({ annotations, platform }: Descriptor): boolean =>
  annotations?.['vnd.docker.reference.type'] === undefined && platform?.os !== 'unknown'

/** Those of the archive's indexes that have a name and everything that they name; what is malformed is none of them. */
export const wholeIndexes = async (
  files: ArchiveFiles,
  nameOf: (descriptor: Descriptor) => string | undefined,
): Promise<WholeIndex[]> => {
  const found = new Map<Digest, WholeIndex>()
  const { manifests = [] } = parsed(readIndex, await textOf(files, 'index.json')) ?? {}
  for (const descriptor of manifests) {
    const name = nameOf(descriptor)
    if (name === undefined || !isIndexType(descriptor.mediaType)) continue
    const { annotations: _, ...root } = descriptor
    const known = found.get(root.digest) ?? (await wholeIndex(files, root))
    if (!known) continue
    known.names.push(name)
    found.set(root.digest, known)
  }
  return [...found.values()]
}

const wholeIndex = async (files: ArchiveFiles, root: Descriptor): Promise<WholeIndex | undefined> => {
  const whole: WholeIndex = { names: [], root, images: [], documents: new Map() }
  if (!(await addIndex(files, whole, root, new Set(), 0))) return undefined
  // One image alone is just that.
  const { images, documents } = whole
  const more = [...documents.values()].some((each) => !isImage(each))
  return images.length > 1 || (images.length === 1 && more) ? whole : undefined
}

const addIndex = async (
  files: ArchiveFiles,
  whole: WholeIndex,
  descriptor: Descriptor,
  seen: Set<string>,
  depth: number,
): Promise<boolean> => {
  const { manifests } = parsed(readIndex, await textOf(files, blobPath(descriptor.digest))) ?? {}
  if (!manifests || depth > maxDepth) return false
  for (const each of manifests) {
    // Once each: indexes of indexes can name the same on very many ways. As an image, though, and as what is said of one.
    const key = `${isImage(each)} ${each.digest}`
    if (seen.has(key)) continue
    seen.add(key)
    const nested = isIndexType(each.mediaType)
    const there = await (nested ? addIndex(files, whole, each, seen, depth + 1) : addManifest(files, whole, each))
    if (!there) return false
    whole.documents.set(each.digest, each)
  }
  return true
}

const addManifest = async (files: ArchiveFiles, whole: WholeIndex, descriptor: Descriptor): Promise<boolean> => {
  const body = await textOf(files, blobPath(descriptor.digest))
  const manifest = parsed(readManifest, body)
  if (body === undefined || !manifest) return false
  const { config, layers } = manifest
  if ([config, ...layers].some(({ digest }) => !files.find(blobPath(digest)))) return false
  const documents = isImage(descriptor) ? [config] : [config, ...layers]
  for (const document of documents) whole.documents.set(document.digest, document)
  if (documents.some(({ digest }) => files.find(blobPath(digest))!.size > maxDocument)) return false
  if (!isImage(descriptor)) return true
  if ((descriptor.platform?.os ?? 'linux') !== 'linux') return false
  whole.images.push({ manifest, descriptor, body })
  return layers.every((layer) => layerCompression(layer.mediaType ?? '') !== undefined)
}

/** undefined also for what is too large to be a document. */
const textOf = (files: ArchiveFiles, path: string): Promise<string | undefined> =>
  files.text(path).catch(() => undefined)

const parsed = <T>(read: (text: string) => T, text: string | undefined): T | undefined => {
  try {
    return text === undefined ? undefined : read(text)
  } catch {
    return undefined // who reads it as an image says so
  }
}

/** As it is kept, with the images as they were registered. */
export const storedIndex = async (
  files: ArchiveFiles,
  { root, images, documents }: WholeIndex,
  registered: ReadonlyMap<Digest, Image>,
): Promise<StoredIndex> => {
  const stored = async (descriptor: Descriptor) => ({
    descriptor,
    data: (await files.bytes(blobPath(descriptor.digest)))!.toString('base64'),
  })
  const layers = new Map<Digest, IndexLayer>()
  for (const { manifest } of images)
    for (const [i, descriptor] of manifest.layers.entries()) {
      const compression = layerCompression(descriptor.mediaType)
      const form = { compression: compression === 'none' ? ('uncompressed' as const) : compression }
      layers.set(descriptor.digest, {
        descriptor,
        snapshot: registered.get(manifest.config.digest)!.snapshots[i]!,
        form,
      })
    }
  return {
    layers: [...layers.values()],
    documents: await Promise.all([...documents.values()].map(stored)),
    root: await stored(root),
  }
}
