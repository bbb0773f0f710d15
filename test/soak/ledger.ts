/** What clients were told, and what may therefore be found: an image by its name, or none. */

/** What an image has to contain: sha256 of files by their paths. */
export type Files = Readonly<Record<string, string>>
type State = Files | 'absent'

export class Ledger {
  readonly #states = new Map<string, Set<State>>()
  /** Somebody who was not heard to the end may still change it. */
  readonly #open = new Set<string>()

  /** Runs what turns these names into that. Only an answer settles it: before it, and without one, both may be. */
  async change(names: readonly string[], to: State, act: () => Promise<'done' | 'refused' | 'unknown'>): Promise<void> {
    for (const name of names) {
      this.doubt(name, to)
      this.#open.add(name)
    }
    const came = await act()
    if (came !== 'done') return
    for (const name of names) {
      this.#states.set(name, new Set([to]))
      this.#open.delete(name)
    }
  }

  /** Besides what is known of it, it may be so. */
  doubt(name: string, state: State): void {
    this.#states.set(name, new Set([...this.may(name), state]))
  }

  may(name: string): ReadonlySet<State> {
    return this.#states.get(name) ?? new Set(['absent'])
  }

  /** Files of a name that is certainly there. */
  certain(name: string): Files | undefined {
    const [state, ...others] = this.may(name)
    return others.length === 0 && state !== 'absent' && !this.#open.has(name) ? state : undefined
  }

  certainNames(): string[] {
    return [...this.#states.keys()].filter((name) => this.certain(name) !== undefined)
  }

  names(): string[] {
    return [...this.#states.keys()]
  }

  /** At rest: what was seen is what is. */
  saw(name: string, state: State): void {
    this.#open.delete(name)
    if (state === 'absent') this.#states.delete(name)
    else this.#states.set(name, new Set([state]))
  }
}
