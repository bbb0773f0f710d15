/** What becomes of a build: images, archives, directories, caches. */
import { randomUUID } from 'node:crypto'
import type { Image, Images, Snapshots } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import {
  type Descriptor,
  formatPlatform,
  formatReference,
  hostPlatform,
  mediaTypes,
  parseReference,
  platformRank,
} from '../../spec/oci/index.ts'
import type { Sys } from '../../sys/sys.ts'
import type { Attest } from '../attest/attest.ts'
import { writeAttestations } from '../attest/files.ts'
import { fullName } from '../bases.ts'
import type { CacheRecords } from '../cache/records.ts'
import { type UsedRecord, usedRecords } from '../cache/remote/collect.ts'
import { exportCache, inlineCacheOf, storeParcel } from '../cache/remote/export.ts'
import type { Vertex } from '../solver/graph.ts'
import { isoTime } from '../solver/image.ts'
import type { Report } from '../solver/report.ts'
import type { Solve } from '../solver/solve.ts'
import { Workspace } from '../solver/workspace.ts'
import type { BuildOutput, BuildRequest, BuildResult, ExportResponse } from '../types.ts'
import { type FileTree, packTrees } from './files.ts'
import { layoutTar } from './layout.ts'
import { type Written, writeManifests } from './manifest.ts'
import { annotationsOf, checkSwitches, formOf, isMultiPlatform, isOn, namesOf, rewrites } from './options.ts'
import { exporterEpoch, finishConfig, type Product, withEpochOf } from './product.ts'

export interface ExportContext {
  deps: {
    sys: Sys
    clock: Clock
    images: Images
    snapshots: Snapshots
    records: CacheRecords
    workDir: string
  }
  report: Report
  request: BuildRequest
  signal: AbortSignal
  solve: Solve
  /** What is to be said of the results, besides. */
  attest?: Attest | undefined
  /** Makes the product an image of this machine, under these names. */
  image(product: Product, tags: string[]): Promise<BuildResult>
}

/** What can be said against the outputs before anything is built. */
export const checkOutputs = (outputs: readonly BuildOutput[], platforms: number, attested: boolean): void => {
  for (const output of outputs) {
    const { type, attrs } = output
    if (!exporters.includes(type))
      throw new SlipwayError('unsupported', `exporter "${type}" could not be found`, {
        hint: 'Known are image, registry, docker, oci, local and tar.',
      })
    checkSwitches(attrs)
    formOf(attrs)
    // What else is in the directory goes, or stays: that is for those who write it.
    if (type === 'local' && !['copy', 'delete'].includes(attrs.mode ?? 'copy'))
      throw new SlipwayError('bad-request', `invalid local exporter mode ${JSON.stringify(attrs.mode)}`, {
        hint: 'One of copy and delete.',
      })
    const names = namesOf(attrs)
    checkByDigest(output)
    const isImage = ['image', 'moby', 'registry'].includes(type)
    if (isImage && pushes(output) && names.length === 0)
      throw new SlipwayError('bad-request', 'tag is needed when pushing to registry')
    const isList = platforms > 1 || annotationsOf(attrs, 'index') !== undefined
    // What is written anew is loaded as a whole, for which it takes a name.
    const isLost = isImage && !pushes(output) && names.length === 0 && isOn(attrs['rewrite-timestamp'])
    if (isList && (type === 'docker' || isLost)) throw noLists()
    if (attested && type === 'docker') throw noLists()
  }
}

/** Serves the outputs one after the other, then the caches. */
export const exportAll = async (
  context: ExportContext,
  products: readonly Product[],
  outputs: readonly BuildOutput[],
): Promise<ExportResponse> => {
  const response: ExportResponse = {}
  for (const output of outputs) await exportOne(context, products, output, response)
  await exportCaches(context, products, response)
  return response
}

/** --cache-to. What clients of a directory need is put into the response. */
export const exportCaches = async (
  context: ExportContext,
  products: readonly Product[],
  response: ExportResponse,
): Promise<void> => {
  const used = usedBy(context, products)
  for (const entry of context.request.cacheTo ?? [])
    await exportCache({ ...context, images: context.deps.images }, entry, used, response)
}

/** The records of all products. */
const usedBy =
  ({ deps, solve }: Pick<ExportContext, 'deps' | 'solve'>, products: readonly Product[]) =>
  async (everything: boolean): Promise<UsedRecord[]> => {
    const found = new Map<string, UsedRecord>()
    for (const { stage } of products)
      for (const each of await usedRecords(deps.records, stage.rootfs, everything, solve))
        found.set(each.keys[0]!, each)
    return [...found.values()]
  }

