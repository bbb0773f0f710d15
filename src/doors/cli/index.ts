/** The command line: finds the command, reads its flags, runs it, and turns failures into words and exit codes. */
import { SlipwayError } from '../../errors.ts'
import { nearest } from '../../lib/nearest.ts'
import type { Command, Shell } from './framework/command.ts'
import { exitCodeOf, failureText } from './framework/failure.ts'
import { type Flag, flagHelp, list, parseFlags, text, toggle } from './framework/flags.ts'

export type { Shell } from './framework/command.ts'

const globalFlags: readonly Flag[] = [
  list('-f, --file', 'FILE', 'Compose files'),
  text('-p, --project-name', 'NAME', 'Project name'),
  list('--profile', 'NAME', 'Profiles to enable'),
  list('--env-file', 'FILE', 'Alternate environment files'),
  text('--project-directory', 'DIR', 'Working directory; default: that of the first compose file'),
  text('--context', 'NAME', 'Work on this kubeconfig context instead of the embedded cluster'),
  text('--progress', 'TYPE', 'auto, tty, plain, json or quiet', ['auto', 'tty', 'plain', 'json', 'quiet']),
  text('--ansi', 'WHEN', 'auto, never or always', ['auto', 'never', 'always']),
  toggle('-h, --help', 'Show help'),
  toggle('-v, --version', 'Show the version'),
]

/** Loaded one by one: starting up is what a command line is measured by. */
interface Entry {
  group: Command['group']
  summary: string
  load: () => Promise<Command>
  /** Another command of the same name, where these words are about that. */
  instead?: (argv: readonly string[], shell: Shell) => Promise<Command | undefined>
}
const commands: Record<string, Entry> = {
  up: {
    group: 'app',
    summary: 'Create and start services, or update them without downtime',
    load: async () => (await import('./commands/up.ts')).up,
  },
  down: {
    group: 'app',
    summary: 'Stop and remove services',
    load: async () => (await import('./commands/down.ts')).down,
  },
  ps: { group: 'app', summary: 'List containers', load: async () => (await import('./commands/ps.ts')).ps },
  logs: {
    group: 'app',
    summary: 'View output from containers',
    load: async () => (await import('./commands/logs.ts')).logs,
  },
  exec: {
    group: 'app',
    summary: 'Execute a command in a running container',
    load: async () => (await import('./commands/exec.ts')).exec,
  },
  scale: { group: 'app', summary: 'Scale services', load: async () => (await import('./commands/scale.ts')).scale },
  restart: {
    group: 'app',
    summary: 'Restart services without downtime',
    load: async () => (await import('./commands/scale.ts')).restart,
  },
  stop: { group: 'app', summary: 'Stop services', load: async () => (await import('./commands/scale.ts')).stop },
  start: {
    group: 'app',
    summary: 'Start stopped services',
    load: async () => (await import('./commands/scale.ts')).start,
  },
  build: {
    group: 'app',
    summary: 'Build the images of services, or of a directory: slipway build -t NAME .',
    load: async () => (await import('./commands/build.ts')).build,
    instead: async (argv, shell) => (await import('./commands/image-build.ts')).imageBuild(argv, shell),
  },
  pull: {
    group: 'app',
    summary: 'Pull the images of services',
    load: async () => (await import('./commands/build.ts')).pull,
  },
  config: {
    group: 'app',
    summary: 'Show the compose file in canonical form',
    load: async () => (await import('./commands/config.ts')).config,
  },
  ls: { group: 'app', summary: 'List running projects', load: async () => (await import('./commands/system.ts')).ls },
  rollout: {
    group: 'rollout',
    summary: 'Watch, repeat or take back a rollout',
    load: async () => (await import('./commands/rollout.ts')).rollout,
  },
  autoscale: {
    group: 'rollout',
    summary: 'Let the load decide how many instances run',
    load: async () => (await import('./commands/autoscale.ts')).autoscale,
  },
  convert: {
    group: 'rollout',
    summary: 'Write the Kubernetes manifests that up applies',
    load: async () => (await import('./commands/convert.ts')).convert,
  },
  container: {
    group: 'system',
    summary: 'Manage containers: run, ls, logs, exec, stop, rm …',
    load: async () => (await import('./commands/docker.ts')).container(),
  },
  image: {
    group: 'system',
    summary: 'Manage images: build, ls, pull, push, save, load …',
    load: async () => (await import('./commands/docker.ts')).image(),
  },
  network: {
    group: 'system',
    summary: 'Manage networks: ls, create, connect, rm …',
    load: async () => (await import('./commands/docker.ts')).network(),
  },
  volume: {
    group: 'system',
    summary: 'Manage volumes: ls, create, rm, prune …',
    load: async () => (await import('./commands/docker.ts')).volume(),
  },
  builder: {
    group: 'system',
    summary: 'The build cache: prune',
    load: async () => (await import('./commands/docker.ts')).builder(),
  },
  manifest: {
    group: 'system',
    summary: 'What a registry has under a name: inspect',
    load: async () => (await import('./commands/docker.ts')).manifest(),
  },
  login: {
    group: 'system',
    summary: 'Check and keep the credentials for a registry',
    load: async () => (await import('./commands/docker.ts')).login(),
  },
  logout: {
    group: 'system',
    summary: 'Forget the credentials for a registry',
    load: async () => (await import('./commands/docker.ts')).logout(),
  },
  search: {
    group: 'system',
    summary: 'Look for images',
    load: async () => (await import('./commands/docker.ts')).search(),
  },
  docker: {
    group: 'system',
    summary: "All of these by docker's names: slipway docker run, ps, images …",
    load: async () => (await import('./commands/docker.ts')).docker(),
  },
  'docker-context': {
    group: 'system',
    summary: 'Register this instance as a context of the docker client',
    load: async () => (await import('./commands/docker-context.ts')).dockerContext,
  },
  daemon: {
    group: 'system',
    summary: 'The background process: start, status, stop',
    load: async () => (await import('./commands/system.ts')).daemon,
  },
  env: {
    group: 'system',
    summary: 'Variables that point docker and kubectl here',
    load: async () => (await import('./commands/system.ts')).env,
  },
  system: {
    group: 'system',
    summary: 'df, info, events, prune, reset',
    load: async () => (await import('./commands/docker.ts')).system(),
  },
  completion: {
    group: 'system',
    summary: 'Completion of commands, flags and names for bash, zsh and fish',
    load: async () => (await import('./completion/command.ts')).completion({ globals: globalFlags, commands }),
  },
  version: {
    group: 'system',
    summary: 'Print the version',
    load: async () => (await import('./commands/version.ts')).version,
  },
}
const titles: Record<Command['group'], string> = { app: 'Commands', rollout: 'From one host to many', system: 'System' }

