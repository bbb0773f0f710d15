/** Images for several platforms under one name, with what is said of them: built together, pushed as one. */
import { SlipwayError } from '../../errors.ts'
import {
  type Descriptor,
  type Digest,
  familiarName,
  familiarRepository,
  formatReference,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  type Platform,
  platformRank,
  type Reference,
  repositoryOf,
  wholeName,
} from '../../spec/oci/index.ts'
import type { Image, Images, IndexManifest, Packing, Parcel, ParcelPart } from '../types.ts'
import type { StoredIndex } from './index-records.ts'
import { isImage } from './load-index.ts'
import type { ImageStore } from './store.ts'

const keepIndex = (store: ImageStore, reference: string, { parts, root }: Parcel, members: readonly string[]): void => {
  const index: StoredIndex = {
    layers: parts.flatMap((part) => {
      if ('data' in part) return []
      if (!part.from) throw new SlipwayError('internal', 'a layer of an index is of no snapshot')
      return [{ descriptor: part.descriptor, ...part.from }]
    }),
    documents: parts.flatMap((part) => ('data' in part ? [stored(part)] : [])),
    root: stored(root),
  }
  const name = wholeName(reference)
  store.records.transaction(() => {
    if (store.records.byName(name) !== undefined) store.records.indexes.set(name, index, members)
  })
}

const stored = ({ descriptor, data }: ParcelPart & { data: Buffer }) => ({ descriptor, data: data.toString('base64') })

/** As it was built, to be sent; layers are made again the same way where they are not there. */
export const parcelOf = async ({ layers, documents, root }: StoredIndex, packing: Packing): Promise<Parcel> => {
  const parts: ParcelPart[] = []
  for (const { descriptor, snapshot, form } of layers) {
    // It may have become another archive since.
    const made = await packing.layer(snapshot, { ...form, digest: descriptor.digest })
    if (made.digest !== descriptor.digest)
      throw new SlipwayError('conflict', `layer ${descriptor.digest} would be ${made.digest} now`, {
        hint: 'What it was is not here any more, and another compressor makes it by now: build, load or pull it again.',
      })
    parts.push({ descriptor, make: made.make })
  }
  const restored = ({ descriptor, data }: StoredIndex['root']) => ({ descriptor, data: Buffer.from(data, 'base64') })
  return { parts: [...parts, ...documents.map(restored)], root: restored(root) }
}

/** Of what the name stands for, the image that is best for the platform; else the one it means here. */
export const imageFor = (store: ImageStore, reference: string, platform: Platform): Image => {
  const image = store.must(reference)
  if (store.resolveName(reference) === undefined) return image
  const others = store.records.indexes.members(wholeName(reference)).map((id) => store.must(id))
  const rank = (each: Image): number => platformRank(each.platform, platform)
  return [image, ...others].reduce((best, each) => (rank(each) > rank(best) ? each : best))
}

const manifestsOf = (store: ImageStore, { documents, root }: StoredIndex): IndexManifest[] => {
  const read = <T>(data: string): T => JSON.parse(Buffer.from(data, 'base64').toString()) as T
  return read<Index>(root.data).manifests.flatMap((descriptor) => {
    const found = documents.find((each) => each.descriptor.digest === descriptor.digest)
    if (!found || isIndexType(descriptor.mediaType)) return []
    const { config, layers } = read<Manifest>(found.data)
    const contentSize = [descriptor, config, ...layers].reduce((bytes, { size }) => bytes + size, 0)
    return [{ descriptor, contentSize, image: isImage(descriptor) ? store.get(config.digest) : undefined }]
  })
}

type Own = Pick<Images, 'keepIndex' | 'forPlatform' | 'manifests'> & {
  /** The whole that a name stands for, or of it the image for the platform; undefined: it is just an image. */
  pushIndex(reference: Reference, options: Parameters<Images['push']>[1]): ReturnType<Images['push']> | undefined
}

/** Of an index only one image. */
const manifestOf = (index: StoredIndex, id: Digest): StoredIndex | undefined => {
  for (const root of index.documents) {
    if (!isManifestType(root.descriptor.mediaType)) continue
    const { config, layers } = JSON.parse(Buffer.from(root.data, 'base64').toString()) as Manifest
    if (config?.digest !== id) continue
    const own = new Set(layers.map(({ digest }) => digest))
    return {
      root,
      layers: index.layers.filter(({ descriptor }) => own.has(descriptor.digest)),
      documents: index.documents.filter(({ descriptor }) => descriptor.digest === id),
    }
  }
  return undefined
}

/** Layers of the image as the index has them; undefined: it has none such. */
export const layersIn = (index: StoredIndex, id: Digest): Descriptor[] | undefined => {
  const found = manifestOf(index, id)
  return found && (JSON.parse(Buffer.from(found.root.data, 'base64').toString()) as Manifest).layers
}

export const indexes = (store: ImageStore, { packing, send }: Pick<Images, 'packing' | 'send'>): Own => ({
  async keepIndex(reference, parcel, members) {
    keepIndex(store, reference, parcel, members)
  },
  forPlatform: async (reference, platform) => imageFor(store, reference, platform),
  manifests(name) {
    const index = store.records.indexes.get(wholeName(name))
    return index && manifestsOf(store, index)
  },
  pushIndex(reference, options = {}) {
    const name = formatReference(reference)
    const whole = store.records.indexes.get(name)
    if (!whole) return undefined
    const own = store.must(store.records.byName(name)!)
    const wanted = options.platform ? imageFor(store, name, options.platform) : undefined
    const index = wanted ? manifestOf(whole, wanted.id) : whole
    if (!index) return undefined
    // A digest would show one of several as an image of its own.
    const image = wanted && wanted.id !== own.id ? {} : { image: own.id }
    return (async () => {
      const packed = packing()
      try {
        options.progress?.({ status: `The push refers to repository [${repositoryOf(reference)}]` })
        const sent = await send(formatReference(reference), await parcelOf(index, packed), {
          ...options,
          ...image,
        })
        options.progress?.({ status: `${reference.tag}: digest: ${sent.digest} size: ${sent.size}` })
        const attributes = { name: familiarRepository(reference) }
        store.deps.events.emit({ type: 'image', action: 'push', id: familiarName(reference), attributes })
        return sent
      } finally {
        await packed.close()
      }
    })()
  },
})
