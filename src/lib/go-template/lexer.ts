/** Tokens of Go's text/template, with the byte they begin at. */

export class TemplateError extends Error {}

export interface Token {
  kind:
    | 'text'
    | 'open'
    | 'close'
    | 'field'
    | 'variable'
    | 'word'
    | 'string'
    | 'number'
    | 'char'
    | 'mark'
    | 'space'
    | 'end'
  text: string
  /** Offset in the template. */
  at: number
}

const blank = /[ \t\r\n]/

export const lineOf = (source: string, at: number): number => source.slice(0, at).split('\n').length

export const parseFailure = (source: string, at: number, message: string): TemplateError =>
  new TemplateError(`template: :${lineOf(source, at)}: ${message}`)

/** Patterns of what may stand in an action, tried in order. */
const inside: [Token['kind'], RegExp][] = [
  ['space', /[ \t\r\n]+/y],
  ['string', /"(?:\\[^\n]|[^"\\\n])*"|`[^`]*`/y],
  ['char', /'(?:\\[^\n]+?|[^'\\\n])'/y],
  ['number', /[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)/y],
  ['field', /\.[A-Za-z_][A-Za-z0-9_]*/y],
  ['variable', /\$[A-Za-z0-9_]*/y],
  ['mark', /:=|[.|(),=]/y],
  ['word', /[A-Za-z_][A-Za-z0-9_]*/y],
]

export const lex = (source: string): Token[] => {
  const tokens: Token[] = []
  let at = 0
  let trimNext = false
  const text = (from: number, to: number, trimEnd: boolean): void => {
    let body = source.slice(from, to)
    if (trimNext) body = body.replace(/^[ \t\r\n]+/, '')
    if (trimEnd) body = body.replace(/[ \t\r\n]+$/, '')
    trimNext = false
    if (body !== '') tokens.push({ kind: 'text', text: body, at: from })
  }
  for (;;) {
    const open = source.indexOf('{{', at)
    if (open < 0) break
    const trims = source[open + 2] === '-' && blank.test(source[open + 3] ?? '')
    text(at, open, trims)
    at = open + (trims ? 3 : 2)
    const comment = /[ \t\r\n]*\/\*/y
    comment.lastIndex = at
    if (comment.test(source)) {
      const end = source.indexOf('*/', at)
      if (end < 0) throw parseFailure(source, open, 'unclosed comment')
      const close = /[ \t\r\n]*(-?)\}\}/y
      close.lastIndex = end + 2
      const closed = close.exec(source)
      if (!closed) throw parseFailure(source, open, 'comment ends before closing delimiter')
      trimNext = closed[1] === '-'
      at = close.lastIndex
      continue
    }
    tokens.push({ kind: 'open', text: '{{', at: open })
    ;({ at, trimNext } = action(source, at, open, tokens))
  }
  text(at, source.length, false)
  tokens.push({ kind: 'end', text: '', at: source.length })
  return tokens
}

const action = (source: string, from: number, open: number, tokens: Token[]): { at: number; trimNext: boolean } => {
  let at = from
  let depth = 0
  for (;;) {
    const trims = /[ \t\r\n]-\}\}/y
    trims.lastIndex = at
    const trimNext = trims.test(source)
    if (trimNext || source.startsWith('}}', at)) {
      if (depth > 0) throw parseFailure(source, at, 'unclosed left paren')
      tokens.push({ kind: 'close', text: '}}', at })
      return { at: at + (trimNext ? 4 : 2), trimNext }
    }
    if (at >= source.length) throw parseFailure(source, open, 'unclosed action')
    const found = inside
      .map(([kind, pattern]) => {
        pattern.lastIndex = at
        const match = pattern.exec(source)
        return match && { kind, text: match[0], at }
      })
      .find((each) => each !== null)
    if (!found) throw refusedAt(source, at, open)
    if (found.text === '(') depth++
    if (found.text === ')' && --depth < 0) throw parseFailure(source, at, 'unexpected right paren')
    tokens.push(found)
    at += found.text.length
  }
}

const refusedAt = (source: string, at: number, open: number): TemplateError => {
  const letter = source[at]!
  if (letter === '"') return parseFailure(source, at, 'unterminated quoted string')
  if (letter === '`') return parseFailure(source, at, 'unterminated raw quoted string')
  if (letter === "'") return parseFailure(source, at, 'unterminated character constant')
  if (letter === '\n') return parseFailure(source, open, 'unclosed action')
  const code = letter.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')
  return parseFailure(source, at, `unrecognized character in action: U+${code} '${letter}'`)
}
