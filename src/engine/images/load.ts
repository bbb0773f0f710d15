import type { Readable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { compressionOfFile } from '../../lib/tar/index.ts'
import {
  chainIds,
  choosePlatform,
  type Digest,
  familiarName,
  formatPlatform,
  hostPlatform,
  type Index,
  isIndexType,
  layerCompression,
  mediaTypes,
  type Platform,
  platformRank,
  readIndex,
  readManifest,
  sha256,
  wholeName,
} from '../../spec/oci/index.ts'
import { readable } from '../runtime/foreign.ts'
import type { UnpackResult } from '../snapshots/index.ts'
import type { Image, PullOptions } from '../types.ts'
import { type ArchiveFiles, gatherFiles } from './archive-files.ts'
import { checkConfigType, checkSystem, readConfig } from './config.ts'
import { EarlyLayers } from './early-layers.ts'
import { legacyImages } from './load-legacy.ts'
import { blobPath, isImage, storedIndex, type WholeIndex, wholeIndexes } from './load-index.ts'
import type { KeptManifest, LayerBlob } from './records.ts'
import type { ImageStore, Lease } from './store.ts'

interface Loadable {
  /** Path of the configuration, or what it says. */
  config: string | { raw: string }
  layers: string[]
  names: string[]
  manifest?: KeptManifest | undefined
  /** It is one of several: its archives stay as they came, since the index names them. */
  member?: boolean
}
interface LoadOptions {
  progress?: PullOptions['progress']
  signal?: AbortSignal | undefined
  /** Of an image for several platforms; default: the machine's, else the first that is there. */
  platform?: Platform | undefined
}

/** What belongs together: one image, or all that a name stands for, the one that it means here first. */
interface Group {
  images: Loadable[]
  whole?: WholeIndex
}

/** docker load: an archive of `docker save` (any age) or an OCI layout. */
export const loadImages = (store: ImageStore, archive: Readable, options: LoadOptions): Promise<Image[]> =>
  store.lease(async (lease) => {
    const early = new EarlyLayers(store, lease, options.signal)
    try {
      const tar = await readable(archive, store.deps.sys.processes)
      const files = await gatherFiles(tar, store.content, lease, (path, file) => early.seen(path, file))
      return await loadAll({ store, lease, files, early }, options)
    } finally {
      await early.over()
    }
  })

/** What images are loaded from, and into what. */
interface Loading {
  store: ImageStore
  lease: Lease
  files: ArchiveFiles
  early: EarlyLayers
}

const loadAll = async (loading: Loading, options: LoadOptions): Promise<Image[]> => {
  const { store, files } = loading
  const images: Image[] = []
  for (const { images: group, whole } of await contentsOf(files, options)) {
    const [first, ...others] = group
    const loaded = new Map<Digest, Image>()
    for (const other of others) {
      const image = await loadOne(loading, other, options)
      loaded.set(image.id, image)
    }
    const image = await loadOne(loading, first!, options)
    loaded.set(image.id, image)
    if (whole) await keepWhole(store, files, whole, loaded)
    images.push(image)
    store.emit('load', image)
  }
  return images
}

const keepWhole = async (
  store: ImageStore,
  files: ArchiveFiles,
  whole: WholeIndex,
  loaded: ReadonlyMap<Digest, Image>,
): Promise<void> => {
  const stored = await storedIndex(files, whole, loaded)
  store.records.transaction(() => {
    for (const name of whole.names.map(wholeName))
      if (loaded.has(store.records.byName(name) ?? '')) store.records.indexes.set(name, stored, [...loaded.keys()])
  })
}

const contentsOf = async (files: ArchiveFiles, options: LoadOptions): Promise<Group[]> => {
  const docker = await files.text('manifest.json')
  const index = await files.text('index.json')
  // Of one platform only that image is wanted.
  const wholes = options.platform ? [] : await wholeIndexes(files, ({ annotations }) => nameFrom(annotations))
  const groups: Group[] = wholes.map((whole) => ({ images: membersOf(whole), whole }))
  if (docker !== undefined && !(options.platform && index !== undefined))
    return [...groups, ...besides(fromDocker(docker), wholes).map((image) => ({ images: [image] }))]
  if (index === undefined) {
    const legacy = await legacyImages(files)
    if (!legacy)
      throw new SlipwayError('invalid', 'invalid archive: does not contain a manifest.json or an OCI index.json')
    return legacy.map(({ raw, ...image }) => ({ images: [{ ...image, config: { raw } }] }))
  }
  const { manifests, ...rest } = readIndex(index, 'invalid image archive: index.json')
  const left = manifests.filter(
    ({ digest, annotations }) => !wholes.some((w) => w.root.digest === digest && nameFrom(annotations)),
  )
  const images = await fromLayout(files, { ...rest, manifests: left }, options)
  return [...groups, ...images.map((image) => ({ images: [image] }))]
}

/** The one for this machine first: it has the names. */
const membersOf = ({ images, names }: WholeIndex): Loadable[] => {
  const own = choosePlatform(
    images.map(({ descriptor }) => descriptor),
    hostPlatform(),
  )
  const rank = ({ descriptor }: WholeIndex['images'][number]): number => (descriptor === own ? 0 : 1)
  return [...images]
    .sort((a, b) => rank(a) - rank(b))
    .map(({ manifest, descriptor, body }, i) => ({
      config: blobPath(manifest.config.digest),
      layers: manifest.layers.map(({ digest }) => blobPath(digest)),
      names: i === 0 ? names : [],
      manifest: { digest: descriptor.digest, mediaType: manifest.mediaType ?? descriptor.mediaType, body },
      member: true,
    }))
}

/** Without what the names of whole indexes stand for. */
const besides = (images: readonly Loadable[], wholes: readonly WholeIndex[]): Loadable[] => {
  const taken = new Set(wholes.flatMap(({ names }) => names.map(wholeName)))
  return images.flatMap((image) => {
    const names = image.names.filter((name) => !taken.has(wholeName(name)))
    return names.length > 0 || image.names.length === 0 ? [{ ...image, names }] : []
  })
}

const fromDocker = (text: string): Loadable[] => {
  const items = json<{ Config?: unknown; RepoTags?: unknown; Layers?: unknown }[]>(text, 'manifest.json')
  const strings = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((each) => typeof each === 'string')
  if (!Array.isArray(items)) throw invalid('manifest.json is not a list')
  return items.map(({ Config, RepoTags, Layers }) => {
    if (typeof Config !== 'string' || !strings(Layers ?? []) || !strings(RepoTags ?? []))
      throw invalid('manifest.json is malformed')
    return { config: Config, layers: (Layers ?? []) as string[], names: (RepoTags ?? []) as string[] }
  })
}

const fromLayout = async (files: ArchiveFiles, index: Index, options: LoadOptions, depth = 0): Promise<Loadable[]> => {
  if (depth > 4) throw invalid('index.json is malformed')
  const found = new Map<string, Loadable>()
  for (const descriptor of index.manifests.filter(isImage)) {
    const body = await files.text(blobPath(descriptor.digest))
    if (body === undefined) continue // another platform's, left out of the archive
    const name = nameFrom(descriptor.annotations)
    const names = name === undefined ? [] : [name]
    if (isIndexType(descriptor.mediaType)) {
      const nested = readIndex(body, 'invalid image archive: image index')
      const present = nested.manifests.filter((each) => isImage(each) && files.find(blobPath(each.digest)))
      const chosen = choosePlatform(present, options.platform ?? hostPlatform()) ?? present[0]
      const inner = await fromLayout(files, { ...nested, manifests: chosen ? [chosen] : [] }, options, depth + 1)
      for (const each of inner) merge(found, String(each.config), { ...each, names: [...each.names, ...names] })
      continue
    }
    const manifest = readManifest(body, 'invalid image archive: image manifest')
    checkConfigType(manifest.config)
    const other = manifest.layers.find((layer) => layerCompression(layer.mediaType ?? '') === undefined)
    if (other) throw new SlipwayError('unsupported', `unsupported media type ${other.mediaType}: not a container image`)
    const layers = manifest.layers.map((layer) => blobPath(layer.digest))
    const kept = { digest: descriptor.digest, mediaType: manifest.mediaType ?? descriptor.mediaType, body }
    const config = blobPath(manifest.config.digest)
    merge(found, config, { config, layers, names, manifest: kept })
  }
  return [...found.values()]
}

/** An image with several names stands in the index once for each. */
const merge = (found: Map<string, Loadable>, key: string, loadable: Loadable): void => {
  const known = found.get(key)
  found.set(key, known ? { ...known, names: [...known.names, ...loadable.names] } : loadable)
}

const nameFrom = (annotations: Record<string, string> | undefined): string | undefined => {
  const name = annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name']
  // A bare tag names nothing.
  return name?.match(/[/:]/) ? name : undefined
}

const loadOne = async (loading: Loading, loadable: Loadable, options: LoadOptions): Promise<Image> => {
  const { store, lease, files } = loading
  const { config: source } = loadable
  const raw = typeof source === 'string' ? await files.text(source) : source.raw
  if (raw === undefined) throw invalid(`${String(source)} is missing`)
  const config = readConfig(raw)
  checkSystem(
    config,
    (os) => `image operating system "${os}" cannot be used on this platform: operating system is not supported`,
  )
  const { rootfs } = config
  if (rootfs.diff_ids.length !== loadable.layers.length)
    throw invalid(`configuration has ${rootfs.diff_ids.length} layers, the archive ${loadable.layers.length}`)
  const names = loadable.names.map(wholeName)
  const here = store.whole(sha256(raw), lease)
  const chain = here ?? chainIds(rootfs.diff_ids)
  const kept: Promise<LayerBlob | undefined>[] = []
  const { member = false } = loadable
  for (const [i, path] of here && !member ? [] : loadable.layers.entries()) {
    const file = files.find(path)
    if (!file) throw invalid(`layer ${path} is missing`)
    const layer = { key: chain[i]!, parent: chain[i - 1], diffId: rootfs.diff_ids[i]!, file }
    const unpacked = here ? undefined : await loadLayer(loading, layer, options)
    // Beside the next layer's unpacking.
    const blob = unpacked || member ? keptBlob(store, layer, unpacked, member, options) : undefined
    blob?.catch(() => {}) // seen below
    if (blob !== undefined) kept.push(blob)
    // Those that follow are likely of the same making: the disk can begin with them meanwhile.
    if (i === 0 && unpacked?.canonical === false)
      for (const next of loadable.layers.slice(1).flatMap((name) => files.find(name) ?? []))
        void store.content.settle(next.digest).catch(() => {}) // asked for again below
  }
  const blobs = (await Promise.all(kept)).filter((blob) => blob !== undefined)
  if (options.platform && platformRank(config, options.platform) === 0)
    throw new SlipwayError(
      'not-found',
      `the archive has no image for ${formatPlatform(options.platform)}, only for ${formatPlatform(config)}`,
    )
  for (const name of names) {
    const old = store.resolveName(name)
    if (old !== undefined && old !== sha256(raw))
      options.progress?.({
        status: `The image ${familiarName(name)} already exists, renaming the old one with ID ${old} to empty string`,
      })
  }
  const { manifest } = loadable
  const image = await store.register({
    config: { raw },
    snapshots: chain,
    names,
    blobs,
    manifest,
    signal: options.signal,
  })
  for (const name of names) options.progress?.({ status: `Loaded image: ${familiarName(name)}` })
  if (names.length === 0 && !member) options.progress?.({ status: `Loaded image ID: ${image.id}` })
  return image
}

interface Layer {
  key: string
  parent: string | undefined
  diffId: Digest
  file: { digest: Digest; size: number }
}

interface Unpacked {
  /** Length of the archive. */
  tarSize: number
  /** False: the snapshot does not give the archive back. */
  canonical: boolean
}

/** Undefined when an image has the layer already, and with it what is to be kept of it. */
const loadLayer = async (
  { store, lease, early }: Loading,
  layer: Layer,
  options: LoadOptions,
): Promise<Unpacked | undefined> => {
  const { file, diffId } = layer
  const id = diffId.slice(7, 19)
  options.progress?.({ id, status: 'Loading layer', current: 0, total: file.size })
  let unpacked: Unpacked | undefined = await early.result(layer.key)
  const source = { file: store.content.path(file.digest), digest: file.digest }
  const check = (result: UnpackResult): void => {
    if (result.diffId !== diffId) throw invalid(`layer ${diffId} has content with the digest ${result.diffId}`)
    unpacked = result
  }
  const ready = unpacked !== undefined
  const present =
    !ready && (await lease.layer(layer.key, layer.parent, () => source, { signal: options.signal, check }))
  options.progress?.({ id, status: 'Loading layer', current: file.size, total: file.size })
  if (!present) return unpacked
  // Without an image it has only outlived one, as somebody built on it, and not its archive.
  if (store.records.hasLayer(diffId)) return undefined
  return { ...(await store.snapshots.measure(layer.key, options.signal)), canonical: true }
}

/** What the snapshot itself gives back byte for byte needs no second copy; `packed`: but for compressed ones. */
const keptBlob = async (
  store: ImageStore,
  { key, diffId, file }: Layer,
  unpacked: Unpacked | undefined,
  packed: boolean,
  options: LoadOptions,
): Promise<LayerBlob | undefined> => {
  const compression = await compressionOfFile(store.content.path(file.digest))
  const needed = packed && compression !== 'none'
  const { canonical = true } = unpacked ?? {}
  if (!needed && canonical && (await store.snapshots.reproduces(key, options.signal))) return undefined
  await store.content.settle(file.digest)
  const mediaType =
    compression === 'gzip'
      ? mediaTypes.ociLayerGzip
      : compression === 'zstd'
        ? mediaTypes.ociLayerZstd
        : mediaTypes.ociLayer
  const { tarSize } = unpacked ?? (await store.snapshots.measure(key, options.signal))
  return { diffId, digest: file.digest, mediaType, size: file.size, tarSize }
}

const invalid = (detail: string): SlipwayError => new SlipwayError('invalid', `invalid image archive: ${detail}`)

const json = <T>(text: string, what: string): T => {
  try {
    return JSON.parse(text) as T
  } catch (cause) {
    throw new SlipwayError('invalid', `invalid image archive: ${what} is not JSON`, { cause })
  }
}
