/** Edits (insert, delete, replace) between two words; stops counting above `limit`. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}

/** The option a mistyped `word` most likely means: at most 3 edits and less than half of it; undefined when nothing is near. */
export const nearest = (word: string, options: Iterable<string>, caseSensitive = false): string | undefined => {
  const fold = (s: string): string => (caseSensitive ? s : s.toLowerCase())
  let best: string | undefined
  let least = Math.min(3, Math.floor(word.length / 2)) + 1
  for (const option of options) {
    if (fold(option) === fold(word)) continue
    const d = distance(fold(word), fold(option))
    if (d < least) {
      best = option
      least = d
    }
  }
  return best
}

/** `message (did you mean X?)`, or the message alone. */
export const suggest = (message: string, word: string, options: Iterable<string>): string => {
  const near = nearest(word, options)
  return near === undefined ? message : `${message} (did you mean ${near}?)`
}
