/**
 * BuildKit's form of a build cache that travels (moby/buildkit cache/remotecache/v1): an index, or an image manifest, of layers
 * with a configuration that says which cache key has which layer on top. Our keys stand where BuildKit's would; what else a
 * step's result is made of stands in a field of our own, which other readers pass over.
 */
import { SlipwayError } from '../../../errors.ts'
import type { Descriptor, Digest, Index, Manifest } from '../../../spec/oci/index.ts'
import type { StepResult } from '../records.ts'

export const cacheConfigType = 'application/vnd.buildkit.cacheconfig.v0'
const uncompressedAnnotation = 'containerd.io/uncompressed'

export interface WireLayer {
  blob: Digest
  /** -1: none. Left out by Go where it is 0. */
  parent?: number | undefined
  annotations?: { mediaType: string; diffID: Digest; size: number; createdAt: string } | undefined
}
export interface WireRecord {
  digest: Digest
  layers?: { layer: number; createdAt: string }[] | undefined
  slipway?: RecordNotes | undefined
}
/** What steps on top need, and what the user is shown. */
interface RecordNotes {
  /** All keys of the result but the first, which is the record's digest. */
  keys: string[]
  contentKey: string
  steps: StepResult['steps']
  description: string
  createdAt: number
}
export interface WireConfig {
  layers?: WireLayer[] | undefined
  records?: WireRecord[] | undefined
}

export interface RemoteLayer {
  descriptor: Descriptor
  diffId: Digest
}
/** A step's result elsewhere: its layers, base first. */
export interface RemoteRecord {
  keys: string[]
  layers: RemoteLayer[]
  notes: RecordNotes
}

export const wireRecord = (
  keys: readonly string[],
  layer: number,
  { contentKey, steps }: Pick<StepResult, 'contentKey' | 'steps'>,
  { description, createdAt }: { description: string; createdAt: number },
): WireRecord => ({
  digest: `sha256:${keys[0]}`,
  layers: [{ layer, createdAt: new Date(createdAt).toISOString() }],
  slipway: { keys: keys.slice(1), contentKey, steps, description, createdAt },
})

export const wireLayer = ({ descriptor, diffId }: RemoteLayer, parent: number): WireLayer => ({
  blob: descriptor.digest,
  parent,
  annotations: {
    mediaType: descriptor.mediaType,
    diffID: diffId,
    size: descriptor.size,
    createdAt: '0001-01-01T00:00:00Z',
  },
})

export const withDiffId = (descriptor: Descriptor, diffId: Digest): Descriptor => ({
  ...descriptor,
  annotations: { [uncompressedAnnotation]: diffId },
})

const isHex = (key: unknown): key is string => typeof key === 'string' && /^[0-9a-f]{64}$/.test(key)

/** What comes from elsewhere may say anything. */
const areNotes = (notes: RecordNotes | undefined): notes is RecordNotes =>
  typeof notes === 'object' &&
  notes !== null &&
  isHex(notes.contentKey) &&
  typeof notes.description === 'string' &&
  isTime(notes.createdAt) &&
  Array.isArray(notes.steps) &&
  notes.steps.every((step) => typeof step?.layer === 'boolean' && isTime(step.createdAt))

const isTime = (ms: unknown): boolean => typeof ms === 'number' && ms >= 0 && ms < 8.64e15

/** Records of a configuration that are ours; those of other builders have keys that nobody here could ask for. */
export const remoteRecords = (config: WireConfig, layersAt: (index: number) => RemoteLayer[]): RemoteRecord[] =>
  (config.records ?? []).flatMap(({ digest, layers, slipway: notes }) => {
    const top = layers?.[0]?.layer
    const key = digest?.replace('sha256:', '')
    if (top === undefined || !areNotes(notes)) return []
    const keys = [key, ...(Array.isArray(notes.keys) ? notes.keys : [])].filter(isHex)
    return keys.length > 0 ? [{ keys, layers: layersAt(top), notes }] : []
  })

/** More layers than an image has: each record's chain is gone through. */
export const mostLayers = 1000

/** The chain of layers below and with the one at `index`. */
export const chainIn = (config: WireConfig, descriptors: ReadonlyMap<Digest, Descriptor>) => {
  const layers = config.layers ?? []
  return (index: number): RemoteLayer[] => {
    const chain: RemoteLayer[] = []
    for (let at = index; at >= 0; at = layers[at]!.parent ?? 0) {
      const layer = layers[at]
      const descriptor = layer && descriptors.get(layer.blob)
      const diffId = layer?.annotations?.diffID ?? descriptor?.annotations?.[uncompressedAnnotation]
      if (!descriptor || diffId === undefined || chain.length > layers.length)
        throw new SlipwayError('invalid', 'the cache configuration names a layer that is not there')
      if (chain.length === mostLayers)
        throw new SlipwayError('invalid', `the cache configuration has more than ${mostLayers} layers on each other`)
      chain.push({ descriptor, diffId })
    }
    return chain.reverse()
  }
}

/** The descriptors of layers and of the configuration, of either form. */
export const partsOf = (document: Index | Manifest): { config: Descriptor | undefined; layers: Descriptor[] } => {
  const isConfig = ({ mediaType }: Descriptor): boolean => mediaType === cacheConfigType
  if ('layers' in document)
    return { config: isConfig(document.config) ? document.config : undefined, layers: document.layers }
  const all = Array.isArray(document.manifests) ? document.manifests : []
  return { config: all.find(isConfig), layers: all.filter((each) => !isConfig(each)) }
}
