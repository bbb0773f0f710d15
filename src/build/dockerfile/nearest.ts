import { nearest } from '../../lib/nearest.ts'

/** What a mistyped `word` most likely means: at most 3 edits and less than half of it, as BuildKit asks. */
export const meant = (word: string, options: Iterable<string>): string | undefined =>
  nearest(
    word,
    [...options].filter((option) => option.toLowerCase() !== word.toLowerCase()),
    Math.min(3, Math.floor(word.length / 2)),
  )

/** `message (did you mean X?)`, or the message alone. */
export const suggest = (message: string, word: string, options: Iterable<string>): string => {
  const near = meant(word, options)
  return near === undefined ? message : `${message} (did you mean ${near}?)`
}
