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
  /**
   * The ends of all that matches from `start` on, in their order. `open`: the text has ended before it was clear that nothing
   * more does; where nothing matches then, nothing does from any later start.
   */
  ends(chars: readonly string[], start?: number): { ends: number[]; open: boolean }
}

/** One for each part, two for an `upTo`; behind the last one is the end. */
interface State {
  /** Characters that lead to `target`. */
  stays?: (char: string) => boolean
  target: number
  /** Characters that lead to `next`. */
  goes?: (char: string) => boolean
  next: number
  /** `next` is reached without a character, too. */
  optional: boolean
}

const any = (): boolean => true

export const wildcards = (parts: readonly Part[]): Wildcards => {
  const states = statesOf(parts)
  const final = states.length
  const ends = (chars: readonly string[], start = 0): { ends: number[]; open: boolean } => {
    const found: number[] = []
    let active = new Front(states)
    let after = new Front(states)
    active.add(0)
    for (let at = start; ; at++) {
      if (active.has(final)) found.push(at)
      if (at >= chars.length || active.size === 0) return { ends: found, open: active.size > 0 }
      active.step(chars[at]!, after)
      ;[active, after] = [after, active]
    }
  }
  return {
    ends,
    matches(text) {
      const chars = [...text]
      return ends(chars).ends.at(-1) === chars.length
    },
  }
}

/** The states that the text so far leads to. */
class Front {
  readonly #states: readonly State[]
  readonly #list: number[] = []
  readonly #marks: Uint8Array

  constructor(states: readonly State[]) {
    this.#states = states
    this.#marks = new Uint8Array(states.length + 1)
  }

  get size(): number {
    return this.#list.length
  }

  has(state: number): boolean {
    return this.#marks[state] === 1
  }

  add(first: number): void {
    let state: number | undefined = first
    while (state !== undefined && this.#marks[state] === 0) {
      this.#marks[state] = 1
      this.#list.push(state)
      const reached: State | undefined = this.#states[state]
      state = reached?.optional ? reached.next : undefined
    }
  }

  /** Where one more character leads, in the place of what `to` was. */
  step(char: string, to: Front): void {
    to.#clear()
    for (const each of this.#list) {
      const state = this.#states[each]
      if (!state) continue
      if (state.stays?.(char)) to.add(state.target)
      if (state.goes?.(char)) to.add(state.next)
    }
  }

  #clear(): void {
    for (const each of this.#list) this.#marks[each] = 0
    this.#list.length = 0
  }
}

const statesOf = (parts: readonly Part[]): State[] => {
  const states: State[] = []
  for (const part of parts) {
    const here = states.length
    if ('one' in part) states.push({ target: here, goes: part.one, next: here + 1, optional: false })
    else if ('many' in part) states.push({ stays: part.many, target: here, next: here + 1, optional: true })
    else {
      const more = { stays: any, target: here + 1, goes: (char: string) => char === part.upTo, next: here + 2 }
      states.push({ ...more, optional: true }, { ...more, optional: false })
    }
  }
  return states
}
