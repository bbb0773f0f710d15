/** The commands of `container` that ask one thing of the engine and print its answer. */
import { demultiplex } from '../../../clients/engine/index.ts'
import { isError, messageOf } from '../../../errors.ts'
import { repositoryOf } from '../../../spec/oci/index.ts'
import { err, out } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import type { Call } from '../framework/subcommands.ts'
import { confirm, containerPath as path, forEach, withEngine } from './calls.ts'
import { configValue } from './client-config.ts'
import { containerRaw, containerTable, containers, type ListedContainer } from './container-list.ts'
import { assign, restartPolicy } from './container-spec.ts'
import { alignTabs, fillLine, formatList } from './format.ts'
import { Row } from '../../../lib/go-template/index.ts'
import { inspect as inspectAll } from './inspect.ts'
import { filtersOf } from './option.ts'
import { newTag, referenceOf } from './reference.ts'
import { saveTo } from './save-to.ts'
import { humanSize } from './units.ts'
import { moment } from './value.ts'

const text = (value: unknown): string | undefined => value as string | undefined

/** A template that does not fit is refused also where nothing is listed. */
const probe = (template: string): void => {
  const none: ListedContainer = {
    ...{ Id: '', Names: [], Image: '', ImageID: '', Command: '', Created: 0, State: '', Status: '', Ports: [] },
    Labels: null,
  }
  const { type, fields } = containers(true)
  if (template !== 'json' && template !== 'raw') fillLine(template, new Row(type, fields(none)))
}

export const ls = withEngine(async ({ engine, shell, flags }) => {
  const given = text(flags.format) ?? (flags.quiet === true ? '' : (configValue(shell.env, 'psFormat') ?? ''))
  const last = flags.latest === true ? 1 : ((flags.last as number | undefined) ?? -1)
  const size = flags.size === true || (/\.Size\b/.test(given) && flags.quiet !== true)
  const query = {
    all: flags.all === true,
    limit: last > 0 ? String(last) : undefined,
    size,
    filters: filtersOf(flags.filter),
  }
  const found = await engine.json<ListedContainer[]>('/containers/json', { query })
  if (given !== '' && flags.quiet !== true) probe(given)
  const table = flags.size === true ? `${containerTable}\t{{.Size}}` : containerTable
  const raw = flags.quiet === true ? 'container_id: {{.ID}}' : containerRaw(flags.size === true)
  const format = { given, table, raw, quiet: flags.quiet === true }
  shell.stdout.write(formatList(containers(flags['no-trunc'] !== true), found, format))
  return 0
})

export const logs = withEngine(async ({ engine, shell, args, flags }) => {
  const { Config } = await engine.json<{ Config: { Tty: boolean } }>(path(args[0]!, '/json'))
  const query = {
    stdout: true,
    stderr: true,
    follow: flags.follow === true,
    timestamps: flags.timestamps === true,
    details: flags.details === true,
    tail: text(flags.tail),
    since: moment(flags.since),
    until: moment(flags.until),
  }
  const answer = await engine.stream(path(args[0]!, '/logs'), { query, signal: shell.signal })
  try {
    await demultiplex(answer, shell.stdout, shell.stderr, { raw: Config.Tty })
  } catch (error) {
    if (!shell.signal.aborted) throw error
  }
  return shell.signal.aborted ? 130 : 0
})

type Query = Record<string, string | undefined>

/** POST to each; its name comes back when it is done. */
const act = (verb: string, query: (call: Call) => Query = () => ({})) =>
  withEngine((context) => {
    const { engine, shell } = context
    const call = { method: 'POST', query: query(context), signal: shell.signal } as const
    return forEach(shell, context.args, async (name) => {
      await engine.json(path(name, `/${verb}`), call)
      return name
    })
  })
const number = (value: unknown): string | undefined => (value === undefined ? undefined : String(value))
const grace = ({ flags, shell }: Call): Query => {
  if (flags.time !== undefined) out(shell, 'Flag --time has been deprecated, use --timeout instead')
  return { t: number(flags.timeout ?? flags.time), signal: text(flags.signal) }
}

export const stop = act('stop', grace)
export const restart = act('restart', grace)
export const pause = act('pause')
export const unpause = act('unpause')
export const kill = act('kill', ({ flags }) => ({ signal: text(flags.signal) }))

export const rm = withEngine(({ engine, shell, args, flags }) => {
  const force = flags.force === true
  const query = { force, v: flags.volumes === true, link: flags.link === true }
  return forEach(shell, args, async (name) => {
    try {
      await engine.json(path(name.replace(/^\/+/, '')), { method: 'DELETE', query })
      return name
    } catch (error) {
      if (!force || !isError(error, 'not-found')) throw error
      err(shell, error.message)
      return undefined
    }
  })
})

export const wait = withEngine(({ engine, shell, args }) =>
  forEach(shell, args, async (name) => {
    const call = { method: 'POST', signal: shell.signal } as const
    return String((await engine.json<{ StatusCode: number }>(path(name, '/wait'), call)).StatusCode)
  }),
)

