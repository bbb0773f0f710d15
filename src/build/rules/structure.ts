/** The checks that need nothing but the file. */
import type { Dockerfile, Stage } from '../dockerfile/parser.ts'
import type { Lint } from './lint.ts'

const reserved = new Set(['scratch', 'context'])

export const checkStructure = (dockerfile: Dockerfile, lint: Lint): void => {
  for (const range of dockerfile.lines.emptyContinuations) lint.warn('NoEmptyContinuation', range, [])
  checkCasing(dockerfile, lint)
  const names = new Set<string>()
  for (const stage of dockerfile.stages) {
    checkStageName(stage, names, lint)
    for (const { name, statement } of stage.commands)
      if (name === 'MAINTAINER') lint.warn('MaintainerDeprecated', statement.range, [])
  }
  checkDescriptions(dockerfile, lint)
}

const checkStageName = ({ from, statement }: Stage, names: Set<string>, lint: Lint): void => {
  const { name, writtenName, writtenAs } = from
  if (name === undefined || writtenName === undefined || writtenAs === undefined) return
  const { range, word } = statement
  if (writtenName !== name) lint.warn('StageNameCasing', range, [writtenName])
  if ((isLower(word) && !isLower(writtenAs)) || (isUpper(word) && !isUpper(writtenAs)))
    lint.warn('FromAsCasing', range, [writtenAs, word])
  if (names.has(name)) lint.warn('DuplicateStageName', range, [writtenName])
  if (reserved.has(name)) lint.warn('ReservedStageName', range, [writtenName])
  names.add(name)
}

const isLower = (text: string): boolean => text === text.toLowerCase()
const isUpper = (text: string): boolean => text === text.toUpperCase()

/** Instructions in another case than most are reported; a tie counts as upper case. */
const checkCasing = (dockerfile: Dockerfile, lint: Lint): void => {
  const words = dockerfile.lines.statements
  const lower = words.filter(({ word }) => isLower(word)).length
  const upper = words.filter(({ word }) => isUpper(word)).length
  const matches = lower > upper ? isLower : isUpper
  for (const { word, range } of words)
    if (!matches(word))
      lint.warn('ConsistentInstructionCasing', range, [word, lower > upper ? 'lowercase' : 'uppercase'])
}

/** A comment right above a named FROM or a global ARG describes it and begins with its name. */
const checkDescriptions = (dockerfile: Dockerfile, lint: Lint): void => {
  const check = (
    instruction: string,
    name: string | undefined,
    comments: string[],
    range: { start: number; end: number },
  ): void => {
    const comment = comments.at(-1)
    if (name !== undefined && comment !== undefined && !comment.startsWith(`${name} `))
      lint.warn('InvalidDefinitionDescription', range, [instruction, name])
  }
  for (const { statement, from } of dockerfile.stages)
    check('FROM', from.writtenName, statement.comments, statement.range)
  for (const { statement, declarations } of dockerfile.globals)
    check('ARG', declarations[0]?.key, statement.comments, statement.range)
}
