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
      config: { Env: set.reduce(withVariable, stage.config.Env ?? []) },
      env: set,
      history: `ENV ${set.map(([key, value]) => `${key}=${value}`).join(' ')}`,
    }
  },
})

/** Replaces the variable in place, or appends it. */
const withVariable = (list: string[], [key, value]: [string, string]): string[] => {
  const at = list.findIndex((entry) => entry.split('=', 1)[0] === key)
  return at < 0 ? [...list, `${key}=${value}`] : list.with(at, `${key}=${value}`)
}