/** Puts the cache of the build into what becomes of it, where that was asked for. */
export const withInlineCache = async (
  context: Pick<ExportContext, 'deps' | 'solve'>,
  { cacheTo = [], args }: Pick<BuildRequest, 'cacheTo' | 'args'>,
  product: Product,
): Promise<Product> => {
  const wanted = cacheTo.some(({ type }) => type === 'inline') || isOn(args.BUILDKIT_INLINE_CACHE, false)
  if (!wanted) return product
  return { ...product, inlineCache: inlineCacheOf(await usedBy(context, [product])(false)) }
}

const exportOne = async (
  context: ExportContext,
  products: readonly Product[],
  output: BuildOutput,
  response: ExportResponse,
): Promise<void> => {
  switch (output.type) {
    case 'none':
    case 'cacheonly':
      return
    case 'image':
    case 'moby':
    case 'registry':
      return await exportImage(context, products, output, response)
    case 'docker':
    case 'oci':
      return await exportLayout(context, products, output, response)
    case 'local':
    case 'tar':
      return await exportFiles(context, products, output)
  }
}

// ── images ──

const exporters = ['none', 'cacheonly', 'image', 'moby', 'registry', 'docker', 'oci', 'local', 'tar']
/** A name that has a tag is no place for what goes by its digest alone. */
const checkByDigest = (output: BuildOutput): void => {
  const { name = '' } = output.attrs
  if (!pushes(output) || !isOn(output.attrs['push-by-digest'])) return
  const tagged = name.split(',').find((each) => each !== '' && parseReference(each).tag !== undefined)
  if (tagged !== undefined)
    throw new SlipwayError(
      'bad-request',
      `can't push tagged ref ${formatReference(parseReference(tagged))} by digest`,
      { hint: 'Give the name without a tag.' },
    )
}

const pushes = ({ type, attrs }: BuildOutput): boolean => isOn(attrs.push) || type === 'registry'

export const noLists = (): SlipwayError =>
  new SlipwayError('unsupported', 'docker exporter does not currently support exporting manifest lists', {
    hint: 'An image for several platforms goes to a registry (--push) or into an archive (--output type=oci,dest=FILE).',
  })

/** Attributes that only a manifest of the caller's making can have. */
const isPlain = ({ attrs }: BuildOutput): boolean =>
  !Object.keys(attrs).some((attr) =>
    /^(annotation|compression|force-compression|oci-mediatypes|rewrite-timestamp|push-by-digest)/.test(attr),
  )

const exportImage = async (
  context: ExportContext,
  products: readonly Product[],
  output: BuildOutput,
  response: ExportResponse,
): Promise<void> => {
  const { attrs } = output
  tellNames(context, output)
  const push = pushes(output)
  const byDigest = push && isOn(attrs['push-by-digest'])
  const names = namesOf(attrs)
  const anew = rewrites(attrs, exporterEpoch(attrs, products[0]!.epoch))
  const stored = isOn(attrs.store, !push || !byDigest) && !anew
  const kept = stored ? await keepImages(context, products, byDigest ? [] : names) : undefined
  if (kept) {
    response['containerimage.config.digest'] = kept.own.id
    response['containerimage.digest'] = kept.own.id
  }
  if (names.length > 0) response['image.name'] = names.join(',')
  const isWhole =
    context.attest !== undefined ||
    isMultiPlatform(context.request.args, products.length) ||
    annotationsOf(attrs, 'index') !== undefined
  const keepsWhole = kept !== undefined && isWhole && names.length > 0
  if (!push && !stored) {
    if (names.length > 0) return await loadRewritten(context, products, output, names, response)
    tellUnattested(context, 'images without a name have')
    return await loadRewritten({ ...context, attest: undefined }, products, output, names, response)
  }
  if (!push && !keepsWhole) return tellUnattested(context, 'images without a name have')
  if (push && kept && !isWhole && isPlain(output)) return await pushPlain(context, output, names, response)
  await withManifests(context, products, output, async (written) => {
    tell(response, written)
    if (keepsWhole) {
      for (const name of names) await context.deps.images.keepIndex(name, written.parcel, kept.all)
      // What the name means here.
      response['containerimage.config.digest'] = kept.own.id
    }
    for (const name of push ? names : [])
      await shown(context, `pushing ${name}`, 'pushing layers', async (say) => {
        const auth = await context.request.auth?.(parseReference(name).domain)
        say(`pushing manifest for ${name}@${written.parcel.root.descriptor.digest}`)
        await context.deps.images.send(name, written.parcel, {
          ...{ byDigest, signal: context.signal },
          ...(auth ? { auth } : {}),
          insecure: isOn(attrs['registry.insecure']),
          ...(kept ? { image: kept.own.id } : {}),
        })
      })
  })
}

