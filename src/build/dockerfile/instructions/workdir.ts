import { posix } from 'node:path'
import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'

export const workdir = instruction<{ path: string }>('WORKDIR', {
  step: true,
  parse(statement) {
    readFlags(statement.flags)
    if (statement.rest === '') throw new SyntaxFault('WORKDIR requires exactly one argument')
    return { path: statement.rest }
  },
  lower(node, stage) {
    const given = stage.expand(node.path)
    if (!posix.isAbsolute(given) && !stage.workdirSet) stage.warn('WorkdirRelativePath', given)
    const path = posix.resolve('/', stage.config.WorkingDir ?? '', given)
    const made = path === '/' ? {} : { op: { kind: 'mkdir', path, owner: stage.config.User || undefined } as const }
    return { config: { WorkingDir: path }, ...made, history: `WORKDIR ${path}` }
  },
})
