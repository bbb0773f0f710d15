import type { ErrorCode, SourcePosition } from '../../errors.ts'
import { SlipwayError } from '../../errors.ts'

/** A Dockerfile as the user wrote it, for positions and excerpts. */
export interface Source {
  /** As shown to the user, e.g. 'Dockerfile' or 'docker/api.Dockerfile'. */
  file: string
  lines: string[]
  /** The same with what ends them, "\n" or "\r\n". */
  whole: string[]
}
/** First and last line of an instruction, counted from 1, both inclusive. */
export interface Range {
  start: number
  end: number
}

export const sourceOf = (file: string, text: string): Source => {
  const pieces = text.replace(/^\uFEFF/, '').split('\n')
  const whole = pieces.map((piece, at) => (at < pieces.length - 1 ? `${piece}\n` : piece))
  return { file, lines: pieces.map((piece) => piece.replace(/\r+$/, '')), whole }
}

const rule = '-'.repeat(20)

/**
 * The lines around `range`, those of it marked with `>>>`, in BuildKit's layout; with `column` (from 1) a caret line points
 * into the first line of the range.
 */
export const excerpt = (source: Source, range: Range, column?: number): string => {
  const spare = Math.max(0, 5 - (range.end - range.start + 1))
  const first = Math.max(1, range.start - Math.ceil(spare / 2))
  const last = Math.min(source.lines.length, range.end + Math.floor(spare / 2))
  const out = [`${source.file}:${range.start}`, rule]
  for (let line = first; line <= last; line++) {
    const mark = line >= range.start && line <= range.end ? '>>>' : '   '
    out.push(` ${String(line).padStart(3)} | ${mark} ${source.lines[line - 1] ?? ''}`.trimEnd())
    if (line === range.start && column !== undefined) out.push(`     |     ${' '.repeat(column - 1)}^`)
  }
  out.push(rule)
  return out.join('\n')
}

export const positionOf = (source: Source, range: Range, column?: number): SourcePosition => ({
  file: source.file,
  line: range.start,
  ...(column === undefined ? {} : { column }),
})

/** What a parser throws; `withSource` turns it into an error that points into the file. */
export class SyntaxFault extends Error {
  readonly hint: string | undefined
  /** A piece of the instruction's text the fault is about: the caret goes there. */
  readonly near: string | undefined
  constructor(message: string, more: { hint?: string | undefined; near?: string | undefined } = {}) {
    super(message)
    this.hint = more.hint
    this.near = more.near
  }
}

/** Column (from 1) of `near` in the first line of `range`, else of its first character that is no blank. */
export const columnOf = (source: Source, range: Range, near?: string): number => {
  const line = source.lines[range.start - 1] ?? ''
  const at = near ? line.indexOf(near) : -1
  return at >= 0 ? at + 1 : line.length - line.trimStart().length + 1
}

/** An error in the words of BuildKit that carries `at` and, in details.source, the excerpt with a caret. */
export const faultAt = (
  source: Source,
  range: Range,
  fault: Pick<SyntaxFault, 'message' | 'hint' | 'near'> & { code?: ErrorCode; cause?: unknown; details?: object },
): SlipwayError => {
  const column = columnOf(source, range, fault.near)
  return new SlipwayError(fault.code ?? 'invalid', fault.message, {
    hint: fault.hint,
    at: positionOf(source, range, column),
    details: { ...fault.details, source: excerpt(source, range, column) },
    cause: fault.cause,
  })
}

/** Runs a parser; what it throws becomes `dockerfile parse error on line N: …`. */
export const parsing = <T>(source: Source, range: Range, parse: () => T): T => {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error
    const message = `dockerfile parse error on line ${range.start}: ${error.message}`
    throw faultAt(source, range, { message, hint: error.hint, near: error.near, cause: error })
  }
}

/** Runs a step of lowering; what it throws gets the instruction's position. */
export const lowering = <T>(source: Source, range: Range, step: () => T): T => {
  try {
    return step()
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error
    throw faultAt(source, range, { message: error.message, hint: error.hint, near: error.near, cause: error })
  }
}
