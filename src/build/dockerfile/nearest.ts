import { distance } from '../../lib/nearest.ts'

/** What is longer was not typed. */
const longest = 128

/**
 * What a mistyped `word` most likely means: the first of the options that are least and at most two edits away, as BuildKit
 * has it. Nothing where the word is an option itself: then the fault lies elsewhere.
 */
export const meant = (word: string, options: Iterable<string>, caseless = false): string | undefined => {
  const fold = (text: string): string => (caseless ? text.toLowerCase() : text)
  let best: string | undefined
  let least = 3
  if (word.length > longest) return undefined
  for (const option of options) {
    if (Math.abs(option.length - word.length) >= least) continue
    const edits = distance(fold(word), fold(option), false)
    if (edits === 0) return undefined
    if (edits < least) [best, least] = [option, edits]
  }
  return best !== undefined && caseless ? inCaseOf(word, best) : best
}

const inCaseOf = (word: string, text: string): string => {
  if (word === word.toLowerCase()) return text.toLowerCase()
  return word === word.toUpperCase() ? text.toUpperCase() : text
}

/** `message (did you mean X?)`, or the message alone. */
export const suggest = (message: string, word: string, options: Iterable<string>, caseless = false): string => {
  const near = meant(word, options, caseless)
  return near === undefined ? message : `${message} (did you mean ${near}?)`
}
