/** Commands that are a family: `slipway image ls`, `slipway volume rm …`. */
import { SlipwayError } from '../../../errors.ts'
import { nearest } from '../../../lib/nearest.ts'
import { type Command, err, out, type Shell } from './command.ts'
import { type Flag, type Flags, flagHelp, parseFlags, toggle } from './flags.ts'

/** What a subcommand is given. */
export interface Call {
  shell: Shell
  args: string[]
  flags: Flags
}
export interface Subcommand {
  usage: string
  summary: string
  /** How many arguments, at least and at most. */
  args: [number, number]
  flags: readonly Flag[]
  /** False where the first argument ends the flags. */
  interspersed?: boolean
  /** The exit code. */
  run: (call: Call) => Promise<number>
}
export const many = Number.MAX_SAFE_INTEGER

/** `other`: further names, as docker has them. Without a subcommand, `first` is meant. */
export const family = (about: {
  name: string
  summary: string
  subcommands: Record<string, Subcommand>
  other?: Record<string, string>
  first?: string
}): Command => {
  const { name: first, summary, subcommands, other = {} } = about
  const width = Math.max(...Object.keys(subcommands).map((name) => name.length))
  const rows = Object.entries(subcommands).map(([name, each]) => `  ${name.padEnd(width)}   ${each.summary}`)
  return {
    name: first,
    usage: 'COMMAND',
    summary,
    details: `Commands:\n${rows.join('\n')}\n\nRun 'slipway ${first} COMMAND --help' for more information on a command.`,
    group: 'system',
    interspersed: false,
    flags: [],
    async run({ shell, args: [given = about.first ?? 'ls', ...rest] }) {
      const name = Object.hasOwn(other, given) ? other[given]! : given
      const command = Object.hasOwn(subcommands, name) ? subcommands[name]! : undefined
      if (given === '')
        throw new SlipwayError('bad-request', `slipway ${first} needs a command`, {
          hint: `One of ${Object.keys(subcommands).join(', ')}.`,
        })
      if (command) return runOne(shell, `slipway ${first} ${name}`, command, rest)
      const close = nearest(name, Object.keys(subcommands))
      throw new SlipwayError('bad-request', `slipway ${first}: '${name}' is not a command`, {
        hint: close ? `Did you mean ${close}?` : `See 'slipway ${first} --help'.`,
      })
    },
  }
}

const runOne = async (shell: Shell, name: string, command: Subcommand, rest: string[]): Promise<number> => {
  const known = [...command.flags, toggle('-h, --help', 'Show help')]
  const { flags, args } = parseFlags(rest, known, { interspersed: command.interspersed ?? true, command: name })
  if (flags.help === true) {
    out(shell, `Usage:  ${name} [OPTIONS] ${command.usage}`.trimEnd())
    out(shell, `\n${command.summary}\n\nOptions:\n${flagHelp(known)}`)
    return 0
  }
  const [least, most] = command.args
  if (args.length >= least && args.length <= most) return command.run({ shell, args, flags })
  const wanted = least === most ? least : most === many ? `at least ${least}` : `${least} to ${most}`
  throw new SlipwayError(
    'bad-request',
    `${name} needs ${wanted} argument${most === 1 ? '' : 's'}, not ${args.length}`,
    { hint: `Usage: ${name} [OPTIONS] ${command.usage}`.trimEnd() },
  )
}

/** `--filter NAME=VALUE …` as the API takes it. */
export const filtersOf = (given: unknown): string | undefined => {
  const filters: Record<string, string[]> = {}
  for (const each of (given as string[] | undefined) ?? []) {
    const [name = '', ...value] = each.split('=')
    if (value.length === 0)
      throw new SlipwayError('bad-request', `invalid argument "${each}" for "--filter" flag: use NAME=VALUE`)
    filters[name] = [...(filters[name] ?? []), value.join('=')]
  }
  return Object.keys(filters).length > 0 ? JSON.stringify(filters) : undefined
}

export const shortId = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12)

/** Does the same to each; one that fails is told and does not keep the others from it. Prints what it gives, or the name. */
export const forEach = async (
  { shell, args }: Call,
  act: (name: string) => Promise<string | undefined>,
): Promise<number> => {
  let code = 0
  for (const name of args)
    try {
      const said = await act(name)
      if (said !== undefined) out(shell, said)
    } catch (error) {
      if (!(error instanceof SlipwayError) || shell.signal.aborted) throw error
      err(shell, error.message)
      code = 1
    }
  return code
}

/** Everything about each of `args`, as one list of JSON; what is missing is told after it. */
export const inspectEach = async ({ shell, args }: Call, read: (name: string) => Promise<unknown>): Promise<number> => {
  const found: unknown[] = []
  const failed: SlipwayError[] = []
  for (const name of args)
    try {
      found.push(await read(name))
    } catch (error) {
      if (!(error instanceof SlipwayError)) throw error
      failed.push(error)
    }
  out(shell, JSON.stringify(found, undefined, 4))
  for (const error of failed) err(shell, error.message)
  return failed.length > 0 ? 1 : 0
}

/** `KEY=VALUE …` as an object; a key alone has the value ''. */
export const pairs = (given: unknown): Record<string, string> =>
  Object.fromEntries(
    ((given as string[] | undefined) ?? []).map((each) => {
      const at = each.indexOf('=')
      return at < 0 ? [each, ''] : [each.slice(0, at), each.slice(at + 1)]
    }),
  )
