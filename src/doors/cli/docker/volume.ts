/** `slipway volume …`. */
import { isError } from '../../../errors.ts'
import { out } from '../framework/command.ts'
import { text, toggle } from '../framework/flags.ts'
import { many, type Subcommand } from '../framework/subcommands.ts'
import { confirm, forEach, withEngine } from './calls.ts'
import { configValue } from './client-config.ts'
import { labelField, labelsText } from './container-list.ts'
import { formatList, type Listing } from './format.ts'
import { inspect } from './inspect.ts'
import { filterFlag, filtersOf, force, formatFlag, labelFlag, parsedList, quiet, inspectFormat } from './option.ts'
import { humanSize } from './units.ts'
import { pairsOf } from './value.ts'

export interface ListedVolume {
  Name: string
  Driver: string
  Scope: string
  Mountpoint: string
  Labels: Record<string, string> | null
  UsageData?: { Size: number; RefCount: number } | null
}
const path = (name: string): string => `/volumes/${encodeURIComponent(name)}`

export const volumes: Listing<ListedVolume> = {
  type: 'formatter.volumeContext',
  headers: {
    Name: 'VOLUME NAME',
    Driver: 'DRIVER',
    Scope: 'SCOPE',
    Availability: 'AVAILABILITY',
    Mountpoint: 'MOUNTPOINT',
    Labels: 'LABELS',
    Links: 'LINKS',
    Size: 'SIZE',
    Group: 'GROUP',
    Status: 'STATUS',
  },
  fields: (v) => ({
    Name: () => v.Name,
    Driver: () => v.Driver,
    Scope: () => v.Scope,
    Availability: () => 'N/A',
    Mountpoint: () => v.Mountpoint,
    Labels: () => labelsText(v.Labels),
    Label: labelField(v.Labels),
    Links: () => (v.UsageData ? String(v.UsageData.RefCount) : 'N/A'),
    Size: () => (v.UsageData ? humanSize(v.UsageData.Size) : 'N/A'),
    Group: () => 'N/A',
    Status: () => 'N/A',
  }),
}

const ls = withEngine(async ({ engine, shell, flags }) => {
  const query = { filters: filtersOf(flags.filter) }
  const { Volumes } = await engine.json<{ Volumes: ListedVolume[] | null }>('/volumes', { query })
  const sorted = [...(Volumes ?? [])].sort((a, b) => (a.Name < b.Name ? -1 : 1))
  const quietly = flags.quiet === true
  const given = (flags.format as string | undefined) ?? (quietly ? '' : (configValue(shell.env, 'volumesFormat') ?? ''))
  const format = { given, table: 'table {{.Driver}}\t{{.Name}}', quiet: quietly, id: '{{.Name}}' }
  shell.stdout.write(formatList(volumes, sorted, format))
  return 0
})

const create = withEngine(async ({ engine, shell, args, flags }) => {
  const body = {
    Name: args[0] ?? '',
    Driver: (flags.driver as string | undefined) ?? 'local',
    DriverOpts: pairsOf(flags.opt),
    Labels: pairsOf(flags.label),
  }
  out(shell, (await engine.json<{ Name: string }>('/volumes/create', { method: 'POST', body })).Name)
  return 0
})

const rm = withEngine(({ engine, shell, args, flags }) => {
  const forced = flags.force === true
  return forEach(shell, args, async (name) => {
    try {
      await engine.json(path(name), { method: 'DELETE', query: { force: forced } })
    } catch (error) {
      if (!forced || !isError(error, 'not-found')) throw error
    }
    return name
  })
})

const warning = (all: boolean): string =>
  `WARNING! This will remove ${all ? 'all' : 'anonymous'} local volumes not used by at least one container.\n`

const prune = withEngine(async ({ engine, shell, flags }) => {
  const all = flags.all === true
  if (flags.force !== true) await confirm(shell, warning(all))
  const filters = filtersOf(flags.filter, all ? [['all', 'true']] : [])
  const { VolumesDeleted, SpaceReclaimed } = await engine.json<{
    VolumesDeleted: string[] | null
    SpaceReclaimed: number
  }>('/volumes/prune', { method: 'POST', query: { filters } })
  if (VolumesDeleted?.length) out(shell, ['Deleted Volumes:', ...VolumesDeleted, ''].join('\n'))
  out(shell, `Total reclaimed space: ${humanSize(SpaceReclaimed)}`)
  return 0
})

export const volumeCommands = {
  create: {
    usage: '[VOLUME]',
    summary: 'Make a volume; without a name it is given one',
    args: [0, 1],
    flags: [
      text('-d, --driver', 'string', 'Only local'),
      labelFlag('--label', 'Labels: NAME=VALUE'),
      parsedList('-o, --opt', "Of the driver: type, device, o (as mount's)", String, 'map'),
    ],
    run: create,
  },
  inspect: {
    usage: 'VOLUME [VOLUME...]',
    summary: 'All that is known of volumes',
    args: [1, many],
    flags: [inspectFormat],
    run: withEngine(({ engine, ...call }) => inspect(call, (name) => engine.json(path(name)), 'volume.Volume')),
  },
  ls: {
    usage: '',
    summary: 'List volumes',
    args: [0, 0],
    flags: [filterFlag('-f, --filter', 'NAME=VALUE: dangling, driver, label, name'), formatFlag(), quiet('Only names')],
    run: ls,
  },
  prune: {
    usage: '',
    summary: 'Remove anonymous volumes that no container uses',
    args: [0, 0],
    flags: [toggle('-a, --all', 'Named ones, too'), filterFlag('--filter', 'NAME=VALUE: label'), force],
    run: prune,
  },
  rm: {
    usage: 'VOLUME [VOLUME...]',
    summary: 'Remove volumes and what is in them',
    args: [1, many],
    flags: [toggle('-f, --force', 'Those that are not there are fine')],
    run: rm,
  },
} satisfies Record<string, Subcommand>