const overview = (): string => {
  const width = Math.max(...Object.keys(commands).map((n) => n.length))
  const groups = (Object.keys(titles) as Command['group'][]).map((group) => {
    const rows = Object.entries(commands).filter(([, c]) => c.group === group)
    return `${titles[group]}:\n${rows.map(([name, c]) => `  ${name.padEnd(width)}   ${c.summary}`).join('\n')}`
  })
  return `Usage:  slipway [OPTIONS] COMMAND

Runs a compose file with production behaviour, here or on any Kubernetes cluster.

Options:
${flagHelp(globalFlags)}

${groups.join('\n\n')}

Run 'slipway COMMAND --help' for more information on a command.`
}

const commandHelp = (command: Command): string =>
  [
    `Usage:  slipway ${command.name} ${command.usage}`.trimEnd(),
    command.summary,
    command.details,
    command.flags.length > 0 ? `Options:\n${flagHelp(command.flags)}` : undefined,
  ]
    .filter((part) => part !== undefined)
    .join('\n\n')

/** Runs one command; never throws. */
export const runCli = async (argv: readonly string[], shell: Shell): Promise<number> => {
  try {
    return await run(argv, shell)
  } catch (error) {
    const text = failureText(error)
    if (text !== '') shell.stderr.write(`${text}\n`)
    return shell.signal.aborted ? 130 : exitCodeOf(error)
  }
}

/** docker compose takes its global flags behind the command as well: -f and -p mean other things there only where the command says so. */
const globalsAfter = (command: Command): Flag[] =>
  globalFlags.filter(
    (g) => !command.flags.some((f) => f.name === g.name || (f.short !== undefined && f.short === g.short)),
  )

const run = async (argv: readonly string[], shell: Shell): Promise<number> => {
  const before = parseFlags(argv, globalFlags, { interspersed: false, command: 'slipway' })
  const [name, ...rest] = before.args
  if (before.flags.version === true)
    return (await commands.version!.load()).run({ shell, args: [], flags: {}, globals: {} })
  if (name === undefined || name === 'help') {
    const about = name === 'help' ? commands[rest[0] ?? ''] : undefined
    shell.stdout.write(`${about ? commandHelp(await about.load()) : overview()}\n`)
    return 0
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!entry) {
    const close = nearest(name, Object.keys(commands))
    throw new SlipwayError('bad-request', `slipway: '${name}' is not a slipway command`, {
      hint: close ? `Did you mean ${close}?` : "See 'slipway --help'.",
    })
  }
  const command = (await entry.instead?.(rest, shell)) ?? (await entry.load())
  if (command.raw) {
    const args = before.flags.help === true ? ['--help'] : rest
    return command.run({ shell, args, flags: {}, globals: before.flags })
  }
  const after = globalsAfter(command)
  const { flags, args } = parseFlags(rest, [...command.flags, ...after], {
    interspersed: command.interspersed ?? true,
    command: `slipway ${name}`,
  })
  if (flags.help === true || before.flags.help === true) {
    shell.stdout.write(`${commandHelp(command)}\n`)
    return 0
  }
  const late = Object.fromEntries(after.filter((g) => flags[g.name] !== undefined).map((g) => [g.name, flags[g.name]]))
  return command.run({ shell, args, flags, globals: { ...before.flags, ...late } })
}
