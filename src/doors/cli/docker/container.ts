/** `slipway container …`: docker's container commands, on the same API. */
import { toggle, text, list, type Flag } from '../framework/flags.ts'
import { later, many, type Subcommand } from '../framework/subcommands.ts'
import { createFlags, processFlags, updateFlags } from './container-flags.ts'
import { filterFlag, force, formatFlag, inspectFormat, integer, noTrunc, quiet } from './option.ts'

const exec = later(async () => (await import('./container-exec.ts')).exec)
const copy = later(async () => (await import('./copy.ts')).copy)
const stats = later(async () => (await import('./stats.ts')).stats)
const runs = (name: 'attach' | 'create' | 'run' | 'start') =>
  later(async () => (await import('./container-run.ts'))[name])
const does = (name: keyof typeof import('./container-commands.ts')) =>
  later(async () => (await import('./container-commands.ts'))[name])

const named = (flags: readonly Flag[]): Flag[] => [...flags].sort((a, b) => (a.name < b.name ? -1 : 1))
const detachKeys = text('--detach-keys', 'string', 'Keys that leave it without ending it; default: ctrl-p,ctrl-q')
const sigProxy = toggle('--sig-proxy', 'Pass signals on to it; default: true')
const signal = text('-s, --signal', 'string', 'Signal that asks it to end')
const graceful = [
  signal,
  integer('-t, --timeout', 'Seconds to wait before it is killed'),
  integer('--time', 'As --timeout'),
]
const size = toggle('-s, --size', 'With sizes')
const moment = (name: string, what: string): Flag => text(name, 'string', `${what}: a time, or 10m ago`)

const each = (summary: string, command: Subcommand['run'], flags: readonly Flag[] = []): Subcommand => ({
  usage: 'CONTAINER [CONTAINER...]',
  summary,
  args: [1, many],
  flags,
  run: command,
})
const one = (
  summary: string,
  command: Subcommand['run'],
  flags: readonly Flag[] = [],
  usage = 'CONTAINER',
): Subcommand => ({
  usage,
  summary,
  args: [1, 1],
  flags,
  run: command,
})

const making: Pick<Subcommand, 'usage' | 'args' | 'interspersed'> = {
  usage: 'IMAGE [COMMAND] [ARG...]',
  args: [1, many],
  interspersed: false,
}

