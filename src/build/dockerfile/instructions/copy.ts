import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'
import type { Transfer } from '../transfer.ts'
import { lowerTransfer, parseTransfer, readBy } from '../transfer.ts'

export const copy = instruction<Transfer>('COPY', {
  step: true,
  uses: (node) => (node.from === undefined ? [] : [node.from]),
  parse(statement) {
    const flags = readFlags(statement.flags, {
      from: 'string',
      chown: 'string',
      chmod: 'string',
      link: 'boolean',
      parents: 'boolean',
      exclude: 'list',
    })
    const from = flags.string('from') || undefined
    if (from?.includes('$')) {
      throw new SyntaxFault(
        'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
        { near: '--from' },
      )
    }
    return { ...parseTransfer('COPY', statement), ...readBy(flags), from, parents: flags.boolean('parents') ?? false }
  },
  lower: lowerTransfer,
})
