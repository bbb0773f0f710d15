import { pipeline } from 'node:stream/promises'
import { changedConfig, pathPattern } from '../../build/index.ts'
import type { Engine, Image, TransferProgress } from '../../engine/types.ts'
import { isError, SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import {
  familiarName,
  formatPlatform,
  type Platform,
  parsePlatform,
  parseReference,
  platformRank,
  repositoryOf,
  withTag,
} from '../../spec/oci/index.ts'
import { type ApiVersion, iso } from './container-views.ts'
import { Filters, instant, isTrue } from './filters.ts'
import { byMeaning, manifestsOf, type SameNames } from './image-manifests.ts'
import type { RecentPushes } from './recent-pushes.ts'
import { authOf } from './registry-auth.ts'
import { type Exchange, type Route, route, textOf } from './server.ts'

type Backend = Pick<Engine, 'images' | 'containers' | 'snapshots'>

const bad = (message: string): SlipwayError => new SlipwayError('bad-request', message)

export const imageRoutes = (engine: Backend, clock: Clock, pushed: RecentPushes): Route[] => {
  const { images } = engine
  return [
    route('GET', '/images/json', (x) => list(engine, clock, x)),
    route('POST', '/images/create', (x) => createImage(images, x)),
    route('POST', '/images/load', (x) => load(images, x)),
    route('GET', '/images/get', (x) =>
      save(
        images,
        x,
        x.query.getAll('names').flatMap((n) => n.split(',')),
      ),
    ),
    route('POST', '/images/prune', async (x) => {
      const filters = Filters.parse(x.query.get('filters'), ['dangling', 'label', 'label!', 'until'])
      const until = filters.time('until', clock.now())
      const { deleted, reclaimed } = await images.prune({
        all: filters.flag('dangling') === false,
        labels: [...filters.get('label'), ...filters.get('label!').map((label) => `!${label}`)],
        ...(until === undefined ? {} : { until }),
      })
      x.send(200, { ImagesDeleted: deleted.length > 0 ? deleted.map(deletion) : null, SpaceReclaimed: reclaimed })
    }),
    route('GET', '/images/search', () => {
      throw new SlipwayError('unsupported', 'searching Docker Hub is not offered by this engine', {
        hint: "Search on the registry's web site.",
      })
    }),
    route('GET', '/images/:name*/json', async (x) => {
      if (x.query.get('platform') && isTrue(x.query.get('manifests')))
        throw bad('conflicting options: manifests and platform options cannot both be set')
      const image = await wanted(images, x)
      const manifests = isTrue(x.query.get('manifests')) ? manifestsOf(engine, image) : undefined
      x.send(200, {
        ...(await inspect(engine, image, x.version)),
        ...(manifests && { Manifests: manifests }),
        ...(wantsContainerConfig(x) ? { ContainerConfig: containerConfig(image) } : {}),
      })
    }),
    route('GET', '/images/:name*/history', async (x) => x.send(200, await history(engine, await wanted(images, x)))),
    route('GET', '/images/:name*/get', (x) => save(images, x, [x.params.name!])),
    route('GET', '/distribution/:name*/json', async (x) => {
      const auth = authOf(x.headers['x-registry-auth'])
      const { descriptor, platforms } = await images.remote(x.params.name!, { auth, signal: x.signal })
      x.send(200, { Descriptor: descriptor, Platforms: platforms })
    }),
    route('POST', '/images/:name*/tag', async (x) => {
      await images.tag(x.params.name!, referenceText(x.query.get('repo') ?? '', x.query.get('tag') ?? ''))
      x.send(201)
    }),
    route('POST', '/images/:name*/push', (x) => push(images, pushed, x)),
    route('DELETE', '/images/:name*', async (x) => {
      if (x.params.name!.trim() === '') throw bad('image name cannot be blank')
      const platforms = x.query.getAll('platforms').map(readPlatform)
      if (platforms.length > 1) throw bad('multiple platforms are not supported')
      const [name, platform] = [x.params.name!, platforms[0]]
      if (platform) fitting(await images.forPlatform(name, platform), name, platform)
      const gone = await images.remove(name, {
        platform,
        force: isTrue(x.query.get('force')),
        noPrune: isTrue(x.query.get('noprune')),
      })
      x.send(200, gone.map(deletion))
    }),
  ]
}

const deletion = (one: { untagged: string } | { deleted: string }) =>
  'untagged' in one ? { Untagged: one.untagged } : { Deleted: one.deleted }
/** "b1" of "docker.io/library/b1:latest". */
const familiarRepository = (name: string): string => familiarName(name).replace(/:[^/:]*$/, '')
const tagsOf = (image: Image): string[] => image.names.map((n) => familiarName(n))
const digestsOf = (image: Image): string[] => image.repoDigests.map((d) => familiarName(d))

/** What came with another image under its name is no image of its own. */
export const isShown = ({ names, repoDigests, within = [] }: Image): boolean =>
  names.length > 0 || repoDigests.length > 0 || within.length === 0

const list = async (engine: Backend, clock: Clock, x: Exchange): Promise<void> => {
  const filters = Filters.parse(x.query.get('filters'), ['before', 'dangling', 'label', 'reference', 'since', 'until'])
  const all = (await engine.images.list()).filter(isShown)
  const bound = async (name: string): Promise<number | undefined> =>
    filters.has(name) ? (await engine.images.must(filters.get(name)[0]!)).createdAt : undefined
  const [before, since] = [await bound('before'), await bound('since')]
  const bounds = filters.get('until').flatMap((each) => instant(each, clock.now()) ?? [])
  const until = bounds.length > 0 ? Math.min(...bounds) : undefined
  const dangling = filters.flag('dangling')
  const legacy = x.query.get('filter')
  const names = [...filters.get('reference'), ...(legacy ? [legacy] : [])].map(referenceFits)
  const fits = (name: string): boolean => names.length === 0 || names.some((wanted) => wanted(name))
  const shown = all
    .filter((i) => dangling === undefined || (i.names.length === 0) === dangling)
    .filter((i) => filters.labels(i.config.config?.Labels ?? {}))
    .filter(
      (i) =>
        (before === undefined || i.createdAt < before) &&
        (since === undefined || i.createdAt > since) &&
        (until === undefined || i.createdAt < until),
    )
    .filter((i) => names.length === 0 || [...tagsOf(i), ...digestsOf(i)].some(fits))
    .sort((a, b) => b.createdAt - a.createdAt)
  const usage = isTrue(x.query.get('shared-size')) ? await engine.images.usage() : undefined
  const shared = usage && new Map(usage.images.map((each) => [each.id, each.shared]))
  // The client that asks for what is below an image (`--tree`) shows which are in use.
  const users = isTrue(x.query.get('manifests')) ? usersOf(engine, shown) : undefined
  const rows = shown.flatMap((image) => {
    const groups: SameNames[] = users ? byMeaning(engine, image) : [{ names: image.names }]
    const wanted = groups.filter((group) => group.names.some((name) => fits(familiarName(name))))
    return (wanted.length > 0 ? wanted : groups.slice(0, 1)).map((group, at) => ({ image, ...group, first: at === 0 }))
  })
  x.send(
    200,
    rows.map(({ image: i, names, first, below }) => ({
      Id: i.id,
      ParentId: '',
      RepoTags: names.map((name) => familiarName(name)).filter(fits),
      RepoDigests: first ? digestsOf(i).filter(fits) : [],
      Created: Math.floor(i.createdAt / 1000),
      Size: i.size,
      ...(x.version[1] < 44 ? { VirtualSize: i.size } : {}),
      SharedSize: shared?.get(i.id) ?? -1,
      Labels: i.config.config?.Labels ?? null,
      Containers: users?.get(i.id) ?? -1,
      ...(below && { Manifests: below }),
    })),
  )
}

const usersOf = ({ containers }: Backend, images: readonly Image[]): Map<string, number> => {
  const users = new Map(images.map(({ id }) => [id, 0]))
  for (const { imageId } of containers.list()) users.set(imageId, (users.get(imageId) ?? 0) + 1)
  return users
}

/** Go's path.Match on the whole familiar name, or on that without tag and digest. */
const referenceFits = (pattern: string): ((name: string) => boolean) => {
  const glob = patternOf(pattern)
  return (name) => glob.test(name) || glob.test(name.replace(/@.*$/, '').replace(/:[^/:]*$/, ''))
}

const patternOf = (pattern: string): NonNullable<ReturnType<typeof pathPattern>> => {
  const found = pathPattern(pattern)
  if (!found) throw bad('syntax error in pattern')
  return found
}

/** Gone since 1.45; docker-compose 1.x takes the newest version and yet recreates no container without it. */
const wantsContainerConfig = (x: Exchange): boolean =>
  x.version[1] < 45 || /^docker-compose\/1\./.test(x.headers['user-agent'] ?? '')

/** What is always told of an image's configuration. */
const imageDefaults = {
  ...{ Cmd: null, Entrypoint: null, Env: null, Labels: null, OnBuild: null },
  ...{ User: '', Volumes: null, WorkingDir: '' },
}
/** Until 1.49 that of a container was told. */
const emptyConfig = {
  ...{ Hostname: '', Domainname: '', AttachStdin: false, AttachStdout: false, AttachStderr: false },
  ...{ Tty: false, OpenStdin: false, StdinOnce: false, Image: '' },
  ...imageDefaults,
}

const containerConfig = ({ config }: Image) => ({ ...emptyConfig, ...(config.container_config ?? config.config) })

const inspect = async (engine: Backend, image: Image, version: ApiVersion) => ({
  Id: image.id,
  RepoTags: tagsOf(image),
  RepoDigests: digestsOf(image),
  Parent: image.config.parent ?? '',
  Comment: image.config.history?.at(-1)?.comment ?? '',
  Created: image.config.created ?? iso(image.createdAt),
  DockerVersion: '',
  Author: image.config.author ?? '',
  Config: { ...(version[1] < 50 ? emptyConfig : imageDefaults), ...image.config.config },
  ...(version[1] < 45 ? { Container: image.config.container ?? '' } : {}),
  Architecture: image.platform.architecture,
  ...(image.platform.variant ? { Variant: image.platform.variant } : {}),
  Os: image.platform.os,
  Size: image.size,
  ...(version[1] < 44 ? { VirtualSize: image.size } : {}),
  GraphDriver: { Name: 'overlay2', Data: directoriesOf(engine, image) },
  RootFS: { Type: 'layers', Layers: image.config.rootfs.diff_ids },
  Metadata: { LastTagTime: image.taggedAt ? iso(image.taggedAt) : '0001-01-01T00:00:00Z' },
})

/** Where its files are, the newest layer apart; nothing is mounted. */
const directoriesOf = ({ snapshots }: Backend, image: Image) => {
  const [upper = '', ...lower] = image.snapshots.map((key) => snapshots.pathOf(key) ?? '').reverse()
  return { ...(lower.length > 0 && { LowerDir: lower.join(':') }), UpperDir: upper }
}

/** Newest first; sizes belong to the entries that made a layer. */
const history = async (engine: Backend, image: Image) => {
  let layer = 0
  const entries = []
  for (const h of image.config.history ?? []) {
    const snapshot = h.empty_layer ? undefined : image.snapshots[layer++]
    const size = snapshot ? ((await engine.snapshots.stat(snapshot))?.size ?? 0) : 0
    entries.push({
      Id: '<missing>',
      Created: Math.floor(Date.parse(h.created ?? iso(image.createdAt)) / 1000),
      CreatedBy: h.created_by ?? '',
      Tags: null as string[] | null,
      Size: size,
      Comment: h.comment ?? '',
    })
  }
  const newest = entries.at(-1)
  if (newest) Object.assign(newest, { Id: image.id, Tags: tagsOf(image) })
  return entries.reverse()
}

/** JSON lines as docker prints progress from. */
const progressLine = (step: TransferProgress): Record<string, unknown> => ({
  status: step.status,
  ...(step.id ? { id: step.id } : {}),
  progressDetail:
    step.current === undefined
      ? {}
      : { current: step.current, ...(step.total === undefined ? {} : { total: step.total }) },
})

const streamFailure = (error: unknown): Record<string, unknown> => ({
  errorDetail: { message: textOf(error) },
  error: textOf(error),
})

/** Errors before the first line are a status; after it, a line. */
export const lines = (
  x: Exchange,
): {
  /** What goes wrong from here on is told in the stream. */
  begin(): void
  line(value: Record<string, unknown>): void
  end(): void
  fail(error: unknown): void
  readonly begun: boolean
} => {
  let out: ReturnType<Exchange['stream']> | undefined
  const open = () => (out ??= x.stream(200, 'application/json'))
  return {
    begin: () => void open(),
    line: (value) => void open().write(`${JSON.stringify(value)}\r\n`),
    end: () => void open().end(),
    get begun() {
      return out !== undefined
    },
    fail: (error) => {
      if (!out) throw error
      out.end(`${JSON.stringify(streamFailure(error))}\r\n`)
    },
  }
}

/** The `platform` of a query: JSON since 1.46, "linux/arm64" for a pull. */
const platformOf = (x: Exchange): Platform | undefined => {
  const text = x.query.get('platform')
  return text ? readPlatform(text) : undefined
}

const readPlatform = (text: string): Platform => {
  if (!text.startsWith('{')) return parsePlatform(text)
  try {
    const { os, architecture, variant } = JSON.parse(text) as Partial<Platform>
    if (!os || !architecture) throw bad('both OS and Architecture must be provided')
    return parsePlatform([os, architecture, variant].filter(Boolean).join('/'))
  } catch (cause) {
    if (isError(cause)) throw cause
    throw new SlipwayError('bad-request', `failed to parse platform: ${text}`, { cause })
  }
}

/** It must be the platform that was asked for. */
const fitting = (image: Image, name: string, platform: Platform | undefined): Image => {
  if (!platform || platformRank(image.platform, platform) > 0) return image
  const wanted = `the specified platform (${formatPlatform(platform)})`
  const several = (image.within ?? []).length > 0
  const not = several
    ? `does not provide ${wanted}`
    : `its platform (${formatPlatform(image.platform)}) does not match ${wanted}`
  throw new SlipwayError('not-found', `image with reference ${name} was found but ${not}`)
}

const wanted = async (images: Engine['images'], x: Exchange): Promise<Image> => {
  const [name, platform] = [x.params.name!, platformOf(x)]
  return fitting(platform ? await images.forPlatform(name, platform) : await images.must(name), name, platform)
}

const save = async (images: Engine['images'], x: Exchange, names: string[]): Promise<void> => {
  const platform = platformOf(x)
  if (platform) for (const name of names) fitting(await images.forPlatform(name, platform), name, platform)
  const tar = await images.save(names, { signal: x.signal, platform })
  await pipeline(tar, x.stream(200, 'application/x-tar'))
}

const createImage = async (images: Engine['images'], x: Exchange): Promise<void> => {
  const from = x.query.get('fromImage')
  const source = x.query.get('fromSrc')
  const tag = x.query.get('tag') ?? ''
  const out = lines(x)
  try {
    if (from && isTrue(x.query.get('bootstrap')))
      await images.bootstrap(referenceText(from, tag), {
        signal: x.signal,
        progress: (step) => out.line(progressLine(step)),
      })
    else if (from) await pull(images, x, from, tag, out)
    else if (source) await importImage(images, x, source, tag, out)
    else throw bad('nothing to create: neither fromImage nor fromSrc')
    out.end()
  } catch (error) {
    // dockerd answers 404: at a 401 the client would ask its user for a name and a password.
    out.fail(
      isError(error, 'unauthorized') ? new SlipwayError('not-found', error.message, { hint: error.hint }) : error,
    )
  }
}

/** A tag or digest that is given apart counts more than one in the name. */
const referenceText = (name: string, tag: string): string => {
  if (tag === '') return name
  const repository = repositoryOf(parseReference(name))
  if (tag.includes(':')) return `${repository}@${tag}`
  if (!/^\w[\w.-]{0,127}$/.test(tag)) throw bad('invalid tag format')
  return `${repository}:${tag}`
}

/** Without a tag every tag of the repository, as docker pull -a asks; the registry says which there are. */
const pull = async (
  images: Engine['images'],
  x: Exchange,
  name: string,
  tag: string,
  out: ReturnType<typeof lines>,
): Promise<void> => {
  const auth = authOf(x.headers['x-registry-auth'])
  const parsed = parseReference(name)
  const all = tag === '' && parsed.tag === undefined && parsed.digest === undefined
  const platform = platformOf(x)
  const tags = all ? await images.remoteTags(name, { auth, signal: x.signal }) : [tag]
  for (const each of tags)
    await images.pull(referenceText(name, each), {
      platform,
      anyPlatform: true,
      auth,
      signal: x.signal,
      progress: (step) => out.line(progressLine(step)),
    })
}

const importImage = async (
  images: Engine['images'],
  x: Exchange,
  source: string,
  tag: string,
  out: ReturnType<typeof lines>,
): Promise<void> => {
  const repo = x.query.get('repo')
  const changes = x.query.getAll('changes')
  const platform = platformOf(x)
  if (platform && platform.os !== 'linux') throw bad('operating system is not supported')
  const config = changedConfig({}, changes)
  const url = source === '-' ? undefined : URL.parse(source.includes('://') ? source : `http://${source}`)
  if (url === null || (url && !/^https?:$/.test(url.protocol))) throw bad(`invalid address to import from: ${source}`)
  const image = await images.import(url ?? x.upload(), {
    ...(repo ? { name: referenceText(repo, tag) } : {}),
    ...(changes.length > 0 ? { config } : {}),
    ...(platform && { platform }),
    message: x.query.get('message') || `Imported from ${source}`,
    signal: x.signal,
    progress: (step) => out.line(progressLine(step)),
  })
  await x.drained()
  out.line({ status: image.id })
}

const load = async (images: Engine['images'], x: Exchange): Promise<void> => {
  const quiet = x.query.get('quiet') === null || isTrue(x.query.get('quiet'))
  const platform = platformOf(x)
  const out = lines(x)
  // Nothing is answered before there is something to say: clients take the headers of a quiet load for its end.
  try {
    await images.load(x.upload(), {
      platform,
      signal: x.signal,
      progress: (step) => {
        if (step.id === undefined) out.line({ stream: `${step.status}\n` })
        else if (!quiet) out.line(progressLine(step))
      },
    })
    await x.drained()
    out.end()
  } catch (error) {
    out.begin()
    out.fail(error)
  }
}

/** Without a tag every tag the repository has here, as docker push -a asks. */
const push = async (images: Engine['images'], pushed: RecentPushes, x: Exchange): Promise<void> => {
  const given = x.params.name!
  const tag = x.query.get('tag') ?? ''
  const parsed = parseReference(given)
  const auth = authOf(x.headers['x-registry-auth'])
  const out = lines(x)
  const refers = { status: `The push refers to repository [${repositoryOf(parsed)}]` }
  try {
    const one = tag !== '' || parsed.tag !== undefined
    const names = one ? [referenceText(given, tag)] : await localTags(images, given)
    for (const [i, name] of names.entries()) {
      const image = await images.get(name)
      const platform = platformOf(x)
      const done = platform ? undefined : pushed.take(name, image?.id)
      if (done) {
        out.line({ status: `${parseReference(name).tag ?? 'latest'}: digest: ${done.digest} size: ${done.size}` })
        continue
      }
      if (!image) throw await unknownTag(images, name)
      if (platform) fitting(await images.forPlatform(name, platform), name, platform)
      const { digest, size } = await images.push(name, {
        platform,
        auth,
        signal: x.signal,
        progress: (step) => {
          if (i === 0 || step.status !== refers.status) out.line(progressLine(step))
        },
      })
      out.line({ progressDetail: {}, aux: { Tag: parseReference(name).tag ?? 'latest', Digest: digest, Size: size } })
    }
    out.end()
  } catch (error) {
    if (x.signal.aborted) return
    if (!out.begun) out.line(refers)
    out.line(streamFailure(error))
    out.end()
  }
}

/** A repository that is here has other tags. */
const unknownTag = async (images: Engine['images'], name: string): Promise<SlipwayError> => {
  const wanted = familiarRepository(name)
  const known = (await images.list()).flatMap(tagsOf).some((each) => familiarRepository(each) === wanted)
  const message = known
    ? `tag does not exist: ${familiarName(withTag(parseReference(name)))}`
    : `An image does not exist locally with the tag: ${wanted}`
  return new SlipwayError('not-found', message)
}

const localTags = async (images: Engine['images'], repository: string): Promise<string[]> => {
  const wanted = familiarName(repository)
  const names = (await images.list()).flatMap((image) => tagsOf(image))
  const found = names.filter((name) => familiarRepository(name) === wanted).sort()
  if (found.length === 0) throw new SlipwayError('not-found', `An image does not exist locally with the tag: ${wanted}`)
  return found
}
