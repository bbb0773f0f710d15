/** What may stand where the cursor is, from the tables of commands and flags: pure but for what `tree` loads. */
import type { Flag } from '../framework/flags.ts'

/** A command as completion sees it. */
export interface Place {
  flags: readonly Flag[]
  /** The arguments, as help shows them; a second line for a second form. */
  usage: string
  /** False where the first argument ends the flags. */
  interspersed: boolean
  /** Commands within it, by name. */
  inside: Readonly<Record<string, { summary: string; load: () => Promise<Place> }>>
}

/** Things whose names only the daemon, or the project's files, can tell. */
export type Kind = 'container' | 'running' | 'stopped' | 'image' | 'network' | 'volume' | 'service'

export interface Wanted {
  /** Words that fit, and what they mean. */
  words: readonly { word: string; about: string }[]
  /** Names of these kinds, too. */
  kinds: readonly Kind[]
  /** Files, where nothing else fits. */
  files: boolean
  /** What stands before the value that is completed, in the same word: '--network='. */
  before: string
  /** What is typed right behind a name: ':' of `cp CONTAINER:`, '=' of `scale SERVICE=`. */
  behind: string
}
const nothing: Wanted = { words: [], kinds: [], files: false, before: '', behind: '' }

const kindOf: readonly (readonly [RegExp, Kind])[] = [
  [/CONTAINER/, 'container'],
  [/IMAGE|REPOSITORY|^NAME\[:TAG/, 'image'],
  [/NETWORK/, 'network'],
  [/VOLUME/, 'volume'],
  [/SERVICE/, 'service'],
]

/** 'NETWORK CONTAINER', 'IMAGE [IMAGE...]', 'start|stop [SERVICE...]': what the argument at `index` is. */
const argumentOf = (usage: string, index: number): Wanted => {
  const forms = usage.split('\n').map((form) => formOf(form, index))
  return {
    ...nothing,
    words: forms.flatMap(({ words }) => words),
    kinds: [...new Set(forms.flatMap(({ kinds }) => kinds))],
    files: forms.some(({ files }) => files),
    behind: forms.map(({ behind }) => behind).join(''),
  }
}

const formOf = (usage: string, index: number): Wanted => {
  const parts = usage
    .replaceAll(' | ', '|')
    .split(' ')
    .filter((part) => part !== '' && part !== '[OPTIONS]')
  const last = parts.at(-1)
  const part = parts[index] ?? (last?.includes('...') ? last : undefined)
  if (part === undefined) return nothing
  const bare = part.replace(/^\[|\.\.\.|\]$/g, '')
  const choices = bare.split('|')
  if (choices.length > 1 && choices.every((choice) => /^[a-z]+$/.test(choice)))
    return { ...nothing, words: choices.map((word) => ({ word, about: '' })) }
  if (bare === 'NAME|ID') return { ...nothing, kinds: ['container', 'image', 'network', 'volume'] }
  return {
    ...nothing,
    kinds: kindOf.filter(([pattern]) => pattern.test(bare)).map(([, kind]) => kind),
    files: choices.some((choice) => /^file$|PATH$/.test(choice)),
    behind: /^CONTAINER:/.test(bare) ? ':' : /^SERVICE=/.test(bare) ? '=' : '',
  }
}

const valueKinds: Readonly<Record<string, readonly Kind[]>> = {
  network: ['network'],
  net: ['network'],
  'volumes-from': ['container'],
  link: ['container'],
  volume: ['volume'],
}
const fileFlags =
  /^(file|env-file|label-file|cidfile|iidfile|metadata-file|project-directory|output|input|volume|build-context|secret)$/

const flagValue = (flag: Flag, before: string): Wanted => ({
  ...nothing,
  words: (flag.oneOf ?? []).map((word) => ({ word, about: '' })),
  kinds: valueKinds[flag.name] ?? [],
  files: fileFlags.test(flag.name),
  before,
})

/** Only these can be what such a command is for. */
const states: Readonly<Record<string, Kind>> = {
  ...Object.fromEntries(
    ['attach', 'exec', 'kill', 'pause', 'port', 'stop', 'top', 'unpause'].map((name) => [name, 'running' as const]),
  ),
  start: 'stopped',
}

/** `words`: those before the cursor, the last one up to it. */
export const complete = async (words: readonly string[], root: Place): Promise<Wanted> => {
  const current = words.at(-1) ?? ''
  let place = root
  let name = ''
  let taken = 0
  let flagsOver = false
  let waiting: Flag | undefined
  for (const word of words.slice(0, -1)) {
    if (waiting) waiting = undefined
    else if (!flagsOver && word === '--') flagsOver = true
    else if (!flagsOver && word.length > 1 && word.startsWith('-')) waiting = waitsFor(word, place.flags)
    else if (taken === 0 && Object.keys(place.inside).length > 0) {
      const next = Object.hasOwn(place.inside, word) ? place.inside[word]! : undefined
      if (!next) return nothing
      place = await next.load()
      name = word
    } else {
      taken++
      if (!place.interspersed) flagsOver = true
    }
  }
  if (waiting) return flagValue(waiting, '')
  if (!flagsOver && current.startsWith('-')) return flagsOf(current, place.flags)
  const inside = Object.entries(place.inside)
  if (inside.length > 0) return { ...nothing, words: inside.map(([word, { summary }]) => ({ word, about: summary })) }
  const argument = argumentOf(place.usage, taken)
  const kinds = argument.kinds.map((kind) => (kind === 'container' ? (states[name] ?? kind) : kind))
  // With the colon that separates a container from its path, paths follow.
  if (argument.behind === ':' && current.includes(':')) return nothing
  return { ...argument, kinds }
}

/** The flag whose value is the next word. */
const waitsFor = (word: string, flags: readonly Flag[]): Flag | undefined => {
  if (word.startsWith('--'))
    return word.includes('=') ? undefined : flags.find(({ name, kind }) => kind !== 'switch' && word === `--${name}`)
  for (const [i, letter] of [...word.slice(1)].entries()) {
    const flag = flags.find(({ short }) => short === letter)
    if (!flag) return undefined
    if (flag.kind !== 'switch') return i === word.length - 2 ? flag : undefined
  }
  return undefined
}

const flagsOf = (current: string, flags: readonly Flag[]): Wanted => {
  const at = current.indexOf('=')
  if (at > 0) {
    const flag = flags.find(({ name, kind }) => kind !== 'switch' && current.slice(0, at) === `--${name}`)
    return flag ? flagValue(flag, current.slice(0, at + 1)) : nothing
  }
  return {
    ...nothing,
    words: flags
      .flatMap(({ name, short, help }) => [
        { word: `--${name}`, about: help },
        ...(short !== undefined && !current.startsWith('--') ? [{ word: `-${short}`, about: help }] : []),
      ])
      .sort((a, b) => (a.word < b.word ? -1 : 1)),
  }
}
