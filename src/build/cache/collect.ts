/** What the cache holds, and giving it back. */
import { readdirSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Image, Images, Snapshots } from '../../engine/types.ts'
import { isError } from '../../errors.ts'
import type { KeptContexts } from '../context/kept.ts'
import { createPacer } from '../context/pacer.ts'
import type { Builder } from '../types.ts'
import type { CacheMount, CacheMounts } from './mounts.ts'
import type { CacheRecord, CacheRecords } from './records.ts'
import { stepPrefix } from './step-prefix.ts'

export interface CollectDeps {
  records: CacheRecords
  cacheMounts: CacheMounts
  kept: KeptContexts
  snapshots: Snapshots
  images: Pick<Images, 'list'>
  /** Snapshots builds under way rely on. */
  inUse: ReadonlyMap<string, number>
  now(): number
}

type Usage = Awaited<ReturnType<Builder['cacheUsage']>>[number]
type PruneOptions = Parameters<Builder['prune']>[0]

interface Item extends Usage {
  remove(): Promise<void>
  /** Snapshots above must go first. */
  depth: number
}

const items = async (deps: CollectDeps): Promise<Item[]> => {
  const images = await deps.images.list()
  const shared = new Set(images.flatMap((image: Image) => image.snapshots))
  const steps = await Promise.all(deps.records.list().map((record) => stepItem(deps, record, shared)))
  const mounts = await Promise.all(deps.cacheMounts.list().map((mount) => mountItem(deps, mount)))
  const contexts = await Promise.all(deps.kept.list().map((copy) => contextItem(deps, copy)))
  return [...steps.filter((item) => item !== undefined), ...mounts, ...contexts]
}

const stepItem = async (
  deps: CollectDeps,
  record: CacheRecord,
  shared: ReadonlySet<string>,
): Promise<Item | undefined> => {
  const { snapshot, owned } = record
  const info = snapshot === undefined ? undefined : await deps.snapshots.stat(snapshot)
  if (snapshot !== undefined && !info) {
    deps.records.drop(record.id)
    return undefined
  }
  return {
    id: record.id,
    type: record.type,
    description: record.description,
    size: owned && info ? info.size : 0,
    createdAt: record.createdAt,
    lastUsedAt: record.lastUsedAt,
    usageCount: record.usageCount,
    inUse: record.result.snapshots.some((key) => deps.inUse.has(key)),
    shared: snapshot !== undefined && shared.has(snapshot),
    depth: record.result.snapshots.length,
    async remove() {
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
  depth: 0,
  async remove() {
    deps.cacheMounts.remove(mount.id)
  },
})

const contextItem = async (
  { kept }: CollectDeps,
  { directory, ...about }: ReturnType<KeptContexts['list']>[number],
): Promise<Item> => ({
  ...about,
  type: 'source.local',
  description: 'copy of a build context on a client',
  size: await sizeOf(directory),
  usageCount: 1,
  shared: false,
  depth: 0,
  async remove() {
    kept.remove(about.id)
  },
})

/** Bytes on disk at and below a directory. */
const sizeOf = async (directory: string): Promise<number> => {
  const pace = createPacer()
  let sum = 0
  const visit = async (path: string): Promise<void> => {
    await pace()
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const inside = join(path, entry.name)
      if (entry.isDirectory()) await visit(inside)
      else sum += (await lstat(inside)).blocks * 512
    }
  }
  try {
    await visit(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return sum
}

/** Snapshots a kill left between their commit and their record. */
export const dropOrphans = async ({
  records,
  snapshots,
}: Pick<CollectDeps, 'records' | 'snapshots'>): Promise<void> => {
  const known = new Set(records.list().map(({ snapshot }) => snapshot))
  const orphans = (await snapshots.list()).filter(({ key }) => key.startsWith(stepPrefix) && !known.has(key))
  for (const { key } of orphans.sort((a, b) => b.createdAt - a.createdAt)) {
    try {
      await snapshots.remove(key)
    } catch (error) {
      // A step that is kept was built on it.
      if (!isError(error, 'conflict')) throw error
    }
  }
}

export const cacheUsage = async (deps: CollectDeps): Promise<Usage[]> =>
  (await items(deps)).map(({ remove: _, depth: __, ...usage }) => usage)

/**
 * Without `all`, what an image still has stays. `until`: only what was last used before that time (ms). `keepBytes`: the
 * most recently used up to that size stay.
 */
export const prune = async (
  deps: CollectDeps,
  options: PruneOptions,
): Promise<{ deleted: string[]; reclaimed: number }> => {
  const candidates = (await items(deps))
    .filter((item) => !item.inUse && (options.all || !item.shared))
    .filter((item) => options.until === undefined || item.lastUsedAt < options.until)
    .sort((a, b) => b.lastUsedAt - a.lastUsedAt)
  let kept = 0
  const doomed = candidates.filter((item) => {
    if (options.keepBytes === undefined) return true
    kept += item.size
    return kept > options.keepBytes
  })
  const deleted: string[] = []
  let reclaimed = 0
  for (const item of doomed.sort((a, b) => b.depth - a.depth)) {
    try {
      await item.remove()
      deleted.push(item.id)
      if (!item.shared) reclaimed += item.size
    } catch (error) {
      // Something that stays was built on it.
      if (!isError(error, 'conflict')) throw error
    }
  }
  const known = new Set((await deps.snapshots.list()).map(({ key }) => key))
  deps.records.forgetTrees(known)
  return { deleted, reclaimed }
}

const hour = 60 * 60 * 1000
const unused = 60 * 24 * hour
const least = 2 * 1024 ** 3

/**
 * At most once an hour: drops what was not used for 60 days, then the oldest of what is more than a tenth of the disk
 * (at least 2 GiB). What images have does not count and stays.
 */
export const createGarbageCollector = (deps: CollectDeps, diskBytes: () => number): (() => Promise<void>) => {
  let collectedAt = deps.now()
  return async () => {
    if (deps.now() - collectedAt < hour) return
    collectedAt = deps.now()
    await prune(deps, { all: false, until: deps.now() - unused })
    await prune(deps, { all: false, keepBytes: Math.max(least, diskBytes() / 10) })
  }
}
