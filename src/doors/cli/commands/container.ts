/** `slipway container …`: docker's container commands for machines without a docker client, over the same API. */

import { demultiplex } from '../../../clients/engine/index.ts'
import { isError } from '../../../errors.ts'
import { execIn, runContainer, runFlags } from '../app/container-run.ts'
import { humanDuration, out, table } from '../framework/command.ts'
import { openEngine } from '../framework/engine.ts'
import { list, text, toggle } from '../framework/flags.ts'
import {
  type Call,
  family,
  filtersOf,
  forEach,
  inspectEach,
  many,
  type Subcommand,
  shortId,
} from '../framework/subcommands.ts'
import { humanSize } from '../progress/transfer.ts'

interface Port {
  IP?: string
  PrivatePort: number
  PublicPort?: number
  Type: string
}
interface Listed {
  Id: string
  Names: string[]
  Image: string
  Command: string
  Created: number
  Status: string
  Ports: Port[]
}
const path = (name: string, rest = ''): string => `/containers/${encodeURIComponent(name)}${rest}`

const portText = (ports: Port[]): string =>
  ports
    .map((p) => {
      const target = `${p.PrivatePort}/${p.Type}`
      if (p.PublicPort === undefined) return target
      return `${p.IP?.includes(':') ? `[${p.IP}]` : p.IP}:${p.PublicPort}->${target}`
    })
    .join(', ')

