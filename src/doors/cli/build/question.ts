/** `--call NAME[,format=…][,ignorestatus=…]` and `--check`: a question about a Dockerfile instead of a build. */
import type { Question } from '../../../build/types.ts'
import { messageOf } from '../../../errors.ts'
import { csv } from '../../../lib/csv.ts'
import { goBool } from '../../../lib/go-bool.ts'
import { Exit } from '../framework/failure.ts'
import type { Flags } from '../framework/flags.ts'

export interface Asked {
  what: Question
  json: boolean
  /** Exit with 0 whatever is found. */
  ignoresStatus: boolean
}

const questions: Record<string, Question | undefined> = {
  check: 'check',
  lint: 'check',
  outline: 'outline',
  targets: 'targets',
}

/** undefined: a build. */
export const questionOf = (flags: Flags): Asked | undefined => {
  const given = (flags.call as string | undefined) ?? (flags.check === true ? 'check' : 'build')
  let name = ''
  let json = false
  let ignoresStatus = false
  for (const field of fieldsOf(given)) {
    const [, key, value = ''] = /^([^=]*)=(.*)$/s.exec(field) ?? []
    if (key === 'format') json = value === 'json'
    else if (key === 'ignorestatus') ignoresStatus = booleanOf(value)
    else if (key !== undefined) throw new Exit(1, `ERROR: invalid print field: ${field}`)
    else if (name !== '') throw new Exit(1, `ERROR: invalid print value: ${given}`)
    else name = field
  }
  if (name === 'build' || name === '') return undefined
  const what = questions[name]
  if (!what) throw new Exit(1, `ERROR: call ${JSON.stringify(name)} is not known: build, check, outline or targets`)
  return { what, json, ignoresStatus }
}

const fieldsOf = (text: string): string[] => {
  try {
    return csv(text)
  } catch (error) {
    throw new Exit(1, `ERROR: ${messageOf(error)}`)
  }
}

const booleanOf = (text: string): boolean => {
  const known = goBool(text)
  if (known === undefined) throw new Exit(1, `ERROR: invalid ignorestatus print value: ${text}`)
  return known
}