export const containerCommands = {
  attach: one('Join the terminal of a running container', runs('attach'), [
    detachKeys,
    toggle('--no-stdin', 'Without input'),
    sigProxy,
  ]),
  commit: {
    usage: 'CONTAINER [REPOSITORY[:TAG]]',
    summary: "Make an image of a container's files",
    args: [1, 2],
    flags: [
      text('-a, --author', 'string', 'Who made it'),
      list('-c, --change', 'list', 'Dockerfile instructions to apply'),
      text('-m, --message', 'string', 'What it is'),
      toggle('-p, --pause', 'Freeze the container meanwhile; default: true'),
    ],
    run: does('commit'),
  },
  cp: {
    usage: 'CONTAINER:SRC_PATH DEST_PATH|-\nSRC_PATH|- CONTAINER:DEST_PATH',
    summary: 'Copy files out of a container, or into one',
    details: "'-' as the source is a tar archive on standard input, as the destination one on standard output.",
    args: [2, 2],
    flags: [
      toggle('-a, --archive', 'With owners and groups'),
      toggle('-L, --follow-link', 'Copy what a link points to'),
      quiet('Do not say how much was copied'),
    ],
    run: copy,
  },
  create: { ...making, summary: 'Make a container without starting it', flags: createFlags, run: runs('create') },
  diff: one("List files that differ from the image's", does('diff')),
  exec: {
    usage: 'CONTAINER COMMAND [ARG...]',
    summary: 'Run a command in a running container',
    args: [2, many],
    interspersed: false,
    flags: named([
      ...processFlags(['env', 'env-file', 'interactive', 'privileged', 'tty', 'user', 'workdir']),
      toggle('-d, --detach', 'Do not wait for it'),
      detachKeys,
    ]),
    run: exec,
  },
  export: one(
    "Write a container's files as a tar archive",
    later(async () => (await import('./container-commands.ts')).exportTar),
    [text('-o, --output', 'string', 'File, instead of standard output')],
  ),
  inspect: each('All that is known of containers', does('inspect'), [inspectFormat, size]),
  kill: each('Send a signal to containers', does('kill'), [text('-s, --signal', 'string', 'KILL by default')]),
  logs: one('Show what a container has said', does('logs'), [
    toggle('--details', 'With labels and variables that --log-opt asked for'),
    toggle('-f, --follow', 'And what it will say'),
    moment('--since', 'From'),
    text('-n, --tail', 'string', 'The last lines only'),
    toggle('-t, --timestamps', 'With times'),
    moment('--until', 'Until'),
  ]),
  ls: {
    usage: '',
    summary: 'List containers',
    args: [0, 0],
    flags: [
      toggle('-a, --all', 'Stopped ones, too'),
      filterFlag('-f, --filter', 'NAME=VALUE: name, status, label, ancestor, network, volume, health, exited …'),
      formatFlag(),
      integer('-n, --last', 'The last created, in any state'),
      toggle('-l, --latest', 'The last created one'),
      noTrunc,
      quiet('Only ids'),
      size,
    ],
    run: does('ls'),
  },
  pause: each('Freeze all processes of containers', does('pause')),
  port: {
    usage: 'CONTAINER [PRIVATE_PORT[/PROTO]]',
    summary: 'List published ports',
    args: [1, 2],
    flags: [],
    run: does('port'),
  },
  prune: {
    usage: '',
    summary: 'Remove all stopped containers',
    args: [0, 0],
    flags: [filterFlag('--filter', 'NAME=VALUE: label, until'), force],
    run: does('prune'),
  },
  rename: {
    usage: 'CONTAINER NEW_NAME',
    summary: 'Give a container another name',
    args: [2, 2],
    flags: [],
    run: does('rename'),
  },
  restart: each('Restart containers', does('restart'), graceful),
  rm: each('Remove containers', does('rm'), [
    toggle('-f, --force', 'Running ones, too; those that are not there are fine'),
    toggle('-l, --link', 'Remove the link, not the container'),
    toggle('-v, --volumes', 'With their anonymous volumes'),
  ]),
  run: {
    ...making,
    summary: 'Make a container of an image and start it',
    details:
      "The exit code is the program's; 125 when the container could not be made, 126 when the program cannot be run, 127 when there is no such program.",
    flags: named([...createFlags, toggle('-d, --detach', 'In the background: print its id'), detachKeys, sigProxy]),
    run: runs('run'),
  },
  start: each('Start containers that are there', runs('start'), [
    toggle('-a, --attach', 'Join its output, and pass signals on'),
    detachKeys,
    toggle('-i, --interactive', 'Join its input, too'),
  ]),
  stats: {
    usage: '[CONTAINER...]',
    summary: 'Show what containers use, as it changes',
    args: [0, many],
    flags: [toggle('-a, --all', 'Stopped ones, too'), formatFlag(), toggle('--no-stream', 'Measure once'), noTrunc],
    run: stats,
  },
  stop: each('Stop containers', does('stop'), graceful),
  top: {
    usage: 'CONTAINER [ps OPTIONS]',
    summary: 'List the processes of a container',
    args: [1, many],
    interspersed: false,
    flags: [],
    run: does('top'),
  },
  unpause: each('Let frozen containers go on', does('unpause')),
  update: each('Change the limits of containers', does('update'), updateFlags),
  wait: each('Wait for containers to end, and print their exit codes', does('wait')),
} satisfies Record<string, Subcommand>