const ls = async ({ shell, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const query = { all: flags.all === true, limit: flags.last as string | undefined, filters: filtersOf(flags.filter) }
  const containers = await engine.json<Listed[]>('/containers/json', { query })
  const whole = flags['no-trunc'] === true
  const id = (c: Listed): string => (whole ? c.Id : shortId(c.Id))
  const command = (c: Listed): string => (whole || c.Command.length <= 20 ? c.Command : `${c.Command.slice(0, 19)}…`)
  if (flags.format === 'json') for (const each of containers) out(shell, JSON.stringify(each))
  else if (flags.quiet === true) for (const each of containers) out(shell, id(each))
  else
    out(
      shell,
      table(
        ['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'PORTS', 'NAMES'],
        containers.map((c) => [
          id(c),
          c.Image,
          `"${command(c)}"`,
          `${humanDuration(Date.now() - c.Created * 1000)} ago`,
          c.Status,
          portText(c.Ports),
          c.Names.map((n) => n.replace(/^\//, '')).join(','),
        ]),
      ),
    )
  return 0
}

const logs = async ({ shell, args, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const { Config } = await engine.json<{ Config: { Tty: boolean } }>(path(args[0]!, '/json'))
  const query = {
    stdout: true,
    stderr: true,
    follow: flags.follow === true,
    timestamps: flags.timestamps === true,
    tail: flags.tail as string | undefined,
    since: flags.since as string | undefined,
    until: flags.until as string | undefined,
  }
  const answer = await engine.stream(path(args[0]!, '/logs'), { query, signal: shell.signal })
  try {
    await demultiplex(answer, shell.stdout, shell.stderr, { raw: Config.Tty })
  } catch (error) {
    if (!shell.signal.aborted) throw error
  }
  return shell.signal.aborted ? 130 : 0
}

/** POST to each; its name comes back when it is done. */
const act =
  (verb: string, query: (call: Call) => Record<string, string | undefined> = () => ({})): Subcommand['run'] =>
  async (call) => {
    const engine = await openEngine(call.shell)
    return forEach(call, async (name) => {
      await engine.json(path(name, `/${verb}`), { method: 'POST', query: query(call), signal: call.shell.signal })
      return name
    })
  }

const rm = async (call: Call): Promise<number> => {
  const engine = await openEngine(call.shell)
  const { force, volumes } = call.flags
  const query = { force: force === true, v: volumes === true }
  return forEach(call, async (name) => {
    try {
      await engine.json(path(name), { method: 'DELETE', query })
    } catch (error) {
      if (force !== true || !isError(error, 'not-found')) throw error
    }
    return name
  })
}

const wait = async (call: Call): Promise<number> => {
  const engine = await openEngine(call.shell)
  return forEach(call, async (name) => {
    const { StatusCode } = await engine.json<{ StatusCode: number }>(path(name, '/wait'), {
      method: 'POST',
      signal: call.shell.signal,
    })
    return String(StatusCode)
  })
}

const top = async ({ shell, args }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const query = { ps_args: args.slice(1).join(' ') }
  const { Titles, Processes } = await engine.json<{ Titles: string[]; Processes: string[][] }>(path(args[0]!, '/top'), {
    query,
  })
  out(shell, table(Titles, Processes))
  return 0
}

const port = async ({ shell, args }: Call): Promise<number> => {
  type Bound = { HostIp: string; HostPort: string }[] | null
  const engine = await openEngine(shell)
  const about = await engine.json<{ NetworkSettings: { Ports: Record<string, Bound> } }>(path(args[0]!, '/json'))
  const wanted = args[1] === undefined || args[1].includes('/') ? args[1] : `${args[1]}/tcp`
  for (const [key, bound] of Object.entries(about.NetworkSettings.Ports)) {
    if (wanted !== undefined && key !== wanted) continue
    for (const { HostIp, HostPort } of bound ?? []) {
      const address = `${HostIp.includes(':') ? `[${HostIp}]` : HostIp}:${HostPort}`
      out(shell, wanted === undefined ? `${key} -> ${address}` : address)
    }
  }
  return 0
}

const diff = async ({ shell, args }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const changes = await engine.json<{ Path: string; Kind: number }[] | null>(path(args[0]!, '/changes'))
  for (const { Path, Kind } of changes ?? []) out(shell, `${'CAD'[Kind]} ${Path}`)
  return 0
}

const prune = async ({ shell, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const { ContainersDeleted, SpaceReclaimed } = await engine.json<{
    ContainersDeleted: string[] | null
    SpaceReclaimed: number
  }>('/containers/prune', { method: 'POST', query: { filters: filtersOf(flags.filter) } })
  if (ContainersDeleted?.length) out(shell, ['Deleted Containers:', ...ContainersDeleted, ''].join('\n'))
  out(shell, `Total reclaimed space: ${humanSize(SpaceReclaimed)}`)
  return 0
}

const each = (summary: string, run: Subcommand['run'], flags: Subcommand['flags'] = []): Subcommand => ({
  usage: 'CONTAINER...',
  summary,
  args: [1, many],
  flags,
  run,
})
const graceful = [
  text('-t, --time', 'SECONDS', 'Wait that long before killing'),
  text('-s, --signal', 'SIGNAL', 'Signal to end it with'),
]
const grace = ({ flags }: Call) => ({ t: flags.time as string | undefined, signal: flags.signal as string | undefined })

export const container = family({
  name: 'container',
  summary: 'Manage containers',
  other: { ps: 'ls', list: 'ls', remove: 'rm' },
  subcommands: {
    run: {
      usage: 'IMAGE [COMMAND] [ARG...]',
      summary: 'Make a container of an image and start it',
      args: [1, many],
      interspersed: false,
      flags: runFlags,
      run: runContainer,
    },
    ls: {
      usage: '',
      summary: 'List containers',
      args: [0, 0],
      flags: [
        toggle('-a, --all', 'Stopped ones, too'),
        toggle('-q, --quiet', 'Only ids'),
        toggle('--no-trunc', 'Whole ids and commands'),
        text('-n, --last', 'NUM', 'The last created'),
        list('-f, --filter', 'NAME=VALUE', 'Only those it fits (name, status, label, ancestor, network, volume …)'),
        text('--format', 'FORMAT', 'table or json', ['table', 'json']),
      ],
      run: ls,
    },
    logs: {
      usage: 'CONTAINER',
      summary: "Show a container's output",
      args: [1, 1],
      flags: [
        toggle('-f, --follow', 'And what comes'),
        toggle('-t, --timestamps', 'With times'),
        text('-n, --tail', 'NUM', 'The last lines only'),
        text('--since', 'TIME', 'From a time, or 10m ago'),
        text('--until', 'TIME', 'Until a time, or 10m ago'),
      ],
      run: logs,
    },
    exec: {
      usage: 'CONTAINER COMMAND [ARG...]',
      summary: 'Run a command in a container',
      args: [2, many],
      interspersed: false,
      flags: [
        toggle('-d, --detach', 'Do not wait for it'),
        toggle('-i, --interactive', 'Give it stdin'),
        toggle('-t, --tty', 'Give it a terminal'),
        list('-e, --env', 'KEY=VALUE', 'Environment'),
        text('-u, --user', 'USER', 'User[:group]'),
        text('-w, --workdir', 'DIR', 'Directory'),
        toggle('--privileged', 'With all privileges'),
      ],
      run: execIn,
    },
    inspect: each('All that is known of containers, as JSON', async (call) => {
      const engine = await openEngine(call.shell)
      return inspectEach(call, (name) => engine.json(path(name, '/json')))
    }),
    start: each('Start containers', act('start')),
    stop: each('Stop containers', act('stop', grace), graceful),
    restart: each('Restart containers', act('restart', grace), graceful),
    kill: each(
      'Send a signal',
      act('kill', ({ flags }) => ({ signal: flags.signal as string | undefined })),
      [text('-s, --signal', 'SIGNAL', 'KILL by default')],
    ),
    pause: each('Freeze all processes of containers', act('pause')),
    unpause: each('Let them go on', act('unpause')),
    wait: each('Wait for containers to end and print their exit codes', wait),
    rm: each('Remove containers', rm, [
      toggle('-f, --force', 'Running ones, too; those that are not there are fine'),
      toggle('-v, --volumes', 'With their anonymous volumes'),
    ]),
    rename: {
      usage: 'CONTAINER NAME',
      summary: 'Give a container another name',
      args: [2, 2],
      flags: [],
      run: async ({ shell, args }) => {
        const engine = await openEngine(shell)
        await engine.json(path(args[0]!, '/rename'), { method: 'POST', query: { name: args[1] } })
        return 0
      },
    },
    top: {
      usage: 'CONTAINER [PS-OPTIONS]',
      summary: 'List the processes of a container',
      args: [1, many],
      interspersed: false,
      flags: [],
      run: top,
    },
    port: { usage: 'CONTAINER [PORT]', summary: 'List published ports', args: [1, 2], flags: [], run: port },
    diff: { usage: 'CONTAINER', summary: 'List files that differ from the image', args: [1, 1], flags: [], run: diff },
    prune: {
      usage: '',
      summary: 'Remove all stopped containers',
      args: [0, 0],
      flags: [
        toggle('-f, --force', 'Accepted for scripts: nothing is asked'),
        list('--filter', 'NAME=VALUE', 'Only those it fits (label, until)'),
      ],
      run: prune,
    },
  },
})
