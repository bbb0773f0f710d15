/** A Dockerfile's text to stages of parsed instructions. Nothing is expanded here. */
import type { Directives } from './directives.ts'
import { parseDirectives } from './directives.ts'
import type { Command, Instruction } from './instruction.ts'
import { add } from './instructions/add.ts'
import type { ArgDeclaration } from './instructions/arg.ts'
import { arg } from './instructions/arg.ts'
import { cmd } from './instructions/cmd.ts'
import { copy } from './instructions/copy.ts'
import { entrypoint } from './instructions/entrypoint.ts'
import { env } from './instructions/env.ts'
import { expose } from './instructions/expose.ts'
import type { From } from './instructions/from.ts'
import { parseFrom } from './instructions/from.ts'
import { healthcheck } from './instructions/healthcheck.ts'
import { label } from './instructions/label.ts'
import { maintainer } from './instructions/maintainer.ts'
import { onbuild } from './instructions/onbuild.ts'
import { run } from './instructions/run.ts'
import { shell } from './instructions/shell.ts'
import { stopsignal } from './instructions/stopsignal.ts'
import { user } from './instructions/user.ts'
import { volume } from './instructions/volume.ts'
import { workdir } from './instructions/workdir.ts'
import type { Lines, Statement } from './lines.ts'
import { splitLines } from './lines.ts'
import { suggest } from './nearest.ts'
import type { Range, Source } from './source.ts'
import { faultAt, parsing, SyntaxFault, sourceOf } from './source.ts'

export interface Stage {
  index: number
  from: From
  statement: Statement
  commands: Command[]
}
export interface Dockerfile {
  source: Source
  directives: Directives
  lines: Lines
  /** ARGs above the first FROM. */
  globals: { declarations: ArgDeclaration[]; statement: Statement }[]
  stages: Stage[]
}

const instructions = new Map<string, Instruction<never>>(
  [
    add,
    arg,
    cmd,
    copy,
    entrypoint,
    env,
    expose,
    healthcheck,
    label,
    maintainer,
    onbuild,
    run,
    shell,
    stopsignal,
    user,
    volume,
    workdir,
  ].map((known) => [known.name, known as Instruction<never>]),
)
const instructionNames = ['FROM', ...instructions.keys()]

/**
 * Reads a Dockerfile; an error is 'invalid', in BuildKit's words, with position, source lines and a caret. Where an instruction
 * is wrong, `onFault` gets what stands above it.
 */
export const parseDockerfile = (
  file: string,
  text: string,
  onFault: (above: Dockerfile) => void = () => {},
): Dockerfile => {
  const source = sourceOf(file, text)
  const directives = parseDirectives(source)
  const lines = splitLines(source, directives)
  const whole: Range = { start: 1, end: Math.max(1, source.lines.length) }
  if (lines.statements.length === 0)
    throw faultAt(source, { start: 1, end: 1 }, new SyntaxFault('file with no instructions'))
  const dockerfile: Dockerfile = { source, directives, lines, globals: [], stages: [] }
  try {
    for (const statement of lines.statements) parsing(source, statement.range, () => place(dockerfile, statement))
  } catch (error) {
    onFault(dockerfile)
    throw error
  }
  if (dockerfile.stages.length === 0) {
    throw faultAt(
      source,
      whole,
      new SyntaxFault('dockerfile contains no stages to build', { hint: 'It needs a FROM.' }),
    )
  }
  return dockerfile
}

const place = (dockerfile: Dockerfile, statement: Statement): void => {
  const stage = dockerfile.stages.at(-1)
  if (statement.name === 'FROM') {
    const index = dockerfile.stages.length
    dockerfile.stages.push({ index, from: parseFrom(statement), statement, commands: [] })
  } else if (!stage && statement.name === 'ARG') {
    dockerfile.globals.push({ declarations: arg.parse(statement), statement })
  } else {
    const command = commandOf(statement)
    if (!stage)
      throw new SyntaxFault('no build stage in current context', { hint: 'The first instruction must be FROM.' })
    stage.commands.push(command)
  }
}

const commandOf = (statement: Statement): Command => {
  const known = instructions.get(statement.name)
  if (known) return known.command(statement)
  throw new SyntaxFault(suggest(`unknown instruction: ${statement.word}`, statement.word, instructionNames, true), {
    near: statement.word,
  })
}

/** An ONBUILD trigger of a base as an instruction of the stage whose FROM is `at`. */
export const parseTrigger = (expression: string, at: Range): Command => {
  const source = sourceOf('ONBUILD', expression)
  const { statements } = splitLines(source, { escape: '\\', count: 0 })
  if (statements.length !== 1) throw new SyntaxFault('onbuild trigger should be a single expression')
  const statement = { ...statements[0]!, range: at }
  if (statement.name === 'FROM') throw new SyntaxFault("FROM isn't allowed as an ONBUILD trigger")
  return { ...commandOf(statement), onBuild: true }
}
