/** The checks that need nothing but the file. */
import { type ArgDeclaration, readArgs } from '../dockerfile/instructions/arg.ts'
import type { Statement } from '../dockerfile/lines.ts'
import type { Dockerfile } from '../dockerfile/parser.ts'
import type { Lint } from './lint.ts'

const reserved = new Set(['scratch', 'context'])

/** All of them. */
export const checkStructure = (dockerfile: Dockerfile, lint: Lint): void => {
  checkStatements(dockerfile, lint)
  checkNames(dockerfile, lint)
  checkCasing(dockerfile, lint)
}

/** Those that look at one instruction at a time: they hold for a part of a file, too. */
export const checkStatements = (dockerfile: Dockerfile, lint: Lint): void => {
  for (const range of dockerfile.lines.emptyContinuations) lint.warn('NoEmptyContinuation', range, [])
  for (const { statement, declarations } of dockerfile.globals)
    checkDescription('ARG', keysOf(declarations), statement, lint)
  for (const { from, statement, commands } of dockerfile.stages) {
    const { range, word } = statement
    const { name, writtenName, writtenAs } = from
    if (name !== undefined && writtenName !== undefined && writtenName !== name)
      lint.warn('StageNameCasing', range, [writtenName])
    if (writtenAs !== undefined && ((isLower(word) && !isLower(writtenAs)) || (isUpper(word) && !isUpper(writtenAs))))
      lint.warn('FromAsCasing', range, [writtenAs, word])
    if (name !== undefined) checkDescription('FROM', [name], statement, lint)
    for (const command of commands) {
      if (command.name === 'MAINTAINER') lint.warn('MaintainerDeprecated', command.statement.range, [])
      if (command.name === 'ARG') checkDescription('ARG', keysOf(readArgs(command.statement)), command.statement, lint)
    }
  }
}

const keysOf = (declarations: readonly ArgDeclaration[]): string[] => declarations.map(({ key }) => key)

const checkNames = ({ stages }: Dockerfile, lint: Lint): void => {
  const names = new Set<string>()
  for (const { from, statement } of stages) {
    if (from.name === undefined) continue
    if (reserved.has(from.name)) lint.warn('ReservedStageName', statement.range, [from.name])
    if (names.has(from.name)) lint.warn('DuplicateStageName', statement.range, [from.name])
    names.add(from.name)
  }
}

const isLower = (text: string): boolean => text === text.toLowerCase()
const isUpper = (text: string): boolean => text === text.toUpperCase()

/** Instructions in another case than most are reported, ARGs above the first FROM apart; a tie counts as upper case. */
const checkCasing = ({ stages }: Dockerfile, lint: Lint): void => {
  const words = stages.flatMap((stage) => [stage.statement, ...stage.commands.map(({ statement }) => statement)])
  const lower = words.filter(({ word }) => isLower(word)).length
  const upper = words.filter(({ word }) => isUpper(word)).length
  const matches = lower > upper ? isLower : isUpper
  for (const { word, range } of words)
    if (!matches(word))
      lint.warn('ConsistentInstructionCasing', range, [word, lower > upper ? 'lowercase' : 'uppercase'])
}

/** The last comment above a named FROM or an ARG describes it: it begins with the name, or with one of the names. */
const checkDescription = (
  instruction: string,
  names: readonly string[],
  { comments, range }: Statement,
  lint: Lint,
): void => {
  const comment = comments.at(-1)
  if (comment === undefined || names.includes(comment.split(' ')[0]!)) return
  lint.warn('InvalidDefinitionDescription', range, [instruction, names.length > 1 ? '<arg_key>' : names[0]!])
}
