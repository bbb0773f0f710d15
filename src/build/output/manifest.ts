/** Images as manifests with their blobs, and an index of several. */
import type { PackedLayer, Packing, Parcel, ParcelPart } from '../../engine/types.ts'
import {
  type Descriptor,
  formatPlatform,
  type ImageConfig,
  mediaTypes,
  type Platform,
  sha256,
} from '../../spec/oci/index.ts'
import { annotationsOf, dockerTyped, formOf, rewrites, usesOci } from './options.ts'
import { exporterEpoch, type FinishedConfig, type Product } from './product.ts'

export interface Written {
  parcel: Parcel
  /** Of each platform's configuration. */
  configs: { platform: Platform; descriptor: Descriptor; layers: Descriptor[] }[]
}
interface Wanted {
  packing: Packing
  /** The exporter's. */
  type: string
  attrs: Readonly<Record<string, string>>
  /** Make an index of one, too. */
  indexed: boolean
  signal: AbortSignal
}
type Finished = { product: Product; finished: FinishedConfig }

/** One manifest, or with several products (or annotations of an index) an index of theirs. */
export const writeManifests = async (wanted: Wanted, products: readonly Finished[]): Promise<Written> => {
  const { type, attrs } = wanted
  const parts: ParcelPart[] = []
  const manifests: { part: Parcel['root']; platform: Platform }[] = []
  const configs: Written['configs'] = []
  for (const each of products) {
    const one = await writeOne(wanted, each)
    parts.push(...one.blobs)
    manifests.push({ part: one.manifest, platform: one.platform })
    configs.push({ platform: one.platform, descriptor: one.config, layers: one.layers })
  }
  const forIndex = annotationsOf(attrs, 'index')
  if (manifests.length === 1 && !forIndex && !wanted.indexed)
    return { parcel: { parts, root: manifests[0]!.part }, configs }
  const mediaType = usesOci(type, attrs) ? mediaTypes.ociIndex : mediaTypes.dockerList
  const index = document(mediaType, {
    schemaVersion: 2,
    mediaType,
    manifests: manifests.map(({ part, platform }) => ({ ...part.descriptor, platform })),
    ...(forIndex ? { annotations: forIndex } : {}),
  })
  return { parcel: { parts: [...parts, ...manifests.map(({ part }) => part)], root: index }, configs }
}

const writeOne = async ({ packing, type, attrs, signal }: Wanted, { product, finished }: Finished) => {
  const epoch = exporterEpoch(attrs, product.epoch)
  const oci = usesOci(type, attrs)
  const layers: PackedLayer[] = []
  for (const snapshot of product.result.snapshots)
    layers.push(await packing.layer(snapshot, formOf(attrs, epoch), signal))
  const diff_ids = layers.map(({ diffId }) => diffId)
  const image: ImageConfig = { ...finished.config, rootfs: { type: 'layers', diff_ids } }
  const platform = platformOf(image)
  const config = document(oci ? mediaTypes.ociConfig : mediaTypes.dockerConfig, image)
  const descriptors = layers.map(({ mediaType, digest, size }) => ({
    ...{ mediaType: oci ? mediaType : dockerTyped(mediaType), digest, size },
    ...(oci && rewrites(attrs, epoch)
      ? { annotations: { 'buildkit/rewritten-timestamp': String(epoch! / 1000) } }
      : {}),
  }))
  const name = formatPlatform(platform)
  const annotations = annotationsOf(attrs, 'manifest', name)
  const mediaType = oci ? mediaTypes.ociManifest : mediaTypes.dockerManifest
  const manifest = document(mediaType, {
    ...{ schemaVersion: 2, mediaType, config: config.descriptor, layers: descriptors },
    ...(annotations ? { annotations } : {}),
  })
  const described = annotationsOf(attrs, 'manifest-descriptor', name)
  const blobs: ParcelPart[] = [
    ...layers.map(({ make }, i) => ({ descriptor: descriptors[i]!, make })),
    { descriptor: config.descriptor, data: config.data },
  ]
  const descriptor = { ...manifest.descriptor, ...(described ? { annotations: described } : {}) }
  return { blobs, manifest: { ...manifest, descriptor }, platform, config: config.descriptor, layers: descriptors }
}

const platformOf = ({ os, architecture, variant }: ImageConfig): Platform => ({
  ...{ os, architecture },
  ...(variant === undefined ? {} : { variant }),
})

const document = (mediaType: string, value: object): Parcel['root'] => {
  const data = Buffer.from(
    JSON.stringify(value, undefined, mediaType.includes('config') || mediaType.includes('image.v1') ? 0 : 2),
  )
  return { descriptor: { mediaType, digest: sha256(data), size: data.length }, data }
}
