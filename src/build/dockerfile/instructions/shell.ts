import { commandLine } from '../command-line.ts'
import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'

export const shell = instruction<{ args: string[] }>('SHELL', {
  parse(statement) {
    readFlags(statement.flags)
    const line = commandLine(statement.rest)
    if (line.shell && line.args.length > 0) {
      throw new SyntaxFault(`SHELL requires the arguments to be in JSON form: ${statement.rest}`, {
        hint: 'For example SHELL ["/bin/bash", "-c"].',
      })
    }
    if (line.args.length === 0) throw new SyntaxFault('SHELL requires at least one argument')
    return { args: line.args }
  },
  lower: ({ args }) => ({ config: { Shell: args }, history: `SHELL [${args.join(' ')}]` }),
})
