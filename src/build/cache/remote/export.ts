/** --cache-to: the build's cache records with their layers, into an image, to a registry or into a directory. */

import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { Images, LayerForm, PackedLayer, Packing, Parcel, ParcelPart } from '../../../engine/types.ts'
import { messageOf, SlipwayError } from '../../../errors.ts'
import { chainIds, type Descriptor, mediaTypes, parseReference, sha256 } from '../../../spec/oci/index.ts'
import { dockerTyped, formOf, isOn } from '../../output/options.ts'
import type { Report } from '../../solver/report.ts'
import type { BuildRequest, CacheEntry, ContentStore, ExportResponse } from '../../types.ts'
import type { UsedRecord } from './collect.ts'
import {
  cacheConfigType,
  type WireConfig,
  type WireLayer,
  type WireRecord,
  wireLayer,
  wireRecord,
  withDiffId,
} from './format.ts'

/** moby.buildkit.cache.v0 of an image's configuration: records whose layers are counted as in the image. */
export const inlineCacheOf = (used: readonly UsedRecord[]): string => {
  const records = used.map((each) => wireRecord(each.keys, each.layers.length - 1, each, each))
  return Buffer.from(JSON.stringify(records)).toString('base64')
}

interface CacheExportDeps {
  images: Pick<Images, 'packing' | 'send'>
  report: Report
  request: Pick<BuildRequest, 'auth' | 'progress'>
  signal: AbortSignal
}

/** `used`: by mode. Adds to the response what clients of a directory need. */
export const exportCache = async (
  deps: CacheExportDeps,
  entry: CacheEntry,
  used: (everything: boolean) => Promise<UsedRecord[]>,
  response: ExportResponse,
): Promise<void> => {
  if (entry.type === 'inline') return // is in the image
  const mode = entry.attrs.mode ?? 'min'
  if (mode !== 'min' && mode !== 'max') throw new SlipwayError('bad-request', `unsupported cache export mode "${mode}"`)
  const what = entry.type === 'registry' ? 'registry' : 'client directory'
  const vertex = { id: randomUUID(), name: `exporting cache to ${what}` }
  const say = (name: string): void => deps.report.emit({ type: 'status', id: vertex.id, name, current: 0 })
  const packing = deps.images.packing()
  try {
    await deps.report.during(vertex, async () => {
      say('preparing build cache for export')
      const parcel = await parcelOf(packing, await used(mode === 'max'), entry, deps.signal)
      for (const { descriptor } of parcel.parts)
        say(`writing ${descriptor.mediaType === cacheConfigType ? 'config' : 'layer'} ${descriptor.digest}`)
      say(`writing cache manifest ${parcel.root.descriptor.digest}`)
      const sent = entry.type === 'registry' ? await sendCache(deps, entry, parcel) : await storeCache(entry, parcel)
      response['cache.manifest'] = JSON.stringify(sent)
    })
  } catch (error) {
    if (!isOn(entry.attrs['ignore-error']) || deps.signal.aborted) throw error
    deps.request.progress({ type: 'notice', message: `error exporting cache was ignored: ${messageOf(error)}` })
  } finally {
    await packing.close()
  }
}

const sendCache = async (deps: CacheExportDeps, { attrs }: CacheEntry, parcel: Parcel): Promise<Descriptor> => {
  const auth = await deps.request.auth?.(parseReference(attrs.ref!).domain)
  return await deps.images.send(attrs.ref!, parcel, {
    signal: deps.signal,
    insecure: isOn(attrs['registry.insecure']),
    ...(auth ? { auth } : {}),
  })
}

const storeCache = async ({ attrs, store }: CacheEntry, parcel: Parcel): Promise<Descriptor> => {
  await storeParcel(store!, parcel)
  await store!.tag?.(attrs.tag ?? 'latest', parcel.root.descriptor)
  return parcel.root.descriptor
}

/** Writes all of a parcel into a store, what is referred to before what refers to it. */
export const storeParcel = async (store: ContentStore, { parts, root }: Parcel): Promise<void> => {
  for (const part of [...parts, root]) await store.write(part.descriptor, () => contentOf(part))
}

export async function* contentOf(part: ParcelPart): AsyncGenerator<Uint8Array> {
  if ('data' in part) yield part.data
  else yield* createReadStream(await part.make(), { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>
}

const parcelOf = async (
  packing: Packing,
  used: readonly UsedRecord[],
  { attrs }: CacheEntry,
  signal: AbortSignal,
): Promise<Parcel> => {
  const form: LayerForm = formOf(attrs)
  const config = { layers: [] as WireLayer[], records: [] as WireRecord[] }
  const layers: PackedLayer[] = []
  const known = new Map<string, number>()
  /** Index of the topmost layer. */
  const place = async (all: UsedRecord['layers']): Promise<number> => {
    const diffIds: string[] = []
    let parent = -1
    for (const each of all) {
      signal.throwIfAborted()
      const layer =
        typeof each === 'string'
          ? await packing.layer(each, form, signal)
          : { ...each.descriptor, diffId: each.diffId, make: each.make }
      diffIds.push(layer.diffId)
      const chain = chainIds(diffIds).at(-1)!
      let index = known.get(chain)
      if (index === undefined) {
        index = config.layers.length
        known.set(chain, index)
        config.layers.push(wireLayer({ descriptor: layer, diffId: layer.diffId }, parent))
        layers.push(layer)
      }
      parent = index
    }
    return parent
  }
  for (const each of used) config.records.push(wireRecord(each.keys, await place(each.layers), each, each))
  return documentOf(config, layers, attrs)
}

const documentOf = (config: WireConfig, layers: readonly PackedLayer[], attrs: CacheEntry['attrs']): Parcel => {
  const docker = attrs['oci-mediatypes'] !== undefined && !isOn(attrs['oci-mediatypes'])
  const asManifest = isOn(attrs['image-manifest'])
  if (docker && asManifest)
    throw new SlipwayError('bad-request', 'cannot combine image-manifest=true with oci-mediatypes=false')
  const distinct = [...new Map(layers.map((layer) => [layer.digest, layer])).values()]
  const parts: ParcelPart[] = distinct.map(({ mediaType, digest, size, diffId, make }) => ({
    descriptor: withDiffId({ mediaType: docker ? dockerTyped(mediaType) : mediaType, digest, size }, diffId),
    make,
  }))
  const data = Buffer.from(JSON.stringify(config))
  const configPart = { descriptor: { mediaType: cacheConfigType, digest: sha256(data), size: data.length }, data }
  const descriptors = parts.map(({ descriptor }) => descriptor)
  const mediaType = asManifest ? mediaTypes.ociManifest : docker ? mediaTypes.dockerList : mediaTypes.ociIndex
  const body = Buffer.from(
    JSON.stringify(
      asManifest
        ? { schemaVersion: 2, mediaType, config: configPart.descriptor, layers: descriptors }
        : { schemaVersion: 2, mediaType, manifests: [...descriptors, configPart.descriptor] },
      undefined,
      2,
    ),
  )
  const descriptor = { mediaType, digest: sha256(body), size: body.length }
  return { parts: [...parts, configPart], root: { descriptor, data: body } }
}
