/** `slipway completion SHELL`: the script for a shell, and the answers it asks for. */
import { SlipwayError } from '../../../errors.ts'
import type { Command, Shell } from '../framework/command.ts'
import type { Flag, Flags } from '../framework/flags.ts'
import { parseFlags } from '../framework/flags.ts'
import { complete, type Kind, type Place } from './complete.ts'
import { namesOf } from './names.ts'
import { scripts } from './scripts.ts'

/** The entries of the command line, as its start has them. */
export interface Table {
  globals: readonly Flag[]
  commands: Readonly<
    Record<
      string,
      {
        summary: string
        load: () => Promise<Command>
        instead?: (argv: readonly string[], shell: Shell) => Promise<Command | undefined>
      }
    >
  >
}

/** `late`: flags that may stand behind the command's name as well. */
const placeOf = (command: Command, late: readonly Flag[]): Place => {
  const own = [...command.flags, ...(command.raw ? [] : late)]
  return {
    flags: own.some(({ name }) => name === 'help')
      ? own
      : [...own, { name: 'help', kind: 'switch', help: 'Show help' }],
    usage: command.usage,
    interspersed: command.interspersed ?? true,
    inside: Object.fromEntries(
      Object.entries(command.inside ?? {}).map(([name, inner]) => [
        name,
        { summary: inner.summary, load: async () => placeOf(inner, []) },
      ]),
    ),
  }
}

const both = (one: Place, other: Place): Place => ({
  ...one,
  flags: [...one.flags, ...other.flags.filter(({ name }) => !one.flags.some((flag) => flag.name === name))],
  usage: `${one.usage}\n${other.usage}`,
})

const rootOf = ({ globals, commands }: Table, shell: Shell): Place => ({
  flags: globals,
  usage: '',
  interspersed: false,
  inside: Object.fromEntries(
    Object.entries(commands).map(([name, { summary, load, instead }]) => [
      name,
      {
        summary,
        load: async () => {
          const place = placeOf(await load(), globals)
          // A directory makes it the other command, if there is one of this name.
          const other = await instead?.(['.'], shell)
          return other ? both(place, placeOf(other, [])) : place
        },
      },
    ]),
  ),
})

/** Flags before the command's name, as far as they are whole: which project is meant. */
const globalsIn = (words: readonly string[], globals: readonly Flag[]): Flags => {
  try {
    return parseFlags(words.slice(0, -1), globals, { interspersed: false, command: 'slipway' }).flags
  } catch {
    return {}
  }
}

const answer = async (shell: Shell, words: readonly string[], table: Table): Promise<number> => {
  const wanted = await complete(words, rootOf(table, shell))
  const typed = words.at(-1) ?? ''
  const named = async (kind: Kind) => {
    try {
      return await namesOf(kind, shell, globalsIn(words, table.globals))
    } catch {
      return [] // a project that cannot be read, a daemon that is just ending: nothing to offer
    }
  }
  const names = (await Promise.all(wanted.kinds.map(named))).flat()
  const fitting = [...wanted.words, ...names.map(({ word, about }) => ({ word: word + wanted.behind, about }))]
    .map(({ word, about }) => ({ word: wanted.before + word, about }))
    .filter(({ word }) => word.startsWith(typed))
  for (const { word, about } of fitting) shell.stdout.write(`${word}\t${about}\n`)
  if (wanted.files) shell.stdout.write(':files\n')
  return 0
}

export const completion = (table: Table): Command => ({
  name: 'completion',
  usage: 'bash|zsh|fish',
  summary: 'Print what makes a shell complete commands, flags and names',
  details: `  bash   eval "$(slipway completion bash)" in ~/.bashrc
  zsh    source <(slipway completion zsh) in ~/.zshrc, behind compinit
  fish   slipway completion fish > ~/.config/fish/completions/slipway.fish`,
  group: 'system',
  flags: [],
  // Words that are to be completed are not this command's own.
  interspersed: false,
  async run({ shell, args: [given = '', ...words] }) {
    if (given === 'words') return answer(shell, words, table)
    const script = Object.hasOwn(scripts, given) && words.length === 0 ? scripts[given] : undefined
    if (script === undefined)
      throw new SlipwayError('bad-request', `slipway completion takes the name of a shell`, {
        hint: 'One of bash, zsh, fish.',
      })
    shell.stdout.write(script)
    return 0
  },
})
