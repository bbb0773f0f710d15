/** `system df`. */
import { fill, formatList, type Listing } from './format.ts'
import { Row } from '../../../lib/go-template/index.ts'
import type { Shell } from '../framework/command.ts'
import { withEngine } from './calls.ts'
import { containers, type ListedContainer } from './container-list.ts'
import { type ImageRow, imageRows, images, type ListedImage } from './image-list.ts'
import { ago, humanSize, shortId } from './units.ts'
import { type ListedVolume, volumes } from './volume.ts'

interface CacheRecord {
  ID: string
  Parents?: string[] | null
  Type: string
  Description: string
  InUse: boolean
  Shared: boolean
  Size: number
  CreatedAt: string
  LastUsedAt: string | null
  UsageCount: number
}
interface Usage {
  LayersSize: number
  Images: ListedImage[] | null
  Containers: ListedContainer[] | null
  Volumes: ListedVolume[] | null
  BuildCache: CacheRecord[] | null
}
interface Summary {
  type: string
  total: number
  active: number
  size: number
  reclaimable: number
  /** With the share of all. */
  share: boolean
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)

const summaries: Listing<Summary> = {
  type: 'formatter.diskUsageContext',
  headers: { Type: 'TYPE', TotalCount: 'TOTAL', Active: 'ACTIVE', Size: 'SIZE', Reclaimable: 'RECLAIMABLE' },
  fields: ({ type, total, active, size, reclaimable, share }) => ({
    Type: () => type,
    TotalCount: () => String(total),
    Active: () => String(active),
    Size: () => humanSize(size),
    Reclaimable: () =>
      share && size > 0
        ? `${humanSize(reclaimable)} (${Math.floor((reclaimable * 100) / size)}%)`
        : humanSize(reclaimable),
  }),
}

const isUp = ({ State }: ListedContainer): boolean => ['running', 'paused', 'restarting'].includes(State)

const summarize = (usage: Usage): Summary[] => {
  const [all, made, kept, cache] = [
    usage.Images ?? [],
    usage.Containers ?? [],
    usage.Volumes ?? [],
    usage.BuildCache ?? [],
  ]
  const used = all.filter((image) => image.Containers > 0)
  const held = sum(used.filter((i) => i.Size !== -1 && i.SharedSize !== -1).map((i) => i.Size - i.SharedSize))
  const running = made.filter(isUp)
  const sizeOf = (c: ListedContainer): number => c.SizeRw ?? 0
  const bytesOf = (v: ListedVolume): number => Math.max(0, v.UsageData?.Size ?? 0)
  const mounted = kept.filter((v) => (v.UsageData?.RefCount ?? 0) > 0)
  const one = (
    type: string,
    items: readonly unknown[],
    active: number,
    size: number,
    reclaimable: number,
  ): Summary => ({
    ...{ type, total: items.length, active, size, reclaimable },
    share: type !== 'Build Cache',
  })
  const own = cache.filter(({ Shared }) => !Shared)
  const busy = cache.filter(({ InUse }) => InUse)
  const cached = sum(own.map(({ Size }) => Size))
  return [
    one('Images', all, used.length, usage.LayersSize, usage.LayersSize - held),
    one('Containers', made, running.length, sum(made.map(sizeOf)), sum(made.filter((c) => !isUp(c)).map(sizeOf))),
    one(
      'Local Volumes',
      kept,
      mounted.length,
      sum(kept.map(bytesOf)),
      sum(kept.filter((v) => !mounted.includes(v)).map(bytesOf)),
    ),
    one(
      'Build Cache',
      cache,
      busy.length,
      cached,
      cached - sum(own.filter(({ InUse }) => InUse).map(({ Size }) => Size)),
    ),
  ]
}

const seconds = (time: string): number => Date.parse(time) / 1000

