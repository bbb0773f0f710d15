import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import type { Pair } from '../words.ts'
import { pairs } from '../words.ts'

export const label = instruction<Pair[]>('LABEL', {
  parse(statement) {
    readFlags(statement.flags)
    return pairs('LABEL', statement.rest, statement.escape)
  },
  lower(list, stage) {
    const set = list.map(({ key, value, legacy }): [string, string] => {
      if (legacy) stage.warn('LegacyKeyValueFormat', stage.word)
      return [stage.expand(key), stage.expand(value)]
    })
    return {
      config: { Labels: { ...stage.config.Labels, ...Object.fromEntries(set) } },
      history: `LABEL ${set.map(([key, value]) => `${key}=${value}`).join(' ')}`,
    }
  },
})
