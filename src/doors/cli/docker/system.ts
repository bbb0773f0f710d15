/** `slipway system …`: docker's commands, and those of the instance as a whole. */
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { placeOf } from '../../../instance.ts'
import { SlipwayError } from '../../../errors.ts'
import type { GoMap } from '../../../lib/go-template/index.ts'
import { err, out } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import { type Flag, text, toggle } from '../framework/flags.ts'
import { type Call, later, type Subcommand } from '../framework/subcommands.ts'
import { confirm, type EngineCallContext, withEngine } from './calls.ts'
import { fillLine, formatList, readable } from './format.ts'
import { filterFlag, filtersOf, force, formatFlag, noTrunc, parsed } from './option.ts'
import { ellipsis, humanSize, stamp } from './units.ts'
import { bytes, moment } from './value.ts'

interface Event {
  status?: string
  id?: string
  from?: string
  Type: string
  Action: string
  Actor: { ID: string; Attributes: Record<string, string> }
  scope: string
  time: number
}

/** Nanoseconds do not fit a number. */
const nanosOf = (line: string): string => /"timeNano":(\d+)/.exec(line)?.[1] ?? '0'

const eventLine = (line: string, format: string): string => {
  const event = JSON.parse(line) as Event
  const { Type, Action, Actor } = event
  const sorted = Object.fromEntries(Object.entries(Actor.Attributes ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)))
  if (format === 'json') return line.replace(JSON.stringify(Actor.Attributes), JSON.stringify(sorted))
  const nanos = nanosOf(line)
  if (format !== '') {
    const { status = '', id = '', from = '', scope, time } = event
    const data: GoMap = {
      Status: status,
      ID: id,
      From: from,
      Type,
      Action,
      Actor,
      Scope: scope,
      Time: time,
      TimeNano: nanos,
    }
    return fillLine(format, data)
  }
  const attributes = Object.entries(sorted).map(([name, value]) => `${name}=${value}`)
  const about = attributes.length > 0 ? ` (${attributes.join(', ')})` : ''
  const time = stamp(Number(BigInt(nanos) / 1_000_000_000n), Number(BigInt(nanos) % 1_000_000_000n))
  return `${time} ${Type} ${Action} ${Actor.ID}${about}`
}

const events = withEngine(async ({ engine, shell, flags }) => {
  const format = (flags.format as string | undefined) ?? ''
  if (format !== '' && format !== 'json') readable(format, 'Error parsing format')
  const query = {
    since: moment(flags.since),
    until: moment(flags.until),
    filters: filtersOf(flags.filter),
  }
  try {
    const answer = await engine.stream('/events', { query, signal: shell.signal })
    for await (const line of createInterface({ input: answer })) out(shell, eventLine(line, format))
  } catch (error) {
    if (!shell.signal.aborted) throw error
  }
  return shell.signal.aborted ? 130 : 0
})

type Gone = string | { Untagged?: string; Deleted?: string }

const warning = ({ flags }: Call): string => {
  const all = flags.all === true
  const what = [
    'all stopped containers',
    'all networks not used by at least one container',
    ...(flags.volumes === true ? ['all anonymous volumes not used by at least one container'] : []),
    all ? 'all images without at least one container associated to them' : 'all dangling images',
    all ? 'all build cache' : 'unused build cache',
  ]
  const filters = ((flags.filter as [string, string][] | undefined) ?? []).map(([name, value]) => `${name}=${value}`)
  const list = (items: readonly string[]): string => items.map((item) => `  - ${item}\n`).join('')
  const filtered = filters.length > 0 ? `  Items to be pruned will be filtered with:\n${list(filters)}\n` : ''
  return `WARNING! This will remove:\n${list(what)}\n${filtered}`
}

/** Removes what one path prunes: the bytes. */
const pruneOne = async (
  { engine, shell }: EngineCallContext,
  path: string,
  [title, key]: [string, string],
  query: Record<string, string | boolean | undefined>,
): Promise<number> => {
  const answer = await engine.json<Record<string, unknown>>(path, { method: 'POST', query, signal: shell.signal })
  const gone = (answer[key] as Gone[] | null) ?? []
  const name = (each: Gone): string =>
    typeof each === 'string' ? each : each.Untagged ? `untagged: ${each.Untagged}` : `deleted: ${each.Deleted}`
  if (gone.length > 0) out(shell, [`Deleted ${title}:`, ...gone.map(name), ''].join('\n'))
  return Number(answer.SpaceReclaimed ?? 0)
}

const prune = withEngine(async (context) => {
  const { flags, shell } = context
  const given = (flags.filter as [string, string][] | undefined) ?? []
  if (flags.volumes === true && given.some(([name]) => name === 'until'))
    throw new Exit(1, 'ERROR: The "until" filter is not supported with "--volumes"')
  if (flags.force !== true) await confirm(shell, warning(context))
  const filters = filtersOf(given)
  const all = flags.all === true
  let space = await pruneOne(context, '/containers/prune', ['Containers', 'ContainersDeleted'], { filters })
  space += await pruneOne(context, '/networks/prune', ['Networks', 'NetworksDeleted'], { filters })
  if (flags.volumes === true)
    space += await pruneOne(context, '/volumes/prune', ['Volumes', 'VolumesDeleted'], { filters })
  const dangling = filtersOf(given, [['dangling', String(!all)]])
  space += await pruneOne(context, '/images/prune', ['Images', 'ImagesDeleted'], { filters: dangling })
  // The cache has no labels.
  if (given.every(([name]) => name === 'until'))
    space += await pruneOne(context, '/build/prune', ['build cache objects', 'CachesDeleted'], { filters, all })
  out(shell, `Total reclaimed space: ${humanSize(space)}`)
  return 0
})

