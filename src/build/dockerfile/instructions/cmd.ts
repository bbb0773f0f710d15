import type { CommandLine } from '../command-line.ts'
import { argvOf, commandLine, quoted } from '../command-line.ts'
import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'

export const cmd = instruction<CommandLine>('CMD', {
  parse(statement) {
    readFlags(statement.flags)
    return commandLine(statement.rest)
  },
  lower(line, stage) {
    if (stage.seen.has('CMD')) stage.warn('MultipleInstructionsDisallowed', 'CMD')
    if (line.shell && !stage.config.Shell?.length) stage.warn('JSONArgsRecommended', 'CMD')
    const args = argvOf(line, stage.config)
    return { config: { Cmd: args, ArgsEscaped: true }, history: `CMD ${quoted(args)}` }
  },
})
