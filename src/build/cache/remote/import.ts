/** --cache-from: what other builders have put into a registry, an image or a directory; layers come when a step is found there. */
import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Image, Images, Snapshots } from '../../../engine/types.ts'
import { messageOf, SlipwayError } from '../../../errors.ts'
import type { Clock } from '../../../lib/clock.ts'
import {
  chainIds,
  type Descriptor,
  type Digest,
  type ImageConfig,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  mediaTypes,
  parseReference,
  sha256,
} from '../../../spec/oci/index.ts'
import type { Vertex } from '../../solver/graph.ts'
import { isOn } from '../../output/options.ts'
import type { Report } from '../../solver/report.ts'
import type { BuildRequest, CacheEntry, ContentStore } from '../../types.ts'
import type { CacheRecord, CacheRecords, StepResult } from '../records.ts'
import { stepPrefix } from '../step-prefix.ts'
import type { UsedRecord } from './collect.ts'
import {
  chainIn,
  mostLayers,
  partsOf,
  type RemoteLayer,
  type RemoteRecord,
  remoteRecords,
  type WireConfig,
} from './format.ts'

export interface ImportDeps {
  images: Pick<Images, 'document' | 'get' | 'hold'>
  snapshots: Snapshots
  records: CacheRecords
  clock: Clock
  /** For what is on its way. */
  workDir: string
}

/** Where blobs come from. */
interface Source {
  manifest(digest: Digest): Promise<Buffer>
  small(descriptor: Descriptor): Promise<Buffer>
  /** Runs `task` with a file of the blob's bytes. */
  file<T>(descriptor: Descriptor, progress: (bytes: number) => void, task: (path: string) => Promise<T>): Promise<T>
  /** A file of the blob's bytes that stays until close(). */
  keep(descriptor: Descriptor): Promise<string>
  /** An image of this machine: its layers need no transport. */
  image?: Image | undefined
  close(): Promise<void>
}
/** Keeps snapshots for as long as the build goes on. */
type Hold = (result: StepResult) => void

interface Found {
  record: RemoteRecord
  source: Source
}

/** Whose layers are here already. */
const layersOf = (images: readonly (Image | undefined)[]): Map<Digest, string> =>
  new Map(
    images.flatMap((image) => {
      const chain = chainIds(image?.config.rootfs.diff_ids ?? [])
      return chain.flatMap((id, i): [Digest, string][] => (image?.snapshots[i] ? [[id, image.snapshots[i]]] : []))
    }),
  )

const mostDocuments = 64
const mostBytes = 16 * 1024 * 1024

export class ImportedCaches {
  readonly #deps: ImportDeps
  readonly #report: Report
  readonly #signal: AbortSignal
  readonly #byKey = new Map<string, Found>()
  readonly #sources: Source[] = []
  readonly #layers = new Map<string, Promise<void>>()

  constructor(deps: ImportDeps, report: Report, signal: AbortSignal) {
    this.#deps = deps
    this.#report = report
    this.#signal = signal
  }

