/** Why a line could not be split. */
export class UnclosedQuote extends Error {}

/**
 * Splits a line into words as a POSIX shell would, without expanding anything: quotes, backslashes; no variables, no globs.
 * Throws UnclosedQuote where a quote or the escaped character is missing.
 */
export const shellWords = (line: string): string[] => {
  const words: string[] = []
  let word = ''
  let inWord = false
  let quote: '"' | "'" | undefined
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!
    if (quote === "'") {
      if (c === "'") quote = undefined
      else word += c
    } else if (c === '\\') {
      const next = line[++i]
      if (next === undefined) throw new UnclosedQuote('nothing follows the last backslash')
      if (next === '\n') continue // a line that goes on
      inWord = true
      word += quote === '"' && !'"\\$`'.includes(next) ? `\\${next}` : next
    } else if (c === quote) {
      quote = undefined
    } else if (quote) {
      word += c
    } else if (c === '"' || c === "'") {
      quote = c
      inWord = true
    } else if (/\s/.test(c)) {
      if (inWord) words.push(word)
      word = ''
      inWord = false
    } else {
      word += c
      inWord = true
    }
  }
  if (quote) throw new UnclosedQuote(`no closing ${quote}`)
  if (inWord) words.push(word)
  return words
}

/** The words as one line that a POSIX shell reads back as the same words. */
export const shellQuote = (words: readonly string[]): string =>
  words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ')
