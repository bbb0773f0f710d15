/** Command-line flags as docker's tools read them: `-f x`, `-fx`, `--file x`, `--file=x`, joined short switches, `--`. */
import { goBool, notBool } from '../../../lib/go-bool.ts'
import { SlipwayError } from '../../../errors.ts'
import { nearest } from '../../../lib/nearest.ts'

export interface Flag {
  /** Without dashes: 'file'. */
  name: string
  short?: string | undefined
  kind: 'switch' | 'text' | 'list'
  /** How help names the value. */
  value?: string | undefined
  help: string
  /** Choices, where only these may be given. */
  oneOf?: readonly string[] | undefined
  /** What a text means; throws what is wrong with it. Of a list: one value, or several as an array. */
  parse?: ((text: string) => unknown) | undefined
}
/** By name: a boolean, what `parse` made of the text, or an array of that. Flags that were not given are not there. */
export type Flags = Record<string, unknown>

const spelled = (names: string): { name: string; short?: string } => {
  const parts = names.split(',').map((p) => p.trim())
  const name = parts.find((p) => p.startsWith('--'))!.slice(2)
  const short = parts.find((p) => !p.startsWith('--'))?.slice(1)
  return short ? { name, short } : { name }
}
export const toggle = (names: string, help: string): Flag => ({ ...spelled(names), kind: 'switch', help })
export const text = (names: string, value: string, help: string, oneOf?: readonly string[]): Flag => ({
  ...spelled(names),
  kind: 'text',
  value,
  help,
  oneOf,
})
export const list = (names: string, value: string, help: string): Flag => ({
  ...spelled(names),
  kind: 'list',
  value,
  help,
})

const usageError = (message: string, hint: string): SlipwayError => new SlipwayError('bad-request', message, { hint })

interface Parsed {
  flags: Flags
  args: string[]
}
interface ParseOptions {
  interspersed: boolean
  /** For hints: 'slipway up'. */
  command: string
  /** The error for a message about flags, where it is not the usual one. */
  fail?: (message: string) => Error
}

/**
 * Splits `argv` into flags and arguments, with the messages of docker's flag parser (spf13/pflag). `interspersed` false: the
 * first argument ends the flags (exec, run), so that what follows is the program's own.
 */
export const parseFlags = (argv: readonly string[], known: readonly Flag[], options: ParseOptions): Parsed => {
  const flags: Flags = {}
  const args: string[] = []
  const help = `See '${options.command} --help'.`
  const fail = (message: string, hint = help): Error => options.fail?.(message) ?? usageError(message, hint)
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!
    const next = (): string | undefined => argv[++i]
    if (word === '--') {
      args.push(...argv.slice(i + 1))
      break
    }
    if (word.startsWith('--')) {
      const at = word.indexOf('=')
      const name = word.slice(2, at < 0 ? undefined : at)
      if (name === '' || name.startsWith('-')) throw fail(`bad flag syntax: ${word}`)
      const flag = known.find((f) => f.name === name)
      if (!flag) throw fail(`unknown flag: --${name}`, suggestion(name, known, help))
      const value = at >= 0 ? word.slice(at + 1) : flag.kind === 'switch' ? 'true' : next()
      if (value === undefined) throw fail(`flag needs an argument: --${name}`)
      take(flags, flag, value, fail)
    } else if (word.startsWith('-') && word.length > 1) shorts(flags, word, known, next, fail)
    else if (options.interspersed) args.push(word)
    else {
      args.push(...argv.slice(i))
      break
    }
  }
  return { flags, args }
}

type Fail = (message: string) => Error

/** `-dit`, `-p80:80`, `-p=80:80`. */
const shorts = (
  flags: Flags,
  word: string,
  known: readonly Flag[],
  next: () => string | undefined,
  fail: Fail,
): void => {
  for (let at = 1; at < word.length; at++) {
    const flag = known.find((f) => f.short === word[at])
    if (!flag) throw fail(`unknown shorthand flag: '${word[at]}' in -${word.slice(at)}`)
    const rest = word.slice(at + 1)
    if (flag.kind === 'switch' && !rest.startsWith('=')) {
      take(flags, flag, 'true', fail)
      continue
    }
    const value = rest === '' ? next() : rest.replace(/^=/, '')
    if (value === undefined) throw fail(`flag needs an argument: '${word[at]}' in -${word.slice(at)}`)
    take(flags, flag, value, fail)
    return
  }
}

/** As Go's strconv.ParseBool. */
export const parseBool = (value: string): boolean => {
  const known = goBool(value)
  if (known === undefined) throw new Error(notBool(value))
  return known
}

const take = (flags: Flags, flag: Flag, value: string, fail: Fail): void => {
  const { name, kind, oneOf, parse = kind === 'switch' ? parseBool : String } = flag
  const wrong = (why: string): Error =>
    fail(`invalid argument "${value}" for "${flag.short ? `-${flag.short}, ` : ''}--${name}" flag: ${why}`)
  if (oneOf && !oneOf.includes(value)) throw wrong(`must be one of ${oneOf.join(', ')}`)
  let meant: unknown
  try {
    meant = parse(value)
  } catch (error) {
    throw wrong((error as Error).message)
  }
  if (kind === 'list') flags[name] = [...((flags[name] as unknown[] | undefined) ?? []), ...[meant].flat()]
  else flags[name] = meant
}

const suggestion = (name: string, known: readonly Flag[], help: string): string => {
  const close = nearest(
    name,
    known.map((f) => f.name),
  )
  return close ? `Did you mean --${close}? ${help}` : help
}

export const flagHelp = (flags: readonly Flag[]): string => {
  const rows = flags.map((f) => {
    const left = `${f.short ? `-${f.short}, ` : '    '}--${f.name}${f.kind === 'switch' ? '' : ` ${f.value}`}`
    return [left, f.help] as const
  })
  const width = Math.max(0, ...rows.map(([left]) => left.length))
  return rows.map(([left, help]) => `  ${left.padEnd(width)}   ${help}`).join('\n')
}

/** "1m30s", "500ms", "10" (seconds) → milliseconds. */
export const durationMs = (value: string, flag: string): number => {
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  if (parts.length === 0 || parts.map((p) => p[0]).join('') !== value)
    throw usageError(
      `invalid argument "${value}" for "--${flag}" flag: not a duration`,
      'Write seconds (10) or a duration like 1m30s.',
    )
  return parts.reduce((sum, p) => sum + Number(p[1]) * units[p[2]!]!, 0)
}

export const wholeNumber = (value: string, flag: string): number => {
  if (!/^\d+$/.test(value)) throw usageError(`invalid argument "${value}" for "--${flag}" flag: not a whole number`, '')
  return Number(value)
}
