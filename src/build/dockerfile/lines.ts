/** Physical lines to statements: comments, continuations, here-documents. */
import type { Directives } from './directives.ts'
import type { Heredoc } from './heredoc.ts'
import { heredocsIn } from './heredoc.ts'
import type { Range, Source } from './source.ts'
import { faultAt } from './source.ts'
import { jsonArray, splitCommand } from './words.ts'

export interface Statement {
  /** Upper case. */
  name: string
  /** As written. */
  word: string
  flags: string[]
  /** What follows name and flags, trimmed. */
  rest: string
  heredocs: Heredoc[]
  /** The whole logical line, without here-documents. */
  text: string
  range: Range
  /** Comment lines directly above, down from the last empty one. */
  comments: string[]
  escape: string
}
export interface Lines {
  statements: Statement[]
  /** Last lines of the instructions that have empty ones within. */
  emptyContinuations: Range[]
}

const withHeredocs = new Set(['ADD', 'COPY', 'RUN'])

export const splitLines = (source: Source, directives: Pick<Directives, 'escape' | 'count'>): Lines => {
  const escapeChar = directives.escape
  const quoted = escapeChar === '\\' ? '\\\\' : escapeChar
  const continuation = new RegExp(`(^|[^${quoted}])${quoted}[ \\t]*$`)
  const statements: Statement[] = []
  const emptyContinuations: Range[] = []
  let comments: string[] = []
  let at = 0
  while (at < source.lines.length) {
    const first = source.lines[at++]!.trimStart()
    if (first === '') {
      comments = []
      continue
    }
    if (first.startsWith('#')) {
      const comment = first.slice(1).trim()
      if (comment === '') comments = []
      else if (at > directives.count) comments.push(comment)
      continue
    }
    const range: Range = { start: at, end: at }
    let text = first
    let open = continuation.test(text)
    if (open) text = text.replace(continuation, '$1')
    let isGapped = false
    while (open && at < source.lines.length) {
      const line = source.lines[at++]!
      if (line.trimStart().startsWith('#')) continue
      // The last line of a file that ends in a newline is no line.
      if (line.trim() === '') {
        isGapped ||= at < source.lines.length
        continue
      }
      open = continuation.test(line)
      text += open ? line.replace(continuation, '$1') : line
    }
    range.end = Math.min(at, source.lines.length)
    if (isGapped) emptyContinuations.push({ start: range.end, end: range.end })
    if (text.trim() === '') continue
    const statement = statementOf(text, range, escapeChar, comments)
    comments = []
    at = readHeredocs(source, statement, at)
    checkText(source, statement)
    statements.push(statement)
  }
  return { statements, emptyContinuations }
}

/** Programs, variables and labels are text. In comments other bytes do no harm. */
const checkText = (source: Source, { text, heredocs, range }: Statement): void => {
  if ([text, ...heredocs.map(({ content }) => content)].every((each) => each.isWellFormed())) return
  throw faultAt(source, range, {
    message: `dockerfile parse error on line ${range.start}: invalid UTF-8`,
    hint: 'Save the file as UTF-8, or keep what is in another encoding in a file of its own.',
    near: undefined,
  })
}

const statementOf = (text: string, range: Range, escapeChar: string, comments: string[]): Statement => {
  const { name, flags, rest } = splitCommand(text)
  return {
    name: name.toUpperCase(),
    word: name,
    flags,
    rest,
    heredocs: [],
    text: text.trimEnd(),
    range,
    comments,
    escape: escapeChar,
  }
}

/** The instruction that may carry here-documents: of `ONBUILD RUN …` it is RUN. */
const carrier = (statement: Statement): { name: string; rest: string } => {
  if (statement.name !== 'ONBUILD') return statement
  const { name, rest } = splitCommand(statement.rest)
  return { name: name.toUpperCase(), rest }
}

const readHeredocs = (source: Source, statement: Statement, from: number): number => {
  const { name, rest } = carrier(statement)
  if (!withHeredocs.has(name) || !rest.includes('<<') || isJson(rest)) return from
  let at = from
  for (const heredoc of heredocsIn(statement.text, statement.escape)) {
    for (;;) {
      const line = source.lines[at]
      if (line === undefined) {
        throw faultAt(source, statement.range, {
          message: `dockerfile parse error on line ${statement.range.start}: unterminated heredoc`,
          hint: `A line that is just ${heredoc.name} must end it.`,
          near: '<<',
        })
      }
      const whole = source.whole[at++]!
      if ((heredoc.chomp ? line.replace(/^\t+/, '') : line) === heredoc.name) break
      heredoc.content += whole
    }
    statement.heredocs.push(heredoc)
    statement.range.end = at
  }
  return at
}

const isJson = (text: string): boolean => {
  try {
    return jsonArray(text) !== undefined
  } catch {
    return true
  }
}
