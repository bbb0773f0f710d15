import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'
import { blankWords, jsonArray } from '../words.ts'

export const volume = instruction<{ paths: string[] }>('VOLUME', {
  parse(statement) {
    readFlags(statement.flags)
    const paths = jsonArray(statement.rest) ?? blankWords(statement.rest)
    if (paths.length === 0) throw new SyntaxFault('VOLUME requires at least one argument')
    if (paths.some((path) => path.trim() === '')) throw new SyntaxFault('VOLUME specified can not be an empty string')
    return { paths }
  },
  lower(node, stage) {
    const paths = node.paths.map((path) => stage.expand(path))
    if (paths.includes('')) throw new SyntaxFault('VOLUME specified can not be an empty string')
    const declared = Object.fromEntries(paths.map((path): [string, Record<string, never>] => [path, {}]))
    return { config: { Volumes: { ...stage.config.Volumes, ...declared } }, history: `VOLUME [${paths.join(' ')}]` }
  },
})
