/** `slipway volume …`: docker's volume commands for machines without a docker client. */
import { isError, SlipwayError } from '../../../errors.ts'
import { out, table } from '../framework/command.ts'
import { openEngine } from '../framework/engine.ts'
import { list, text, toggle } from '../framework/flags.ts'
import { type Call, family, filtersOf, forEach, inspectEach, many, pairs } from '../framework/subcommands.ts'
import { humanSize } from '../progress/transfer.ts'

interface Volume {
  Name: string
  Driver: string
}
const path = (name: string): string => `/volumes/${encodeURIComponent(name)}`

const ls = async ({ shell, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const { Volumes } = await engine.json<{ Volumes: Volume[] }>('/volumes', {
    query: { filters: filtersOf(flags.filter) },
  })
  const volumes = Volumes.sort((a, b) => (a.Name < b.Name ? -1 : 1))
  if (flags.format === 'json') for (const each of volumes) out(shell, JSON.stringify(each))
  else if (flags.quiet === true) for (const each of volumes) out(shell, each.Name)
  else
    out(
      shell,
      table(
        ['DRIVER', 'VOLUME NAME'],
        volumes.map((v) => [v.Driver, v.Name]),
      ),
    )
  return 0
}

const create = async ({ shell, args, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const body = { Name: args[0] ?? '', Driver: flags.driver, DriverOpts: pairs(flags.opt), Labels: pairs(flags.label) }
  const { Name } = await engine.json<Volume>('/volumes/create', { method: 'POST', body })
  out(shell, Name)
  return 0
}

const rm = async (call: Call): Promise<number> => {
  const engine = await openEngine(call.shell)
  return forEach(call, async (name) => {
    try {
      await engine.json(path(name), { method: 'DELETE', query: { force: call.flags.force === true } })
    } catch (error) {
      if (call.flags.force !== true || !isError(error, 'not-found')) throw error
    }
    return name
  })
}

const prune = async ({ shell, flags }: Call): Promise<number> => {
  const given = (flags.filter as string[] | undefined) ?? []
  if (flags.all === true && given.some((f) => f.startsWith('all=')))
    throw new SlipwayError('bad-request', 'conflicting options: cannot specify both --all and --filter all=1')
  const engine = await openEngine(shell)
  const { VolumesDeleted, SpaceReclaimed } = await engine.json<{
    VolumesDeleted: string[] | null
    SpaceReclaimed: number
  }>('/volumes/prune', {
    method: 'POST',
    query: { filters: filtersOf([...given, ...(flags.all === true ? ['all=true'] : [])]) },
  })
  if (VolumesDeleted?.length) out(shell, ['Deleted Volumes:', ...VolumesDeleted, ''].join('\n'))
  out(shell, `Total reclaimed space: ${humanSize(SpaceReclaimed)}`)
  return 0
}

const filter = list('--filter', 'NAME=VALUE', 'Only those it fits (dangling, driver, label, name)')

export const volume = family({
  name: 'volume',
  summary: 'Manage volumes',
  other: { list: 'ls', remove: 'rm' },
  subcommands: {
    ls: {
      usage: '',
      summary: 'List volumes',
      args: [0, 0],
      flags: [
        toggle('-q, --quiet', 'Only names'),
        filter,
        text('--format', 'FORMAT', 'table or json', ['table', 'json']),
      ],
      run: ls,
    },
    create: {
      usage: '[NAME]',
      summary: 'Make a volume; without a name it is given one',
      args: [0, 1],
      flags: [
        text('-d, --driver', 'NAME', 'Only local'),
        list('-o, --opt', 'KEY=VALUE', "Of the driver: type, device, o (as mount's)"),
        list('--label', 'KEY=VALUE', 'Labels'),
      ],
      run: create,
    },
    inspect: {
      usage: 'VOLUME...',
      summary: 'All that is known of volumes, as JSON',
      args: [1, many],
      flags: [],
      run: async (call) => {
        const engine = await openEngine(call.shell)
        return inspectEach(call, (name) => engine.json(path(name)))
      },
    },
    rm: {
      usage: 'VOLUME...',
      summary: 'Remove volumes and what is in them',
      args: [1, many],
      flags: [toggle('-f, --force', 'Say nothing of those that are not there')],
      run: rm,
    },
    prune: {
      usage: '',
      summary: 'Remove anonymous volumes that no container uses',
      args: [0, 0],
      flags: [
        toggle('-a, --all', 'Named ones too'),
        toggle('-f, --force', 'Accepted for scripts: nothing is asked'),
        filter,
      ],
      run: prune,
    },
  },
})