  /** Reads what each entry offers. One that cannot be read is shown and left out: a build works without it. */
  async open({ cacheFrom = [], auth }: Pick<BuildRequest, 'cacheFrom' | 'auth'>): Promise<void> {
    await Promise.all(
      cacheFrom.map(async (entry) => {
        const what = entry.type === 'registry' ? entry.attrs.ref! : `${entry.type}:${entry.attrs.src ?? ''}`
        const vertex = { id: randomUUID(), name: `importing cache manifest from ${what}` }
        try {
          await this.#report.during(vertex, () => this.#open(entry, auth))
        } catch (error) {
          if (this.#signal.aborted) throw error
        }
      }),
    )
  }

  async close(): Promise<void> {
    for (const source of this.#sources.splice(0)) await source.close()
  }

  has(key: string): boolean {
    return this.#byKey.has(key)
  }

  /** What goes by the key, as another cache can refer to it. */
  offered(key: string): UsedRecord | undefined {
    const found = this.#byKey.get(key)
    if (!found) return undefined
    const { record, source } = found
    const { contentKey, steps, description, createdAt } = record.notes
    const known = { keys: record.keys, contentKey, steps, description, createdAt }
    if (!source.image)
      return { ...known, layers: record.layers.map((one) => ({ ...one, make: () => source.keep(one.descriptor) })) }
    const here = layersOf([source.image])
    const layers = chainIds(record.layers.map(({ diffId }) => diffId)).flatMap((id) => here.get(id) ?? [])
    return layers.length === record.layers.length ? { ...known, layers } : undefined
  }

  /** Brings the result here that goes by the key, on the layers of `base` where it stands on them; undefined: it cannot be had. */
  async take(key: string, base: Image | undefined, vertex: Vertex, hold: Hold): Promise<CacheRecord | undefined> {
    const found = this.#byKey.get(key)
    if (!found) return undefined
    try {
      return await this.#take(found, base, vertex, hold)
    } catch (error) {
      if (this.#signal.aborted) throw error
      for (const each of found.record.keys) this.#byKey.delete(each)
      this.#report.emit({ type: 'notice', message: `cache of ${vertex.name} could not be used: ${messageOf(error)}` })
      return undefined
    }
  }

  async #take({ record, source }: Found, base: Image | undefined, vertex: Vertex, hold: Hold): Promise<CacheRecord> {
    const { records, snapshots } = this.#deps
    const chain = chainIds(record.layers.map(({ diffId }) => diffId))
    const here = layersOf([source.image, base])
    const keys: string[] = []
    for (const [i, layer] of record.layers.entries()) {
      const known = here.get(chain[i]!)
      if (known !== undefined) {
        keys.push(known)
        continue
      }
      const name = `${stepPrefix}${chain[i]!.slice('sha256:'.length, 'sha256:'.length + 32)}`
      await this.#layer(name, keys.at(-1), layer, source, vertex)
      keys.push(name)
    }
    const snapshot = keys.at(-1)
    const id = randomUUID().replaceAll('-', '')
    const { contentKey, steps, description, createdAt } = record.notes
    // Whoever answers for a layer deletes it: one record alone.
    const owned = snapshot?.startsWith(stepPrefix) === true && !records.owns(snapshot)
    const result = { snapshots: keys, steps, contentKey, record: id }
    hold(result)
    for (const key of keys.slice(0, -1)) if (key.startsWith(stepPrefix)) this.#answerFor(key, keys)
    records.add({ id, type: 'regular', description, snapshot, owned, result, createdAt }, record.keys)
    for (const key of keys)
      if (!(await snapshots.stat(key))) throw new SlipwayError('not-found', `layer ${key} is gone`)
    return records.find(record.keys[0]!)!
  }

  /** A layer in the middle that no step of this builder has made. */
  #answerFor(snapshot: string, keys: readonly string[]): void {
    const { records } = this.#deps
    if (records.owns(snapshot)) return
    const id = randomUUID().replaceAll('-', '')
    const below = keys.slice(0, keys.indexOf(snapshot) + 1)
    const result = { snapshots: below, steps: [], contentKey: '' }
    const description = 'layer of an imported cache'
    records.add(
      { id, type: 'regular', description, snapshot, owned: true, result, createdAt: this.#deps.clock.now() },
      [],
    )
  }

  #layer(name: string, parent: string | undefined, layer: RemoteLayer, source: Source, vertex: Vertex): Promise<void> {
    let task = this.#layers.get(name)
    if (!task) {
      task = this.#receive(name, parent, layer, source, vertex)
      this.#layers.set(name, task)
    }
    return task
  }

  async #receive(
    name: string,
    parent: string | undefined,
    { descriptor, diffId }: RemoteLayer,
    source: Source,
    vertex: Vertex,
  ): Promise<void> {
    const { snapshots } = this.#deps
    if (await snapshots.stat(name)) return
    const { digest, size } = descriptor
    const show = (current: number): void =>
      this.#report.emit({ type: 'status', id: vertex.id, name: digest, current, total: size })
    this.#report.begin(vertex)
    await source.file(descriptor, show, (file) =>
      snapshots.receive(name, parent, { file, digest, diffId }, this.#signal),
    )
    show(size)
  }

  // ── reading ──

  async #open(entry: CacheEntry, auth: BuildRequest['auth']): Promise<void> {
    const { root, source } = entry.type === 'registry' ? await this.#registry(entry, auth) : await this.#local(entry)
    this.#sources.push(source)
    await this.#read(source, root, 0)
  }

