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
    stage.onlyOnce()
    if (line.shell && !stage.config.Shell?.length) stage.warn('JSONArgsRecommended', stage.word)
    const args = argvOf(line, stage)
    return { config: { Cmd: args, ArgsEscaped: true }, history: `CMD ${quoted(args)}` }
  },
})
