import { expand } from './expand.ts'
import { SyntaxFault } from './source.ts'

export interface Heredoc {
  name: string
  /** False when any part of the word was quoted. */
  expand: boolean
  /** `<<-`: leading tabs are stripped. */
  chomp: boolean
  /** Raw, with newlines, without the terminator. */
  content: string
}

const pattern = /^(\d*)<<(-?)\s*([^<]*)$/
const unset = (): undefined => undefined

/** `<<EOF`, `<<-"EOF"`, `3<<EOF`: the here-document a word announces, its content still empty. */
export const heredocOf = (word: string): Heredoc | undefined => {
  const match = pattern.exec(word)
  if (!match || match[3] === '') return undefined
  try {
    const plain = expand(match[3]!, unset, { skipUnset: true }).words
    const raw = expand(match[3]!, unset, { skipUnset: true, rawQuotes: true }).words
    if (plain.length !== 1) return undefined
    return { name: plain[0]!, expand: plain[0] === raw[0], chomp: match[2] === '-', content: '' }
  } catch (error) {
    if (error instanceof SyntaxFault) return undefined
    throw error
  }
}

/** All here-documents of a line, in order. A line that is no well-formed list of shell words has none. */
export const heredocsIn = (line: string, escapeChar: string): Heredoc[] => {
  try {
    const { words } = expand(line, unset, { escape: escapeChar, skipUnset: true, rawQuotes: true, rawEscapes: true })
    return joined(words)
      .map(heredocOf)
      .filter((found) => found !== undefined)
  } catch (error) {
    if (error instanceof SyntaxFault) return []
    throw error
  }
}

/** As in a shell, blanks may stand between `<<` and the word. */
const joined = (words: readonly string[]): string[] =>
  words.flatMap((word, at) => {
    if (at > 0 && isOperator(words[at - 1]!)) return []
    return isOperator(word) ? [`${word} ${words[at + 1] ?? ''}`] : [word]
  })

const isOperator = (word: string): boolean => /^\d*<<-?$/.test(word)

export const contentOf = (heredoc: Heredoc): string =>
  heredoc.chomp ? heredoc.content.replace(/^\t+/gm, '') : heredoc.content
