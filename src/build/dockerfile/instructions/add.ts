import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import type { Transfer } from '../transfer.ts'
import { lowerTransfer, parseTransfer, readBy } from '../transfer.ts'

export const add = instruction<Transfer>('ADD', {
  step: true,
  parse(statement) {
    const flags = readFlags(statement.flags, {
      chown: 'string',
      chmod: 'string',
      link: 'boolean',
      exclude: 'list',
      'keep-git-dir': 'boolean',
      checksum: 'string',
      unpack: 'boolean',
    })
    return {
      ...parseTransfer('ADD', statement),
      ...readBy(flags),
      checksum: flags.string('checksum') || undefined,
      unpack: flags.boolean('unpack'),
      keepGitDir: flags.boolean('keep-git-dir'),
    }
  },
  lower: lowerTransfer,
})