/** All as images of this machine; of several, the one that it can run has the names. */
const keepImages = async (
  context: ExportContext,
  products: readonly Product[],
  names: readonly string[],
): Promise<{ own: Image; all: string[] }> => {
  const [first, ...others] = [...products].sort((a, b) => rankHere(b) - rankHere(a))
  const all: string[] = []
  for (const product of others) all.push((await context.image(product, [])).image.id)
  const { image } = await context.image(first!, [...names])
  return { own: image, all: [...all, image.id] }
}

/** An image has its digest here anyway; names by digests are a matter of containerd's store. */
const tellNames = ({ request }: ExportContext, { attrs }: BuildOutput): void => {
  for (const key of ['name-canonical', 'dangling-name-prefix'])
    if (key === 'name-canonical' ? isOn(attrs[key]) : attrs[key])
      request.progress({ type: 'notice', message: `${key} is left out: images have no further names by their digests` })
}

/** Nothing that was asked for is left out in silence. */
const tellUnattested = ({ attest, request }: ExportContext, what: string): void => {
  if (attest)
    request.progress({
      type: 'notice',
      message: `${what} no attestations: push the result, or export it with --output type=oci`,
    })
}

const rankHere = ({ platform }: Product): number => platformRank(platform, hostPlatform())

const pushPlain = async (
  context: ExportContext,
  { attrs }: BuildOutput,
  names: readonly string[],
  response: ExportResponse,
): Promise<void> => {
  const insecure = isOn(attrs['registry.insecure'])
  for (const name of names)
    await shown(context, `pushing ${name}`, 'pushing layers', async () => {
      const auth = await context.request.auth?.(parseReference(name).domain)
      const sent = await context.deps.images.push(name, { ...(auth ? { auth } : {}), insecure, signal: context.signal })
      response['containerimage.digest'] = sent.digest
      response['containerimage.descriptor'] = encoded(sent)
    })
}

/** Layers that are other ones than what the steps made come into the store as any archive does. */
const loadRewritten = (
  context: ExportContext,
  products: readonly Product[],
  output: BuildOutput,
  names: readonly string[],
  response: ExportResponse,
): Promise<void> =>
  withManifests(context, products, output, async (written) => {
    const { images } = context.deps
    const archive = layoutTar(written, names, 'oci', output.attrs)
    const [image] = await images.load(archive, { signal: context.signal })
    tell(response, written)
    response['containerimage.config.digest'] = image!.id
  })

const encoded = (descriptor: Descriptor): string => Buffer.from(JSON.stringify(descriptor)).toString('base64')

const tell = (response: ExportResponse, { parcel: { root }, configs }: Written): void => {
  response['containerimage.digest'] = root.descriptor.digest
  response['containerimage.descriptor'] = encoded(root.descriptor)
  delete response['containerimage.config.digest']
  if (configs.length === 1) response['containerimage.config.digest'] = configs[0]!.descriptor.digest
}

const withManifests = async (
  context: ExportContext,
  products: readonly Product[],
  { type, attrs }: BuildOutput,
  task: (written: Written) => Promise<void>,
): Promise<void> => {
  const { deps, request, signal } = context
  const packing = deps.images.packing()
  const isByDigest = isOn(attrs['push-by-digest'])
  try {
    if (isOn(attrs['rewrite-timestamp']) && !rewrites(attrs, exporterEpoch(attrs, products[0]!.epoch)))
      request.progress({
        type: 'notice',
        message: 'rewrite-timestamp is specified, but no source-date-epoch was found',
      })
    let newest = 0
    const isArchive = type === 'oci' || type === 'docker'
    const title = isArchive ? `exporting to ${type} image format` : 'exporting to image'
    const written = await shown(context, title, 'exporting layers', async (say) => {
      const finished = []
      for (const product of products) {
        const whole = await withInlineCache(context, request, product)
        finished.push({ product: whole, finished: withEpochOf(attrs, whole, finishConfig(deps, request, whole)) })
      }
      const { attest } = context
      newest = Math.max(...finished.map((each) => Date.parse(each.finished.created)))
      const indexed = isMultiPlatform(request.args, products.length)
      const made = await writeManifests({ packing, type, attrs, indexed, attest, signal }, finished)
      for (const { descriptor } of made.configs) say(`exporting config ${descriptor.digest}`)
      const { mediaType, digest } = made.parcel.root.descriptor
      const isIndex = mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList
      say(`exporting ${isIndex ? 'manifest list' : 'manifest'} ${digest}`)
      for (const { descriptor } of made.attestations) say(`exporting attestation manifest ${descriptor.digest}`)
      for (const name of namesOf(attrs)) if (!isByDigest) say(`naming to ${fullName(name)}`)
      return made
    })
    await task(isArchive ? datedArchive(written, exporterEpoch(attrs, products[0]!.epoch) ?? newest) : written)
  } finally {
    await packing.close()
  }
}

