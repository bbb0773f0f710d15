import type { DatabaseSync } from 'node:sqlite'
import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { Change } from './store.ts'

export const expired = (message: string): SlipwayError => new SlipwayError('expired', message)

/** How much is kept for watches: at least `least` changes, all younger than `age` ms, never more than `most`. */
export interface HistoryLimits {
  least: number
  most: number
  age: number
}

/** The latest changes, in order, on disk and in memory. */
export class History {
  readonly #clock: Clock
  readonly #limits: HistoryLimits
  readonly #statements
  #log: Change[] = []
  #writes = 0
  /** The revision of the last change there was. */
  last: number

  constructor(
    db: DatabaseSync,
    clock: Clock,
    limits: HistoryLimits | undefined,
    sealed: <T>(value: T) => T,
    revision: number,
  ) {
    this.#clock = clock
    this.#limits = limits ?? { least: 1000, most: 10_000, age: 5 * 60_000 }
    this.#statements = {
      record: db.prepare(
        'INSERT INTO object_changes (revision, time, type, resource, key, json) VALUES (?, ?, ?, ?, ?, ?)',
      ),
      forget: db.prepare('DELETE FROM object_changes WHERE revision <= ?'),
    }
    this.last = revision
    const last = new Map<string, KubeObject>()
    for (const row of db.prepare('SELECT * FROM object_changes ORDER BY revision').iterate()) {
      const { json, ...rest } = row as unknown as Omit<Change, 'object' | 'previous'> & { json: string }
      const object = sealed(JSON.parse(json) as KubeObject)
      const id = `${rest.resource} ${rest.key}`
      this.#log.push({ ...rest, object, previous: rest.type === 'ADDED' ? undefined : last.get(id) })
      last.set(id, object)
      this.last = Math.max(this.last, rest.revision)
    }
  }

  /** To be called in the transaction of the write; `push` follows when it is committed. */
  record({ revision, time, type, resource, key }: Omit<Change, 'object' | 'previous'>, json: string): void {
    this.#statements.record.run(revision, time, type, resource, key, json)
  }

  push(change: Change): void {
    this.#log.push(change)
    this.last = change.revision
    if (++this.#writes >= 256) this.compact()
  }

  /** Forgets what is beyond the limits. */
  compact(): void {
    this.#writes = 0
    const { least, most, age } = this.#limits
    const young = this.#clock.now() - age
    let cut = Math.max(0, this.#log.length - most)
    while (cut < this.#log.length - least && this.#log[cut]!.time < young) cut++
    if (cut === 0) return
    this.#statements.forget.run(this.#log[cut - 1]!.revision)
    this.#log = this.#log.slice(cut)
  }

  /** Changes of the resource after `from`, oldest first; throws 'expired' when they are no longer all known. */
  since(resource: string, from: number): Change[] {
    // Changes after this revision are all here.
    const floor = this.#log.length > 0 ? this.#log[0]!.revision - 1 : this.last
    if (from < floor) throw expired(`too old resource version: ${from} (${floor + 1})`)
    const found: Change[] = []
    for (let i = this.#indexAfter(from); i < this.#log.length; i++)
      if (this.#log[i]!.resource === resource) found.push(this.#log[i]!)
    return found
  }

  /** The first entry after `from`, by bisection. */
  #indexAfter(from: number): number {
    let low = 0
    let high = this.#log.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#log[middle]!.revision <= from) low = middle + 1
      else high = middle
    }
    return low
  }
}
