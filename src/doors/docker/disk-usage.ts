/** GET /system/df. */
import type { Builder } from '../../build/types.ts'
import type { Container, Engine } from '../../engine/types.ts'
import { isError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { familiarName } from '../../spec/oci/index.ts'
import { bad } from './container-fields.ts'
import { type ApiVersion, commandText, exposedPorts, iso, portViews, statusText } from './container-views.ts'
import { isShown } from './images.ts'
import type { Exchange } from './server.ts'

interface Backend {
  engine: Pick<Engine, 'images' | 'containers' | 'volumes' | 'sandboxes'>
  builder: Pick<Builder, 'cacheUsage'>
  clock: Clock
}

const kinds = ['container', 'image', 'volume', 'build-cache']

/** The kinds asked for: all without a `type`, and before 1.42. */
export const wantedKinds = (types: readonly string[], [, minor]: ApiVersion): Set<string> => {
  if (minor < 42 || types.length === 0) return new Set(kinds)
  for (const type of types) if (!kinds.includes(type)) throw bad(`unknown object type: ${type}`)
  return new Set(types)
}

/** What was not asked for is not counted, and null. */
export const diskUsage = async (backend: Backend, { query, version }: Pick<Exchange, 'query' | 'version'>) => {
  const wanted = wantedKinds(query.getAll('type'), version)
  const { engine, builder } = backend
  const containers = engine.containers.list()
  const cache = wanted.has('build-cache') ? await builder.cacheUsage() : undefined
  return {
    ...(wanted.has('image') ? await imageUsage(engine, containers, version) : { LayersSize: 0, Images: null }),
    ...(version[1] < 42 ? { BuilderSize: cache?.reduce((total, each) => total + each.size, 0) ?? 0 } : {}),
    Containers: wanted.has('container') ? await containerUsage(backend, containers) : null,
    Volumes: wanted.has('volume') ? await volumeUsage(engine, containers) : null,
    BuildCache: cache?.map((each) => cacheView(each, version)) ?? null,
  }
}

const imageUsage = async ({ images }: Pick<Engine, 'images'>, containers: Container[], version: ApiVersion) => {
  const counts = new Map<string, number>()
  for (const c of containers) counts.set(c.imageId, (counts.get(c.imageId) ?? 0) + 1)
  const usage = await images.usage()
  const used = new Map(usage.images.map((each) => [each.id, each]))
  return {
    LayersSize: usage.total,
    Images: (await images.list()).filter(isShown).map((i) => ({
      Id: i.id,
      ParentId: i.config.parent ?? '',
      RepoTags: i.names.map((n) => familiarName(n)),
      RepoDigests: i.repoDigests.map((d) => familiarName(d)),
      Created: Math.floor(i.createdAt / 1000),
      Size: used.get(i.id)?.size ?? i.size,
      ...(version[1] < 44 ? { VirtualSize: used.get(i.id)?.size ?? i.size } : {}),
      SharedSize: used.get(i.id)?.shared ?? 0,
      Labels: i.config.config?.Labels ?? null,
      Containers: counts.get(i.id) ?? 0,
    })),
  }
}

/** Without what is removed while it is looked at. */
export const those = async <T, View>(all: readonly T[], view: (one: T) => Promise<View>): Promise<View[]> => {
  const seen = await Promise.all(
    all.map((one) =>
      view(one).catch((error: unknown) => {
        if (!isError(error, 'not-found')) throw error
        return undefined
      }),
    ),
  )
  return seen.filter((each) => each !== undefined)
}

const containerUsage = ({ engine, clock }: Backend, containers: Container[]) =>
  those(containers, async (c) => ({
    Id: c.id,
    Names: [`/${c.spec.name}`],
    Image: c.spec.image,
    ImageID: c.imageId,
    Command: commandText(c),
    Created: Math.floor(c.createdAt / 1000),
    Ports: portViews(c, engine.sandboxes.get(c.sandboxId), await exposedPorts(c, engine)),
    SizeRw: await engine.containers.diskUsage(c.id),
    SizeRootFs: (await engine.images.get(c.imageId))?.size ?? 0,
    Labels: c.spec.labels,
    State: c.status,
    Status: statusText(c, clock.now()),
    Mounts: [],
  }))

const volumeUsage = ({ volumes }: Pick<Engine, 'volumes'>, containers: Container[]) =>
  those(volumes.list(), async (v) => ({
    Name: v.spec.name,
    Driver: v.spec.driver,
    Mountpoint: v.mountpoint,
    CreatedAt: iso(v.createdAt),
    Labels: v.spec.labels,
    Options: v.spec.options,
    Scope: 'local',
    UsageData: {
      Size: await volumes.size(v.spec.name),
      RefCount: containers.filter((c) =>
        c.mounts.some((m) => m.type === 'volume' && (m.name ?? m.volume) === v.spec.name),
      ).length,
    },
  }))

/** One parent until 1.41, all of them since. */
const cacheView = (u: Awaited<ReturnType<Builder['cacheUsage']>>[number], [, minor]: ApiVersion) => ({
  ID: u.id,
  ...(minor < 42 ? { Parent: u.parents[0] ?? '' } : u.parents.length > 0 ? { Parents: u.parents } : {}),
  Type: u.type,
  Description: u.description,
  InUse: u.inUse,
  Shared: u.shared,
  Size: u.size,
  CreatedAt: iso(u.createdAt),
  LastUsedAt: iso(u.lastUsedAt),
  UsageCount: u.usageCount,
})
