/** What the cache holds, and giving it back. */
import { readdirSync, type Stats } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Image, Images, Snapshots } from '../../engine/types.ts'
import { isError, SlipwayError } from '../../errors.ts'
import type { KeptContexts } from '../context/kept.ts'
import { createPacer } from '../context/pacer.ts'
import type { Builder, PolicyRule, PruneOptions } from '../types.ts'
import { matcher } from './filter.ts'
import type { EarlierCopies } from './copies.ts'
import type { CacheMount, CacheMounts } from './mounts.ts'
import type { CacheRecord, CacheRecords } from './records.ts'
import { stepPrefix } from './step-prefix.ts'

export interface CollectDeps {
  records: CacheRecords
  copies: EarlierCopies
  cacheMounts: CacheMounts
  kept: Pick<KeptContexts, 'list' | 'remove'>
  snapshots: Snapshots
  images: Pick<Images, 'list'>
  git: { list(): FetchedSource[] }
  downloads: { list(): FetchedSource[] }
  /** Snapshots builds under way rely on. */
  inUse: ReadonlyMap<string, number>
  isBuilding(): boolean
  disk(): { totalBytes: number; freeBytes: number }
  now(): number
}

/** A repository or a file from elsewhere that is kept. */
export interface FetchedSource {
  id: string
  type: string
  description: string
  /** File or directory. */
  path: string
  createdAt: number
  lastUsedAt: number
  remove(): void
}

type Usage = Awaited<ReturnType<Builder['cacheUsage']>>[number]

interface Item extends Usage {
  /** 'conflict' where it is needed after all. */
  remove(): Promise<void>
  /** Snapshots above must go first. */
  depth: number
  /** When it, or what stands on it, was last used. */
  neededAt: number
}

const inUseNow = (id: string): SlipwayError => new SlipwayError('conflict', `${id} is in use`)

const items = async (deps: CollectDeps): Promise<Item[]> => {
  const images = await deps.images.list()
  const shared = deps.snapshots.withParents(images.flatMap((image: Image) => image.snapshots))
  const records = deps.records.list()
  const needed = new Map<string, number>()
  for (const { result, lastUsedAt } of records)
    for (const key of result.snapshots) needed.set(key, Math.max(needed.get(key) ?? 0, lastUsedAt))
  const owners = new Map(records.flatMap(({ id, snapshot, owned }) => (owned && snapshot ? [[snapshot, id]] : [])))
  const steps = await Promise.all(records.map((record) => stepItem(deps, record, shared, needed, owners)))
  const mounts = await Promise.all(deps.cacheMounts.list().map((mount) => mountItem(deps, mount)))
  const contexts = await Promise.all(deps.kept.list().map((copy) => contextItem(deps, copy)))
  const sources = await Promise.all(
    [...deps.git.list(), ...deps.downloads.list()].map((each) => sourceItem(deps, each)),
  )
  return [...steps.filter((item) => item !== undefined), ...mounts, ...contexts, ...sources]
}

const stepItem = async (
  deps: CollectDeps,
  record: CacheRecord,
  shared: ReadonlySet<string>,
  needed: ReadonlyMap<string, number>,
  owners: ReadonlyMap<string, string>,
): Promise<Item | undefined> => {
  const { snapshot, owned } = record
  const info = snapshot === undefined ? undefined : await deps.snapshots.stat(snapshot)
  if (snapshot !== undefined && !info) {
    deps.records.drop(record.id)
    return undefined
  }
  const isUsed = (): boolean => record.result.snapshots.some((key) => deps.inUse.has(key))
  const below = owned ? record.result.snapshots.slice(0, -1) : record.result.snapshots
  return {
    id: record.id,
    type: record.type,
    description: record.description,
    size: owned && info ? info.size : 0,
    createdAt: record.createdAt,
    lastUsedAt: record.lastUsedAt,
    usageCount: record.usageCount,
    inUse: isUsed(),
    mutable: false,
    parents: [...new Set(below.flatMap((key) => owners.get(key) ?? []))].slice(-1),
    neededAt: Math.max(record.lastUsedAt, snapshot === undefined ? 0 : (needed.get(snapshot) ?? 0)),
    shared: snapshot !== undefined && shared.has(snapshot),
    depth: record.result.snapshots.length,
    async remove() {
      // Asked at the last moment: a build may have begun to use it since it was listed.
      if (isUsed()) throw inUseNow(record.id)
      // An image that has it keeps it; it is gone when the image is.
      if (owned && snapshot !== undefined) await deps.snapshots.remove(snapshot)
      deps.records.drop(record.id)
    },
  }
}

