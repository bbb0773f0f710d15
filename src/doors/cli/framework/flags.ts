/** Command-line flags as docker's tools read them: `-f x`, `-fx`, `--file x`, `--file=x`, joined short switches, `--`. */
import { SlipwayError } from '../../../errors.ts'
import { nearest } from '../../../lib/nearest.ts'

type FlagValue = string | boolean | string[] | undefined
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
}
export type Flags = Record<string, FlagValue>

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

/**
 * Splits `argv` into flags and arguments. `interspersed` false: the first argument ends the flags (exec, run), so that what
 * follows is the program's own.
 */
export const parseFlags = (
  argv: readonly string[],
  known: readonly Flag[],
  options: { interspersed: boolean; command: string },
): Parsed => {
  const flags: Flags = {}
  const args: string[] = []
  const help = `See '${options.command} --help'.`
  const take = (flag: Flag, given: string | undefined, next: () => string | undefined, as: string): void => {
    if (flag.kind === 'switch') {
      if (given !== undefined && given !== 'true' && given !== 'false')
        throw usageError(`invalid argument "${given}" for "${as}" flag`, help)
      flags[flag.name] = given !== 'false'
      return
    }
    const value = given ?? next()
    if (value === undefined) throw usageError(`flag needs an argument: ${as}`, help)
    if (flag.oneOf && !flag.oneOf.includes(value))
      throw usageError(`invalid argument "${value}" for "${as}" flag: must be one of ${flag.oneOf.join(', ')}`, help)
    flags[flag.name] = flag.kind === 'list' ? [...((flags[flag.name] as string[] | undefined) ?? []), value] : value
  }
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!
    const next = (): string | undefined => argv[++i]
    if (word === '--') {
      args.push(...argv.slice(i + 1))
      break
    }
    if (word.startsWith('--')) {
      const [name, ...rest] = word.slice(2).split('=')
      const flag = known.find((f) => f.name === name)
      if (!flag) throw usageError(`unknown flag: --${name}`, suggestion(name!, known, help))
      take(
        flag,
        rest.length > 0 ? rest.join('=') : undefined,
        next,
        flag.short ? `-${flag.short}, --${flag.name}` : `--${flag.name}`,
      )
    } else if (word.startsWith('-') && word.length > 1) shorts(word, known, take, next, help)
    else if (options.interspersed) args.push(word)
    else {
      args.push(...argv.slice(i))
      break
    }
  }
  return { flags, args }
}

type Take = (flag: Flag, given: string | undefined, next: () => string | undefined, as: string) => void
const shorts = (
  word: string,
  known: readonly Flag[],
  take: Take,
  next: () => string | undefined,
  help: string,
): void => {
  for (let at = 1; at < word.length; at++) {
    const flag = known.find((f) => f.short === word[at])
    if (!flag) throw usageError(`unknown shorthand flag: '${word[at]}' in ${word}`, help)
    const as = `-${flag.short}, --${flag.name}`
    if (flag.kind === 'switch') take(flag, undefined, next, as)
    else {
      const rest = word.slice(at + 1).replace(/^=/, '')
      take(flag, rest === '' ? undefined : rest, next, as)
      return
    }
  }
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
