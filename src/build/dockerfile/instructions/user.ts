import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'

export const user = instruction<{ user: string }>('USER', {
  parse(statement) {
    readFlags(statement.flags)
    if (statement.rest === '') throw new SyntaxFault('USER requires exactly one argument')
    return { user: statement.rest }
  },
  lower(node, stage) {
    const name = stage.expand(node.user)
    return { config: { User: name }, history: `USER ${name}` }
  },
})