const mountItem = async (deps: CollectDeps, mount: CacheMount): Promise<Item> => ({
  id: mount.id,
  type: 'exec.cachemount',
  description: `cached mount ${mount.cacheId}`,
  size: await sizeOf(mount.directory),
  createdAt: mount.createdAt,
  lastUsedAt: mount.lastUsedAt,
  usageCount: mount.usageCount,
  inUse: mount.inUse,
  shared: false,
  mutable: true,
  parents: [],
  neededAt: mount.lastUsedAt,
  depth: 0,
  async remove() {
    if (!deps.cacheMounts.remove(mount.id)) throw inUseNow(mount.id)
  },
})

const contextItem = async (
  { kept }: Pick<CollectDeps, 'kept'>,
  { directory, ...about }: ReturnType<KeptContexts['list']>[number],
): Promise<Item> => ({
  ...about,
  type: 'source.local',
  description: 'copy of a build context on a client',
  size: await sizeOf(directory),
  usageCount: 1,
  shared: false,
  mutable: true,
  parents: [],
  neededAt: about.lastUsedAt,
  depth: 0,
  async remove() {
    if (!kept.remove(about.id)) throw inUseNow(about.id)
  },
})

/** What was fetched from elsewhere. Builds read it at any time, so none of it goes while one runs. */
const sourceItem = async ({ isBuilding }: CollectDeps, { path, remove, ...about }: FetchedSource): Promise<Item> => ({
  ...about,
  size: await sizeOf(path),
  usageCount: 1,
  inUse: isBuilding(),
  shared: false,
  mutable: false,
  parents: [],
  neededAt: about.lastUsedAt,
  depth: 0,
  async remove() {
    if (isBuilding()) throw inUseNow(about.id)
    remove()
  },
})

