import { readFlags } from '../flags.ts'
import type { Statement } from '../lines.ts'
import { SyntaxFault } from '../source.ts'
import { blankWords } from '../words.ts'

export interface From {
  /** Not expanded. */
  base: string
  /** Lower case; undefined: a stage without a name. */
  name: string | undefined
  /** As written, of AS too. */
  writtenName: string | undefined
  writtenAs: string | undefined
  platform: string | undefined
}

export const parseFrom = (statement: Statement): From => {
  const words = blankWords(statement.rest)
  const [base = '', as, name] = words
  if (words.length !== 1 && !(words.length === 3 && as!.toLowerCase() === 'as'))
    throw new SyntaxFault('FROM requires either one or three arguments')
  if (name !== undefined && !/^[a-z][a-z0-9-_.]*$/.test(name.toLowerCase())) {
    const message = `invalid name for build stage: "${name}", name can't start with a number or contain symbols`
    throw new SyntaxFault(message, { near: name })
  }
  const flags = readFlags(statement.flags, { platform: 'string' })
  return { base, name: name?.toLowerCase(), writtenName: name, writtenAs: as, platform: flags.string('platform') }
}
