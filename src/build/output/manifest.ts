/** Images as manifests with their blobs, and an index of several. */
import type { PackedLayer, Packing, Parcel, ParcelPart } from '../../engine/types.ts'
import {
  canonicalConfig,
  type Descriptor,
  formatPlatform,
  type ImageConfig,
  mediaTypes,
  type Platform,
  sha256,
} from '../../spec/oci/index.ts'
import type { Attest } from '../attest/attest.ts'
import { attestationManifest } from '../attest/statement.ts'
import { bottomOf } from '../solver/graph.ts'
import { annotationsOf, dockerTyped, formOf, isOn, namesOf, rewrites, usesOci } from './options.ts'
import { exporterEpoch, type FinishedConfig, type Product } from './product.ts'

export interface Written {
  parcel: Parcel
  /** Of each platform's configuration. */
  configs: { platform: Platform; descriptor: Descriptor; layers: Descriptor[] }[]
  /** Manifests of what is said of them, in the index. */
  attestations: Parcel['root'][]
}
interface Wanted {
  packing: Packing
  /** The exporter's. */
  type: string
  attrs: Readonly<Record<string, string>>
  /** Make an index of one, too. */
  indexed: boolean
  /** Then there is an index in any case, of OCI's types. */
  attest?: Attest | undefined
  signal: AbortSignal
}
type Finished = { product: Product; finished: FinishedConfig }

/** One manifest, or with several products (or annotations of an index, or attestations) an index of theirs. */
export const writeManifests = async (wanted: Wanted, products: readonly Finished[]): Promise<Written> => {
  const { attrs, attest } = wanted
  const parts: ParcelPart[] = []
  const manifests: { part: Parcel['root']; platform: Platform }[] = []
  const configs: Written['configs'] = []
  const attestations: Parcel['root'][] = []
  for (const each of products) {
    const one = await writeOne(wanted, each)
    parts.push(...one.blobs)
    manifests.push({ part: one.manifest, platform: one.platform })
    configs.push({ platform: one.platform, descriptor: one.config, layers: one.layers })
    const said = attest ? await attest(each.product, one.layers) : []
    if (said.length === 0) continue
    const isArtifact = isOn(attrs['oci-artifact'])
    const made = attestationManifest(said, one.manifest.descriptor, namesOf(attrs), one.platform, isArtifact)
    parts.push(...made.blobs)
    attestations.push(made.manifest)
  }
  const forIndex = annotationsOf(attrs, 'index')
  if (manifests.length === 1 && !forIndex && !wanted.indexed && !attest)
    return { parcel: { parts, root: manifests[0]!.part }, configs, attestations }
  const mediaType = isOci(wanted) ? mediaTypes.ociIndex : mediaTypes.dockerList
  const index = document(mediaType, {
    schemaVersion: 2,
    mediaType,
    manifests: [
      ...manifests.map(({ part, platform }) => ({ ...part.descriptor, platform })),
      ...attestations.map(({ descriptor }) => descriptor),
    ],
    ...(forIndex ? { annotations: forIndex } : {}),
  })
  const documents = [...manifests.map(({ part }) => part), ...attestations]
  return { parcel: { parts: [...parts, ...documents], root: index }, configs, attestations }
}

const isOci = ({ type, attrs, attest }: Wanted): boolean => attest !== undefined || usesOci(type, attrs)

const writeOne = async (wanted: Wanted, { product, finished }: Finished) => {
  const { packing, attrs, signal } = wanted
  const epoch = exporterEpoch(attrs, product.epoch)
  const oci = isOci(wanted)
  const layers: PackedLayer[] = []
  const { snapshots } = product.result
  // What came with the base stays as it is.
  const base = bottomOf(product.stage.rootfs)
  const inherited = base.kind === 'image' ? base.image.snapshots.length : 0
  const forms = snapshots.map((_, i) => formOf(attrs, i < inherited ? undefined : epoch))
  for (const [i, snapshot] of snapshots.entries()) layers.push(await packing.layer(snapshot, forms[i]!, signal))
  const diff_ids = layers.map(({ diffId }) => diffId)
  // The very bytes that the image has here: it is known by their digest.
  const image = Buffer.from(canonicalConfig(finished.config, diff_ids))
  const platform = platformOf(finished.config)
  const config = part(oci ? mediaTypes.ociConfig : mediaTypes.dockerConfig, image)
  const descriptors = layers.map(({ mediaType, digest, size }, i) => ({
    ...{ mediaType: oci ? mediaType : dockerTyped(mediaType), digest, size },
    ...(oci && i >= inherited && rewrites(attrs, epoch)
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
    ...layers.map(({ make }, i) => ({
      descriptor: descriptors[i]!,
      make,
      from: { snapshot: snapshots[i]!, form: forms[i]! },
    })),
    { descriptor: config.descriptor, data: config.data },
  ]
  const descriptor = { ...manifest.descriptor, ...(described ? { annotations: described } : {}) }
  return { blobs, manifest: { ...manifest, descriptor }, platform, config: config.descriptor, layers: descriptors }
}

const platformOf = ({ os, architecture, variant }: Omit<ImageConfig, 'rootfs'>): Platform => ({
  ...{ os, architecture },
  ...(variant === undefined ? {} : { variant }),
})

const document = (mediaType: string, value: object): Parcel['root'] =>
  part(mediaType, Buffer.from(JSON.stringify(value, undefined, 2)))

const part = (mediaType: string, data: Buffer): Parcel['root'] => ({
  descriptor: { mediaType, digest: sha256(data), size: data.length },
  data,
})