  async #registry({ attrs }: CacheEntry, auth: BuildRequest['auth']): Promise<{ root: Buffer; source: Source }> {
    const ref = attrs.ref!
    const image = await this.#deps.images.get(ref)
    if (image && inlineOf(image.config) !== undefined) return await this.#image(image)
    const credentials = await auth?.(parseReference(ref).domain)
    const document = await this.#deps.images.document(ref, {
      signal: this.#signal,
      insecure: isOn(attrs['registry.insecure']),
      ...(credentials ? { auth: credentials } : {}),
    })
    const { manifest, small, download, close } = document
    return {
      root: document.body,
      source: {
        ...{ manifest, small, close },
        file: async (of, progress, task) => await task(await download(of, progress)),
        keep: (of) => download(of),
      },
    }
  }

  /** An image of this machine that has a cache inside, as dockerd looks at it first. */
  async #image(image: Image): Promise<{ root: Buffer; source: Source }> {
    const close = await this.#deps.images.hold(image.id)
    const descriptor = { mediaType: mediaTypes.ociLayer, digest: '', size: 0 }
    const manifest = { config: descriptor, layers: image.config.rootfs.diff_ids.map(() => descriptor) }
    const gone = async (): Promise<never> => {
      throw new SlipwayError('not-found', `${image.id} has lost a layer`)
    }
    const config = Buffer.from(JSON.stringify(image.config))
    const source: Source = { image, manifest: gone, small: async () => config, file: gone, keep: gone, close }
    return { root: Buffer.from(JSON.stringify(manifest)), source }
  }

  async #local({ attrs, store }: CacheEntry): Promise<{ root: Buffer; source: Source }> {
    const { tag = 'latest' } = attrs
    const digest = attrs.digest ?? (await store!.find?.(tag))?.digest
    if (digest === undefined && store!.find) throw new SlipwayError('not-found', `the directory has no cache ${tag}`)
    if (digest === undefined) throw new SlipwayError('not-found', 'local cache importer requires explicit digest')
    const source = storeSource(store!, this.#deps.workDir, this.#signal)
    return { root: await source.manifest(digest), source }
  }

  async #read(source: Source, body: Buffer, depth: number): Promise<void> {
    const document = JSON.parse(body.toString()) as Index | Manifest
    const { config, layers } = partsOf(document)
    const descriptors = new Map(layers.map((layer) => [layer.digest, layer]))
    if (config) {
      const wire = JSON.parse((await source.small(config)).toString()) as WireConfig
      this.#add(source, remoteRecords(wire, chainIn(wire, descriptors)))
    } else if ('layers' in document) await this.#inline(source, document)
    else if (depth < 3)
      for (const each of layers.slice(0, mostDocuments))
        if (isManifestType(each.mediaType) || isIndexType(each.mediaType))
          await this.#read(source, await source.manifest(each.digest), depth + 1)
  }

  /** An image that has its build's cache inside. */
  async #inline(source: Source, { config, layers }: Manifest): Promise<void> {
    const image = JSON.parse((await source.small(config)).toString()) as ImageConfig
    const text = inlineOf(image)
    const diffIds = image.rootfs?.diff_ids
    if (text === undefined || !Array.isArray(diffIds) || diffIds.length !== layers.length) return
    if (layers.length > mostLayers) return
    const records = JSON.parse(Buffer.from(text, 'base64').toString()) as NonNullable<WireConfig['records']>
    const all = layers.map((descriptor, i) => ({ descriptor, diffId: diffIds[i]! }))
    this.#add(
      source,
      remoteRecords({ records }, (index) => all.slice(0, index + 1)),
    )
  }

  #add(source: Source, records: RemoteRecord[]): void {
    for (const record of records)
      for (const key of record.keys) if (!this.#byKey.has(key)) this.#byKey.set(key, { record, source })
  }
}

const inlineOf = (config: ImageConfig): string | undefined =>
  (config as { 'moby.buildkit.cache.v0'?: string })['moby.buildkit.cache.v0']

const storeSource = (store: ContentStore, directory: string, signal: AbortSignal): Source => {
  const small = async (digest: Digest): Promise<Buffer> => {
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of store.read(digest)) {
      size += chunk.length
      if (size > mostBytes) throw new SlipwayError('invalid', `blob ${digest} is too large`)
      chunks.push(chunk)
    }
    const data = Buffer.concat(chunks)
    if (sha256(data) !== digest) throw new SlipwayError('invalid', `blob ${digest} is damaged`)
    return data
  }
  const kept: string[] = []
  const drop = (path: string): void => rmSync(path, { force: true })
  const fresh = (): string => {
    mkdirSync(directory, { recursive: true })
    return join(directory, `blob-${randomUUID()}`)
  }
  return {
    manifest: small,
    small: ({ digest }) => small(digest),
    async file(descriptor, progress, task) {
      const path = fresh()
      try {
        await save(store.read(descriptor.digest), path, descriptor, progress, signal)
        return await task(path)
      } finally {
        drop(path)
      }
    },
    async keep(descriptor) {
      const path = fresh()
      kept.push(path)
      await save(store.read(descriptor.digest), path, descriptor, () => {}, signal)
      return path
    },
    close: async () => kept.splice(0).forEach(drop),
  }
}

const save = async (
  data: AsyncIterable<Uint8Array>,
  path: string,
  { digest, size }: Descriptor,
  progress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> => {
  const hash = createHash('sha256')
  let bytes = 0
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of data) {
      hash.update(chunk)
      bytes += chunk.length
      if (bytes > size) throw new SlipwayError('invalid', `blob ${digest} is larger than announced`)
      progress(bytes)
      yield chunk
    }
  }
  await pipeline(Readable.from(counted()), createWriteStream(path), { signal })
  if (`sha256:${hash.digest('hex')}` !== digest) throw new SlipwayError('invalid', `blob ${digest} is damaged`)
}
