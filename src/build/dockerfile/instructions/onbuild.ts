import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'
import { splitCommand } from '../words.ts'

export const onbuild = instruction<{ expression: string }>('ONBUILD', {
  parse(statement) {
    readFlags(statement.flags)
    if (statement.rest === '') throw new SyntaxFault('ONBUILD requires at least one argument')
    const trigger = splitCommand(statement.rest).name.toUpperCase()
    if (trigger === 'ONBUILD') throw new SyntaxFault("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if (trigger === 'FROM' || trigger === 'MAINTAINER')
      throw new SyntaxFault(`${trigger} isn't allowed as an ONBUILD trigger`)
    const documents = statement.heredocs.map(({ content, name }) => `\n${content}${name}`)
    return { expression: statement.text.replace(/^\s*ONBUILD\s*/i, '') + documents.join('') }
  },
  // BuildKit's history does not tell of it.
  lower: ({ expression }, stage) => ({
    config: { OnBuild: [...(stage.config.OnBuild ?? []), expression] },
  }),
})