/** `builder prune`. */
const pruneCache = withEngine(async (context) => {
  const { flags, shell } = context
  const all = flags.all === true
  const what = `WARNING! This will remove all ${all ? '' : 'dangling '}build cache. `
  if (flags.force !== true) await confirm(shell, what)
  const keep = flags['keep-storage'] as number | undefined
  const query = { filters: filtersOf(flags.filter), all, 'keep-storage': keep === undefined ? undefined : String(keep) }
  const space = await pruneOne(context, '/build/prune', ['build cache objects', 'CachesDeleted'], query)
  out(shell, `Total reclaimed space: ${humanSize(space)}`)
  return 0
})

const reset = async ({ shell, flags }: Call): Promise<number> => {
  const instance = placeOf(shell.env)
  if (flags.yes !== true)
    throw new SlipwayError(
      'precondition',
      `this removes all containers, images, volumes and objects under ${instance.stateDir}`,
      { hint: 'If that is what you want: slipway system reset --yes' },
    )
  await shell.reset()
  for (const dir of [instance.runDir, instance.stateDir, instance.logDir]) rmSync(dir, { recursive: true, force: true })
  err(shell, `Everything under ${instance.home ?? instance.stateDir} is removed.`)
  return 0
}

interface Found {
  name: string
  description: string
  star_count: number
  is_official: boolean
}

const search = withEngine(async ({ engine, shell, args, flags }) => {
  const limit = flags.limit === undefined ? undefined : String(flags.limit)
  const query = { term: args[0]!, limit, filters: filtersOf(flags.filter) }
  const found = await engine.json<Found[]>('/images/search', { query })
  const cut = flags['no-trunc'] !== true
  const listing = {
    type: 'search.searchContext',
    headers: { Name: 'NAME', Description: 'DESCRIPTION', StarCount: 'STARS', IsOfficial: 'OFFICIAL' },
    fields: (each: Found) => ({
      Name: () => each.name,
      Description: () => (cut ? ellipsis(each.description.replaceAll(/\s+/g, ' '), 45) : each.description),
      StarCount: () => String(each.star_count),
      IsOfficial: () => (each.is_official ? '[OK]' : ''),
    }),
  }
  const table = 'table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}'
  shell.stdout.write(formatList(listing, found, { given: (flags.format as string | undefined) ?? '', table }))
  return 0
})

const textFormat: Flag = text('-f, --format', 'string', 'json, or a Go template')

const subcommands = {
  df: {
    usage: '',
    summary: 'Show disk usage',
    args: [0, 0],
    flags: [formatFlag(), toggle('-v, --verbose', 'Each image, container, volume and record of the cache')],
    run: later(async () => (await import('./disk-usage.ts')).diskUsage),
  },
  events: {
    usage: '',
    summary: 'Tell what happens as it happens',
    args: [0, 0],
    flags: [
      filterFlag('-f, --filter', 'NAME=VALUE: type, event, container, image, label …'),
      text('--format', 'string', 'json, or a Go template'),
      text('--since', 'string', 'Also what has happened since: a time, or 10m ago'),
      text('--until', 'string', 'End then'),
    ],
    run: events,
  },
  info: {
    usage: '',
    summary: 'What the engine is and has',
    args: [0, 0],
    flags: [textFormat],
    run: later(async () => (await import('./info.ts')).info),
  },
  prune: {
    usage: '',
    summary: 'Remove stopped containers, unused networks, nameless images and unused build cache',
    args: [0, 0],
    flags: [
      toggle('-a, --all', 'Every image that no container uses'),
      filterFlag('--filter', 'NAME=VALUE: label, until'),
      force,
      toggle('--volumes', 'Anonymous volumes, too'),
    ],
    run: prune,
  },
} satisfies Record<string, Subcommand>

export const systemCommands: Record<string, Subcommand> = {
  ...subcommands,
  reset: {
    usage: '',
    summary: 'Remove everything of this instance: containers, images, volumes, networks, objects',
    args: [0, 0],
    flags: [toggle('--yes', 'Really: all data of this instance is lost')],
    run: reset,
  },
}

export const builderPrune: Subcommand = {
  usage: '',
  summary: 'Remove build cache',
  args: [0, 0],
  flags: [
    toggle('-a, --all', 'All of it, not only what nothing refers to'),
    filterFlag('--filter', 'NAME=VALUE: until'),
    force,
    parsed('--keep-storage', 'bytes', 'As much may stay', bytes),
  ],
  run: pruneCache,
}
export const searchCommand: Subcommand = {
  usage: 'TERM',
  summary: 'Look for images: registries do not offer it to us, and the answer says so',
  args: [1, 1],
  flags: [
    filterFlag('-f, --filter', 'NAME=VALUE: is-official, stars'),
    formatFlag(),
    parsed('--limit', 'int', 'Most results', Number),
    noTrunc,
  ],
  run: search,
}