/** Bytes on disk at and below a directory. A file with several names counts once. */
const sizeOf = async (directory: string): Promise<number> => {
  const pace = createPacer()
  const seen = new Set<number>()
  let sum = 0
  const add = ({ blocks, nlink, ino }: Stats): void => {
    if (nlink > 1 && seen.has(ino)) return
    if (nlink > 1) seen.add(ino)
    sum += blocks * 512
  }
  const visit = async (path: string): Promise<void> => {
    await pace()
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const inside = join(path, entry.name)
      if (entry.isDirectory()) await visit(inside)
      else add(await lstat(inside))
    }
  }
  try {
    const own = await lstat(directory)
    if (!own.isDirectory()) return own.blocks * 512
    await visit(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return sum
}

/** What a kill left between a snapshot's commit and its record, or between the removal of the one and the other. */
export const dropOrphans = async ({
  records,
  snapshots,
}: Pick<CollectDeps, 'records' | 'snapshots'>): Promise<void> => {
  const keys = snapshots.keys()
  const there = new Set(keys)
  const all = records.list()
  for (const { id, snapshot } of all) if (snapshot !== undefined && !there.has(snapshot)) records.drop(id)
  const known = new Set(all.map(({ snapshot }) => snapshot))
  const orphans = keys.filter((key) => key.startsWith(stepPrefix) && !known.has(key))
  for (const key of orphans.reverse()) {
    try {
      await snapshots.remove(key)
    } catch (error) {
      // A step that is kept was built on it.
      if (!isError(error, 'conflict')) throw error
    }
  }
}

export const cacheUsage = async (deps: CollectDeps): Promise<Usage[]> =>
  (await items(deps)).map(({ remove: _, depth: __, neededAt: ___, ...usage }) => usage)

/** Oldest first, until what is left is little enough. What others stand on goes after them, if they go. */
export const prune = async (
  deps: CollectDeps,
  options: PruneOptions,
): Promise<{ deleted: string[]; reclaimed: number }> => {
  const fits = matcher(options.filters ?? [])
  const all = await items(deps)
  const candidates = all
    .filter((item) => !item.inUse && (options.all || !item.shared) && fits(item))
    .filter((item) => options.until === undefined || item.neededAt < options.until)
    .sort((a, b) => a.neededAt - b.neededAt || b.depth - a.depth)
  let total = all.reduce((sum, { size, shared }) => sum + (shared ? 0 : size), 0)
  const most = bytesToKeep(total, deps.disk().freeBytes, options)
  const deleted: string[] = []
  let reclaimed = 0
  let left = candidates
  for (let before = -1; left.length !== before; ) {
    before = left.length
    const stuck: Item[] = []
    for (const item of left) {
      if (most !== undefined && total <= most) break
      if (!(await removed(item))) {
        stuck.push(item)
        continue
      }
      deleted.push(item.id)
      if (item.shared) continue
      total -= item.size
      reclaimed += item.size
    }
    left = stuck
  }
  const known = new Set(deps.snapshots.keys())
  deps.records.forgetTrees(known)
  deps.copies.forget(known)
  return { deleted, reclaimed }
}

/** Something that stays was built on it, or a build has begun to use it. */
const removed = async (item: Item): Promise<boolean> => {
  try {
    await item.remove()
    return true
  } catch (error) {
    if (!isError(error, 'conflict')) throw error
    return false
  }
}

/** BuildKit's rule (cache/manager.go); undefined: nothing has to stay. */
const bytesToKeep = (
  total: number,
  free: number,
  { reservedBytes = 0, maxUsedBytes = 0, minFreeBytes = 0 }: PruneOptions,
): number | undefined => {
  if (reservedBytes <= 0 && maxUsedBytes <= 0 && minFreeBytes <= 0) return undefined
  let keep = maxUsedBytes > 0 ? maxUsedBytes : minFreeBytes > 0 ? total : 0
  const missing = minFreeBytes - free
  if (missing > 0) keep = Math.min(keep, total - missing)
  return Math.max(keep, reservedBytes)
}

const hour = 60 * 60 * 1000
const least = 2 * 1024 ** 3

/**
 * BuildKit's policy: what is made again easily goes first, then what is old, then the oldest of what is too much. The cap is a
 * tenth of the disk, at least 2 GiB.
 */
export const cachePolicy = ({ totalBytes }: { totalBytes: number }): PolicyRule[] => [
  {
    all: false,
    filters: ['type==source.local', 'type==exec.cachemount', 'type==source.git.checkout'],
    unusedMs: 48 * hour,
    maxUsedBytes: 512e6,
  },
  { all: false, unusedMs: 60 * 24 * hour },
  { all: false, maxUsedBytes: Math.floor(Math.max(least, totalBytes / 10)) },
]

/** At most once an hour; what images have does not count and stays. */
export const createGarbageCollector = (deps: CollectDeps): (() => Promise<void>) => {
  let collectedAt = deps.now()
  return async () => {
    if (deps.now() - collectedAt < hour) return
    collectedAt = deps.now()
    for (const { unusedMs, ...rule } of cachePolicy(deps.disk()))
      await prune(deps, { ...rule, ...(unusedMs === undefined ? {} : { until: deps.now() - unusedMs }) })
  }
}
