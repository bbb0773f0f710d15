/** Images for several platforms under one name, with what is said of them: built together, pushed as one. */
import { SlipwayError } from '../../errors.ts'
import {
  familiarName,
  formatReference,
  type Platform,
  platformRank,
  type Reference,
  repositoryOf,
  wholeName,
} from '../../spec/oci/index.ts'
import type { Image, Images, Packing, Parcel, ParcelPart } from '../types.ts'
import type { StoredIndex } from './index-records.ts'
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
const parcelOf = async ({ layers, documents, root }: StoredIndex, packing: Packing): Promise<Parcel> => {
  const parts: ParcelPart[] = []
  for (const { descriptor, snapshot, form } of layers) {
    // It may have become an archive of another kind since.
    const again = await packing.layer(snapshot, form)
    const made = again.digest === descriptor.digest ? again : await packing.layer(snapshot, { ...form, force: true })
    if (made.digest !== descriptor.digest)
      throw new SlipwayError('conflict', `layer ${descriptor.digest} would be ${made.digest} now`, {
        hint: 'Another compressor makes it by now: build the image again.',
      })
    parts.push({ descriptor, make: made.make })
  }
  const restored = ({ descriptor, data }: StoredIndex['root']) => ({ descriptor, data: Buffer.from(data, 'base64') })
  return { parts: [...parts, ...documents.map(restored)], root: restored(root) }
}

/** Of what the name stands for, the image for the platform; else the one it means here. */
export const imageFor = (store: ImageStore, reference: string, platform: Platform): Image => {
  const image = store.must(reference)
  if (fits(image, platform) || store.resolveName(reference) === undefined) return image
  const others = store.records.indexes.members(wholeName(reference)).map((id) => store.must(id))
  return others.find((other) => fits(other, platform)) ?? image
}

type Own = Pick<Images, 'keepIndex' | 'forPlatform'> & {
  /** The whole that a name stands for; undefined: it is just an image. */
  pushIndex(reference: Reference, options: Parameters<Images['push']>[1]): ReturnType<Images['push']> | undefined
}

export const indexes = (store: ImageStore, { packing, send }: Pick<Images, 'packing' | 'send'>): Own => ({
  async keepIndex(reference, parcel, members) {
    keepIndex(store, reference, parcel, members)
  },
  forPlatform: async (reference, platform) => imageFor(store, reference, platform),
  pushIndex(reference, options = {}) {
    const index = store.records.indexes.get(formatReference(reference))
    if (!index) return undefined
    const image = store.must(store.records.byName(formatReference(reference))!)
    return (async () => {
      const packed = packing()
      try {
        options.progress?.({ status: `The push refers to repository [${repositoryOf(reference)}]` })
        const sent = await send(formatReference(reference), await parcelOf(index, packed), {
          ...options,
          image: image.id,
        })
        options.progress?.({ status: `${reference.tag}: digest: ${sent.digest} size: ${sent.size}` })
        const name = familiarName(reference)
        store.deps.events.emit({ type: 'image', action: 'push', id: name, attributes: { name } })
        return sent
      } finally {
        await packed.close()
      }
    })()
  },
})

const fits = ({ platform }: Image, wanted: Platform): boolean => platformRank(platform, wanted) > 0