export const rename = withEngine(async ({ engine, shell, args }) => {
  const [name = '', newName = ''] = args
  if (name.trim() === '' || newName.trim() === '') throw new Exit(1, 'Error: Neither old nor new names may be empty')
  try {
    await engine.json(path(name, '/rename'), { method: 'POST', query: { name: newName } })
    return 0
  } catch (error) {
    if (!isError(error)) throw error
    err(shell, error.message)
    throw new Exit(1, `Error: failed to rename container named ${name}`)
  }
})

export const top = withEngine(async ({ engine, shell, args }) => {
  const query = { ps_args: args.slice(1).join(' ') }
  const { Titles, Processes } = await engine.json<{ Titles: string[]; Processes: string[][] }>(path(args[0]!, '/top'), {
    query,
  })
  out(shell, alignTabs([Titles, ...Processes].map((row) => row.join('\t')).join('\n'), 20))
  return 0
})

interface Binding {
  HostIp: string
  HostPort: string
}

export const port = withEngine(async ({ engine, shell, args }) => {
  type Ports = Record<string, Binding[] | null>
  const about = await engine.json<{ NetworkSettings: { Ports: Ports } }>(path(args[0]!, '/json'))
  const address = ({ HostIp, HostPort }: Binding): string =>
    `${HostIp.includes(':') ? `[${HostIp}]` : HostIp}:${HostPort}`
  const ports = about.NetworkSettings.Ports
  if (args[1] !== undefined) {
    const [number, protocol = 'tcp'] = args[1].split('/')
    const bound = ports[`${number}/${protocol}`]
    if (!bound) throw new Exit(1, `Error: No public port '${args[1]}' published for ${args[0]}`)
    for (const each of bound) out(shell, address(each))
    return 0
  }
  const lines = Object.entries(ports).flatMap(([key, bound]) =>
    (bound ?? []).map((each) => `${key} -> ${address(each)}`),
  )
  const byPort = (line: string): number => Number.parseInt(line, 10)
  for (const line of lines.sort((a, b) => byPort(a) - byPort(b) || (a < b ? -1 : 1))) out(shell, line)
  return 0
})

export const diff = withEngine(async ({ engine, shell, args }) => {
  const changes = await engine.json<{ Path: string; Kind: number }[] | null>(path(args[0]!, '/changes'))
  for (const { Path, Kind } of changes ?? []) out(shell, `${'CAD'[Kind]} ${Path}`)
  return 0
})

export const prune = withEngine(async ({ engine, shell, flags }) => {
  if (flags.force !== true) await confirm(shell, 'WARNING! This will remove all stopped containers.\n')
  const { ContainersDeleted, SpaceReclaimed } = await engine.json<{
    ContainersDeleted: string[] | null
    SpaceReclaimed: number
  }>('/containers/prune', { method: 'POST', query: { filters: filtersOf(flags.filter) } })
  if (ContainersDeleted?.length) out(shell, ['Deleted Containers:', ...ContainersDeleted, ''].join('\n'))
  out(shell, `Total reclaimed space: ${humanSize(SpaceReclaimed)}`)
  return 0
})

export const inspect = withEngine(({ engine, flags, ...call }) =>
  inspectAll({ ...call, flags }, (name) => engine.json(path(name, '/json'), { query: { size: flags.size === true } })),
)

export const commit = withEngine(async ({ engine, shell, args, flags }) => {
  const [container, name = ''] = args
  const reference = name === '' ? undefined : referenceOf(name)
  const query = {
    container,
    repo: reference && repositoryOf(reference),
    tag: reference && newTag(reference),
    author: text(flags.author),
    comment: text(flags.message),
    changes: flags.change as string[] | undefined,
    pause: flags.pause === false ? '0' : undefined,
  }
  out(shell, (await engine.json<{ Id: string }>('/commit', { method: 'POST', query, body: {} })).Id)
  return 0
})

export const exportTar = withEngine((context) =>
  saveTo(context, 'export container', () =>
    context.engine.stream(path(context.args[0]!, '/export'), { signal: context.shell.signal }),
  ),
)

export const update = withEngine(async ({ engine, shell, args, flags }) => {
  if (Object.keys(flags).length === 0) throw new Exit(1, 'you must provide one or more flags when using this command')
  const body: { HostConfig: Record<string, unknown> } = { HostConfig: {} }
  assign(body, flags)
  let RestartPolicy: object | undefined
  try {
    RestartPolicy = flags.restart === undefined ? undefined : restartPolicy(flags.restart as string)
  } catch (error) {
    throw new Exit(1, messageOf(error))
  }
  const changes = { ...body.HostConfig, ...(RestartPolicy && { RestartPolicy }) }
  const warnings: string[] = []
  const code = await forEach(shell, args, async (name) => {
    const call = { method: 'POST', body: changes } as const
    const { Warnings } = await engine.json<{ Warnings: string[] | null }>(path(name, '/update'), call)
    warnings.push(...(Warnings ?? []))
    return name
  })
  if (warnings.length > 0) err(shell, warnings.join('\n'))
  return code
})
