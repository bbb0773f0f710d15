import { SyntaxFault } from './source.ts'

/** `COPY --from=a b c` → name 'COPY', flags ['--from=a'], rest 'b c'. */
export const splitCommand = (line: string): { name: string; flags: string[]; rest: string } => {
  const text = line.trim()
  const match = /[\t\v\f\r ]+/.exec(text)
  if (!match) return { name: text, flags: [], rest: '' }
  const { flags, rest } = takeFlags(text.slice(match.index + match[0].length))
  return { name: text.slice(0, match.index), flags, rest: rest.trim() }
}

/** Takes the leading `--…` words; quotes and backslashes are as in a shell; a lone `--` ends them. */
export const takeFlags = (text: string): { flags: string[]; rest: string } => {
  const flags: string[] = []
  let at = 0
  for (;;) {
    while (/\s/.test(text[at] ?? '')) at++
    if (!text.startsWith('--', at)) return { flags, rest: text.slice(at) }
    let word = ''
    let quote = ''
    for (; at < text.length; at++) {
      const char = text[at]!
      if (quote === '' && /\s/.test(char)) break
      if (quote === '' && (char === "'" || char === '"')) quote = char
      else if (char === quote) quote = ''
      else if (char === '\\') word += text[++at] ?? ''
      else word += char
    }
    if (word === '--') return { flags, rest: text.slice(at) }
    flags.push(word)
  }
}

/** Splits at blanks outside quotes; quotes and escapes stay in the words (expansion removes them). */
export const quotedWords = (text: string, escapeChar: string): string[] => {
  const words: string[] = []
  let word = ''
  let inWord = false
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!
    if (quote === '' && /\s/.test(char)) {
      if (inWord) words.push(word)
      word = ''
      inWord = false
      continue
    }
    inWord = true
    if (char === escapeChar && quote !== "'") {
      // An escape at the very end of the text protects nothing and is dropped.
      if (at + 1 < text.length) word += char + text[++at]!
      continue
    }
    if (quote === '' && (char === "'" || char === '"')) quote = char
    else if (char === quote) quote = ''
    word += char
  }
  if (inWord) words.push(word)
  return words
}

export const blankWords = (text: string): string[] => text.split(/[\t\v\f\r ]+/).filter(Boolean)

export interface Pair {
  key: string
  value: string
  /** Written `KEY value`. */
  legacy: boolean
}

/** Arguments of ENV and LABEL: `k=v …`, or one `k v`. */
export const pairs = (name: string, text: string, escapeChar: string): Pair[] => {
  const words = quotedWords(text, escapeChar)
  if (words.length === 0) throw new SyntaxFault(`${name} requires at least one argument`)
  if (!words[0]!.includes('=')) {
    const match = /\s+/.exec(text)
    if (!match) throw new SyntaxFault(`${name} must have two arguments`)
    return [{ key: text.slice(0, match.index), value: text.slice(match.index + match[0].length), legacy: true }]
  }
  return words.map((word) => {
    const at = word.indexOf('=')
    if (at < 0)
      throw new SyntaxFault(`Syntax error - can't find = in "${word}". Must be of the form: name=value`, { near: word })
    if (at === 0) throw new SyntaxFault(`${name} names can not be blank`, { near: word })
    return { key: word.slice(0, at), value: word.slice(at + 1), legacy: false }
  })
}

/** The array of strings that `text` is; undefined when it is no JSON array (then it is the shell form). */
export const jsonArray = (text: string): string[] | undefined => {
  if (!/^\s*\[/.test(text)) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(parsed)) return undefined
  if (!parsed.every((item): item is string => typeof item === 'string'))
    throw new SyntaxFault('when using JSON array syntax, arrays must be comprised of strings only')
  return parsed
}