const cacheRecords = (cut: boolean): Listing<CacheRecord> => ({
  type: 'formatter.buildCacheContext',
  headers: {
    ID: 'CACHE ID',
    Parent: 'PARENT',
    CacheType: 'CACHE TYPE',
    Description: 'DESCRIPTION',
    InUse: 'IN USE',
    Shared: 'SHARED',
    Size: 'SIZE',
    CreatedAt: 'CREATED AT',
    CreatedSince: 'CREATED',
    LastUsedAt: 'LAST USED AT',
    LastUsedSince: 'LAST USED',
    UsageCount: 'USAGE',
  },
  fields: (c) => ({
    ID: () => `${cut ? shortId(c.ID) : c.ID}${c.InUse ? '*' : ''}`,
    Parent: () => (c.Parents ?? []).map((id) => (cut ? shortId(id) : id)).join(', '),
    CacheType: () => c.Type,
    Description: () => c.Description,
    InUse: () => String(c.InUse),
    Shared: () => String(c.Shared),
    Size: () => humanSize(c.Size, 3),
    CreatedAt: () => c.CreatedAt,
    CreatedSince: () => ago(seconds(c.CreatedAt)),
    LastUsedAt: () => c.LastUsedAt ?? '',
    LastUsedSince: () => (c.LastUsedAt ? ago(seconds(c.LastUsedAt)) : ''),
    UsageCount: () => String(c.UsageCount),
  }),
})

const tables = {
  images:
    'table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}',
  containers:
    'table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}',
  volumes: 'table {{.Name}}\t{{.Links}}\t{{.Size}}',
  cache:
    'table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}',
}

/** One row an image, by its first name. */
const firstRow = (image: ListedImage): ImageRow => ({ ...imageRows(image, false)[0]!, digest: '' })

const verbose = (shell: Shell, usage: Usage, given: string): void => {
  const cut = given === '' || given === 'table'
  const rows = (usage.Images ?? []).map(firstRow)
  // Only what is their own.
  const made = (usage.Containers ?? []).map(({ SizeRootFs: _, ...c }) => c)
  const kept = usage.Volumes ?? []
  const cache = [...(usage.BuildCache ?? [])].sort(
    (a, b) => seconds(a.LastUsedAt ?? a.CreatedAt) - seconds(b.LastUsedAt ?? b.CreatedAt),
  )
  if (!cut) {
    const all = <T>(listing: Listing<T>, items: readonly T[]): Row[] =>
      items.map((item) => new Row(listing.type, listing.fields(item)))
    const data = {
      Images: all(images(false), rows),
      Containers: all(containers(false), made),
      Volumes: all(volumes, kept),
      BuildCache: all(cacheRecords(false), cache),
    }
    shell.stdout.write(fill(given === 'json' ? '{{json .}}' : given, data))
    return
  }
  const table = <T>(listing: Listing<T>, items: readonly T[], source: string): string =>
    formatList(listing, items, { given: '', table: source })
  shell.stdout.write(`Images space usage:\n\n${table(images(true), rows, tables.images)}`)
  shell.stdout.write(`\nContainers space usage:\n\n${table(containers(true), made, tables.containers)}`)
  shell.stdout.write(`\nLocal Volumes space usage:\n\n${table(volumes, kept, tables.volumes)}`)
  const size = humanSize(sum(cache.filter(({ Shared }) => !Shared).map(({ Size }) => Size)))
  shell.stdout.write(`\nBuild cache usage: ${size}\n\n${table(cacheRecords(true), cache, tables.cache)}`)
}

export const diskUsage = withEngine(async ({ engine, shell, flags }) => {
  const usage = await engine.json<Usage>('/system/df', { signal: shell.signal })
  const given = (flags.format as string | undefined) ?? ''
  if (flags.verbose === true) verbose(shell, usage, given)
  else
    shell.stdout.write(
      formatList(summaries, summarize(usage), {
        given,
        table: 'table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}',
      }),
    )
  return 0
})
