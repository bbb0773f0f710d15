/** Commands that are a family, with docker's usage texts, errors and exit codes: `slipway image ls`, `slipway volume rm …`. */
import { type Command, out, type Shell } from './command.ts'
import { Exit } from './failure.ts'
import { type Flag, flagHelp, type Flags, parseFlags, toggle } from './flags.ts'

/** What a subcommand is given. */
export interface Call {
  shell: Shell
  args: string[]
  flags: Flags
  /** As it was called: 'slipway container run'. */
  name: string
}
export interface Subcommand {
  /** The arguments; a second line for a second form. */
  usage: string
  summary: string
  details?: string
  /** How many arguments, at least and at most. */
  args: readonly [least: number, most: number]
  flags: readonly Flag[]
  /** False where the first argument ends the flags. */
  interspersed?: boolean
  /** The exit code. */
  run: (call: Call) => Promise<number>
}
/** What does the work is loaded when it is called: starting up is what a command line is measured by. */
export const later =
  (load: () => Promise<Subcommand['run']>): Subcommand['run'] =>
  async (call) =>
    (await load())(call)
export const many = Number.MAX_SAFE_INTEGER
export type Subcommands = Record<string, Subcommand>

/** `other`: further names, as docker has them. Without a subcommand, help is shown. */
export const family = (about: {
  name: string
  summary: string
  subcommands: Subcommands
  other?: Record<string, string>
  /** Families within it. */
  families?: Record<string, Command>
}): Command => {
  const { name: family, summary, subcommands, other = {}, families = {} } = about
  const all = { ...families, ...subcommands }
  const width = Math.max(...Object.keys(all).map((name) => name.length))
  const rows = Object.entries(all).map(([name, each]) => `  ${name.padEnd(width)}   ${each.summary}`)
  const list = `Commands:\n${rows.join('\n')}`
  const more = `Run 'slipway ${family} COMMAND --help' for more information on a command.`
  return {
    name: family,
    usage: 'COMMAND',
    summary,
    details: `${list}\n\n${more}`,
    group: 'system',
    raw: true,
    flags: [],
    inside: {
      ...families,
      ...Object.fromEntries(
        Object.entries(subcommands).map(([name, each]) => [name, single(`${family} ${name}`, each)]),
      ),
    },
    async run({ shell, args: [given, ...rest] }) {
      const asked = given === '--help' || given === '-h' || given === 'help'
      if (given === undefined || asked) {
        const text = `Usage:  slipway ${family} COMMAND\n\n${summary}\n\n${list}\n\n${more}\n`
        ;(asked ? shell.stdout : shell.stderr).write(text)
        return 0
      }
      if (given.startsWith('-')) throw unknownFlag(given, family)
      if (Object.hasOwn(families, given)) return families[given]!.run({ shell, args: rest, flags: {}, globals: {} })
      const name = Object.hasOwn(other, given) ? other[given]! : given
      const command = Object.hasOwn(subcommands, name) ? subcommands[name]! : undefined
      if (command) return runSubcommand(shell, `slipway ${family} ${given}`, command, rest)
      throw new Exit(
        1,
        `slipway: unknown command: slipway ${family} ${given}\n${about.families ? '' : `\nUsage:  slipway ${family}\n`}\nRun 'slipway ${family} --help' for more information`,
      )
    },
  }
}

const unknownFlag = (given: string, family: string): Exit => {
  const what = given.startsWith('--') ? `unknown flag: ${given}` : `unknown shorthand flag: '${given[1]}' in ${given}`
  return new Exit(
    125,
    `${what}\n\nUsage:  slipway ${family} COMMAND\n\nRun 'slipway ${family} --help' for more information`,
  )
}

/** A command of docker's that has no family: login. */
export const single = (name: string, command: Subcommand): Command => ({
  name,
  usage: command.usage,
  summary: command.summary,
  group: 'system',
  raw: true,
  flags: command.flags,
  ...(command.interspersed === undefined ? {} : { interspersed: command.interspersed }),
  run: ({ shell, args }) => runSubcommand(shell, `slipway ${name}`, command, args),
})

const usageOf = (name: string, { usage, flags }: Subcommand): string => {
  const forms = usage.split('\n').map((form) => `${name}${flags.length > 0 ? ' [OPTIONS]' : ''} ${form}`.trimEnd())
  return `Usage:  ${forms.join('\n\t')}`
}

/** A command of docker's under the name it was called by. */
const runSubcommand = async (
  shell: Shell,
  name: string,
  command: Subcommand,
  rest: readonly string[],
): Promise<number> => {
  const taken = command.flags.some((flag) => flag.short === 'h')
  const known = [...command.flags, toggle(taken ? '--help' : '-h, --help', 'Show help')]
  const usage = usageOf(name, command)
  const { flags, args } = parseFlags(rest, known, {
    interspersed: command.interspersed ?? true,
    command: name,
    fail: (message) => new Exit(125, `${message}\n\n${usage}\n\nRun '${name} --help' for more information`),
  })
  if (flags.help === true) {
    const about = command.details === undefined ? command.summary : `${command.summary}\n\n${command.details}`
    out(shell, `${usage}\n\n${about}\n\nOptions:\n${flagHelp(known)}`)
    return 0
  }
  const wrong = wrongCount(args.length, command.args)
  if (wrong === undefined) return command.run({ shell, args, flags, name })
  const exact = command.args[0] === command.args[1]
  const see = exact ? 'Run' : 'See'
  throw new Exit(1, `slipway: '${name}' ${wrong}\n\n${usage}\n\n${see} '${name} --help' for more information`)
}

const counted = (n: number): string => `${n} argument${n === 1 ? '' : 's'}`

const wrongCount = (given: number, [least, most]: Subcommand['args']): string | undefined => {
  if (given >= least && given <= most) return undefined
  if (most === 0) return 'accepts no arguments'
  if (least === most) return `requires ${counted(least)}`
  if (most === many) return `requires at least ${counted(least)}`
  if (least === 0) return `requires at most ${counted(most)}`
  return `requires at least ${least} and at most ${counted(most)}`
}
