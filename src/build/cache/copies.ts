/** Which snapshot a copy resulted in the last time, and what of it the next one may share. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import type { Snapshots } from '../../engine/types.ts'
import { messageOf } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Share } from '../context/share.ts'

/** Fewer files that are small are written anew sooner than looked for; more are too much to remember. */
const [fewest, large, most] = [100, 4 << 20, 100_000]

export class EarlierCopies {
  readonly #db: DatabaseSync
  readonly #snapshots: Pick<Snapshots, 'pathOf' | 'asideOf'>
  readonly #log: Log

  constructor(db: DatabaseSync, snapshots: Pick<Snapshots, 'pathOf' | 'asideOf'>, log: Log) {
    this.#db = db
    this.#snapshots = snapshots
    this.#log = log
  }

  /** `place`: what is copied from where to where. `hold` is told of the snapshot that must stay while it is shared from. */
  open(place: string, hold: (snapshot: string) => void): Share {
    const none = { root: undefined, earlier: new Set<string>(), marks: [], bytes: 0 }
    const row = this.#db.prepare('SELECT snapshot FROM build_copies WHERE place = ?').get(place)
    if (!row) return none
    const snapshot = row.snapshot as string
    hold(snapshot)
    const root = this.#snapshots.pathOf(snapshot)
    const marks = root === undefined ? undefined : this.#read(snapshot)
    if (marks) return { ...none, root, earlier: new Set(marks) }
    this.#db.prepare('DELETE FROM build_copies WHERE place = ?').run(place)
    return none
  }

  /** Before the snapshot's record says that it is there: what is told of it lies beside it, and goes with it. */
  keep(place: string, snapshot: string, { marks, bytes }: Share): void {
    if ((marks.length < fewest && bytes < large) || marks.length > most) return
    try {
      writeFileSync(this.#snapshots.asideOf(snapshot)!, JSON.stringify(marks), { mode: 0o600 })
    } catch (error) {
      // It only makes the next copy faster.
      this.#log.warn('the next copy shares nothing with this one', { snapshot, error: messageOf(error) })
      return
    }
    this.#db.prepare('INSERT OR REPLACE INTO build_copies (place, snapshot) VALUES (?, ?)').run(place, snapshot)
  }

  /** Of snapshots that are gone. */
  forget(known: ReadonlySet<string>): void {
    for (const { place, snapshot } of this.#db.prepare('SELECT place, snapshot FROM build_copies').all())
      if (!known.has(snapshot as string)) this.#db.prepare('DELETE FROM build_copies WHERE place = ?').run(place!)
  }

  #read(snapshot: string): string[] | undefined {
    try {
      return JSON.parse(readFileSync(this.#snapshots.asideOf(snapshot)!, 'utf8')) as string[]
    } catch (error) {
      this.#log.warn('what a copy may share is not there', { snapshot, error: messageOf(error) })
      return undefined
    }
  }
}
