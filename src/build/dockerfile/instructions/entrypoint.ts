import type { CommandLine } from '../command-line.ts'
import { argvOf, commandLine, quoted } from '../command-line.ts'
import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'

export const entrypoint = instruction<CommandLine>('ENTRYPOINT', {
  parse(statement) {
    readFlags(statement.flags)
    return commandLine(statement.rest)
  },
  lower(line, stage) {
    stage.onlyOnce()
    if (line.shell && !stage.config.Shell?.length) stage.warn('JSONArgsRecommended', stage.word)
    const args = argvOf(line, stage)
    // A CMD that came with the base was meant for the base's entrypoint.
    const cleared = stage.seen.has('CMD') ? {} : { Cmd: undefined }
    return { config: { Entrypoint: args, ...cleared }, history: `ENTRYPOINT ${quoted(args)}` }
  },
})
