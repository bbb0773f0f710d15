import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'

export const maintainer = instruction<{ name: string }>('MAINTAINER', {
  parse(statement) {
    readFlags(statement.flags)
    if (statement.rest === '') throw new SyntaxFault('MAINTAINER requires exactly one argument')
    return { name: statement.rest }
  },
  lower: ({ name }) => ({ author: name, history: `MAINTAINER ${name}` }),
})
