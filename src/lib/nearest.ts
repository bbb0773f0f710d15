/** Edits (insert, delete, replace and, with `swaps`, swap neighbours) between two words. */
export const distance = (a: string, b: string, swaps = true): number => {
  const rows = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0))
  for (let i = 0; i <= a.length; i++) rows[i]![0] = i
  for (let j = 0; j <= b.length; j++) rows[0]![j] = j
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let best = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, rows[i - 1]![j - 1]! + (same ? 0 : 1))
      if (swaps && i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2]![j - 2]! + 1)
      rows[i]![j] = best
    }
  return rows[a.length]![b.length]!
}

const fold = (word: string): string => word.toLowerCase().replaceAll('-', '_')

/**
 * The one of `names` that was probably meant by `word`; undefined when none is close. Case and '-' for '_' do not count.
 * `edits`: how many may lie between them, by default one for each three letters.
 */
export const nearest = (
  word: string,
  names: Iterable<string>,
  edits = Math.max(1, Math.floor(word.length / 3)),
): string | undefined => {
  let best: string | undefined
  let least = edits + 1
  for (const name of names) {
    if (Math.abs(name.length - word.length) >= least) continue
    const d = distance(fold(word), fold(name))
    if (d < least) [best, least] = [name, d]
  }
  return best
}