/** Archives tell a time next to what is in them: the epoch, else the newest image's, so that the same build makes the same one. */
const datedArchive = (written: Written, time: number): Written => {
  const { parts, root } = written.parcel
  const created = isoTime(Math.floor(time / 1000) * 1000)
  const annotations = { 'org.opencontainers.image.created': created, ...root.descriptor.annotations }
  return { ...written, parcel: { parts, root: { ...root, descriptor: { ...root.descriptor, annotations } } } }
}

// ── archives and directories ──

const exportLayout = async (
  context: ExportContext,
  products: readonly Product[],
  output: BuildOutput,
  response: ExportResponse,
): Promise<void> => {
  const { type, attrs } = output
  const names = namesOf(attrs)
  await withManifests(context, products, output, async (written) => {
    if (isOn(attrs.tar, true)) {
      await sending(context, output, `sending tarball`, layoutTar(written, names, type, attrs))
    } else {
      if (!output.store) throw new SlipwayError('bad-request', 'output directory is required for tar=false')
      await shown(context, `writing ${type} layout`, 'copying blobs', () => storeParcel(output.store!, written.parcel))
      for (const name of names.length > 0 ? names : ['latest'])
        await output.store.tag?.(name, written.parcel.root.descriptor)
    }
    tell(response, written)
    if (names.length > 0) response['image.name'] = names.join(',')
  })
}

const sending = async (
  context: ExportContext,
  output: BuildOutput,
  what: string,
  data: ReturnType<typeof layoutTar>,
): Promise<void> => {
  const { archive } = output
  if (!archive) throw new SlipwayError('bad-request', `output file is required for ${output.type} exporter`)
  try {
    await shown(context, what, what, (_say, progress) => archive(data, context.signal, progress))
  } finally {
    data.destroy()
  }
}

const exportFiles = async (
  context: ExportContext,
  products: readonly Product[],
  output: BuildOutput,
): Promise<void> => {
  const { sys, workDir, snapshots } = context.deps
  const several = isMultiPlatform(context.request.args, products.length)
  const split = isOn(output.attrs['platform-split'], several)
  const epoch = exporterEpoch(output.attrs, products[0]!.epoch)
  const time = epoch === undefined ? undefined : BigInt(epoch) * 1_000_000n
  const space = new Workspace(workDir, sys.mounts, snapshots)
  try {
    const trees: FileTree[] = []
    for (const product of products) {
      const { platform, result } = product
      const path = split ? formatPlatform(platform).replaceAll('/', '_') : ''
      const root = await space.readable(result.snapshots.at(-1))
      trees.push({ path, root })
      if (!context.attest) continue
      const directory = space.make('attestations')
      await writeAttestations(await context.attest(product, []), root, directory, {
        prefix: output.attrs['attestation-prefix'] ?? '',
        platform: split || !several ? undefined : formatPlatform(platform).replaceAll('/', '_'),
      })
      trees.push({ path, root: directory })
    }
    if (output.type === 'tar') {
      const data = packTrees(trees, sys.files, time)
      await sending(context, output, 'exporting to client tarball', data)
      return
    }
    const { files } = output
    if (!files) throw new SlipwayError('bad-request', 'output directory is required for local exporter')
    await shown(context, 'exporting to client directory', 'copying files', (_say, progress) =>
      files(trees, time, context.signal, progress),
    )
  } finally {
    await space.close()
  }
}

/** Shows a step of an exporter as a vertex; `what` counts its bytes. */
const shown = async <T>(
  { report, deps: { clock } }: ExportContext,
  name: string,
  what: string,
  task: (say: (name: string) => void, progress: (bytes: number) => void) => Promise<T>,
): Promise<T> => {
  const vertex: Vertex = { id: randomUUID(), name }
  const show = (status: string, current: number): void =>
    report.emit({ type: 'status', id: vertex.id, name: status, current })
  let last = 0
  let shownAt = 0
  return await report.during(vertex, async () => {
    show(what, 0)
    const result = await task(
      (status) => show(status, 0),
      (bytes) => {
        last = bytes
        if (clock.now() - shownAt < 100) return
        shownAt = clock.now()
        show(what, bytes)
      },
    )
    if (last > 0) show(what, last)
    return result
  })
}
