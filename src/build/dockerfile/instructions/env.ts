import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { looksSecret } from '../secret-names.ts'
import type { Pair } from '../words.ts'
import { pairs } from '../words.ts'

export const env = instruction<Pair[]>('ENV', {
  parse(statement) {
    readFlags(statement.flags)
    return pairs('ENV', statement.rest, statement.escape)
  },
  lower(list, stage) {
    // All words see the values from before this instruction.
    const set = list.map(({ key, value, legacy }): [string, string] => {
      if (legacy) stage.warn('LegacyKeyValueFormat', stage.word)
      if (looksSecret(key)) stage.warn('SecretsUsedInArgOrEnv', 'ENV', key)
      return [stage.expand(key), stage.expand(value)]
    })
    return {
      config: { Env: withVariables(stage.config.Env ?? [], set) },
      env: set,
      history: `ENV ${set.map(([key, value]) => `${key}=${value}`).join(' ')}`,
    }
  },
})

/** More than these are looked for in a map of all. */
const few = 8

/** Replaces variables in place, or appends them. */
const withVariables = (list: readonly string[], set: readonly [string, string][]): string[] => {
  const found = [...list]
  const places = new Map<string, number>()
  if (set.length > few)
    for (const [i, entry] of list.entries()) {
      const [name = ''] = entry.split('=', 1)
      if (!places.has(name)) places.set(name, i)
    }
  const placeOf = (key: string): number =>
    set.length > few
      ? (places.get(key) ?? -1)
      : found.findIndex((entry) => entry.startsWith(key) && (entry.length === key.length || entry[key.length] === '='))
  for (const [key, value] of set) {
    const at = placeOf(key)
    if (at < 0) places.set(key, found.push(`${key}=${value}`) - 1)
    else found[at] = `${key}=${value}`
  }
  return found
}
