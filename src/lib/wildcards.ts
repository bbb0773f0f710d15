/**
 * Patterns without backtracking: whoever writes the pattern and the text, the time is at most that of one times the other, where
 * a RegExp with a dozen stars takes for ever.
 */

/** A piece of a pattern, over characters (code points). */
export type Part =
  /** Exactly one. */
  | { one: (char: string) => boolean }
  /** Any number, also none. */
  | { many: (char: string) => boolean }
  /** Nothing, or whatever ends with this character. */
  | { upTo: string }

export interface Wildcards {
  matches(text: string): boolean
  /** The ends of all that matches from `start` on, in their order. */
  ends(chars: readonly string[], start?: number): number[]
}

interface State {
  moves: [test: (char: string) => boolean, target: number][]
  /** Where one gets without a character. */
  skip?: number
}

const any = (): boolean => true

export const wildcards = (parts: readonly Part[]): Wildcards => {
  const states = statesOf(parts)
  const final = states.length
  const ends = (chars: readonly string[], start = 0): number[] => {
    const found: number[] = []
    let active = reach(states, [0])
    for (let at = start; ; at++) {
      if (active.has(final)) found.push(at)
      if (at >= chars.length || active.size === 0) return found
      const char = chars[at]!
      const targets = [...active].flatMap((state) => states[state]?.moves.filter(([test]) => test(char)) ?? [])
      active = reach(
        states,
        targets.map(([, target]) => target),
      )
    }
  }
  return {
    ends,
    matches(text) {
      const chars = [...text]
      return ends(chars).at(-1) === chars.length
    },
  }
}

const statesOf = (parts: readonly Part[]): State[] => {
  const states: State[] = []
  for (const part of parts) {
    const here = states.length
    if ('one' in part) states.push({ moves: [[part.one, here + 1]] })
    else if ('many' in part) states.push({ moves: [[part.many, here]], skip: here + 1 })
    else {
      const { upTo } = part
      const moves = (): State['moves'] => [
        [any, here + 1],
        [(char) => char === upTo, here + 2],
      ]
      states.push({ moves: moves(), skip: here + 2 }, { moves: moves() })
    }
  }
  return states
}

const reach = (states: readonly State[], from: readonly number[]): Set<number> => {
  const found = new Set(from)
  // What is added meanwhile is looked at, too.
  for (const state of found) {
    const skip = states[state]?.skip
    if (skip !== undefined) found.add(skip)
  }
  return found
}
