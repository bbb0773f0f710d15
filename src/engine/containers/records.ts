import type { DatabaseSync } from 'node:sqlite'
import { SlipwayError } from '../../errors.ts'
import { migrate, readTable, transaction } from '../../lib/database.ts'
import type { Container } from '../types.ts'

/** What changes while a container lives. Written as a whole at each change. */
interface ContainerState
  extends Pick<
    Container,
    'status' | 'pid' | 'exitCode' | 'oomKilled' | 'error' | 'startedAt' | 'finishedAt' | 'restartCount' | 'health'
  > {
  /** False until creation has got everything it needs: what a kill leaves half-made is removed. */
  complete: boolean
  /** Stopped by a user: 'unless-stopped' and 'always' leave it alone until somebody starts it. */
  stopped: boolean
  /** Paused by us for the moment of a commit: it goes on even if that moment ends with a killed daemon. */
  briefly?: boolean | undefined
  /** With the pids these name processes for good. Clock ticks since boot. */
  pidStart: number | undefined
  monitorPid: number
  monitorStart: number | undefined
  /** The boot in which it was started: after another one nothing of it can be running. */
  bootId: string | undefined
}
/** What was settled at creation. Changed by rename and update only. */
type ContainerFacts = Pick<
  Container,
  'id' | 'spec' | 'imageId' | 'createdAt' | 'sandboxId' | 'process' | 'mounts' | 'paths' | 'cgroup'
>
/** Immutable: a change makes a new one. */
export type ContainerRecord = Container & { readonly internal: ContainerState }

const freshState: ContainerState = {
  complete: false,
  stopped: false,
  status: 'created',
  pid: 0,
  pidStart: undefined,
  monitorPid: 0,
  monitorStart: undefined,
  bootId: undefined,
  exitCode: 0,
  oomKilled: false,
  error: '',
  startedAt: undefined,
  finishedAt: undefined,
  restartCount: 0,
  health: undefined,
}

const steps = [
  `CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    facts TEXT NOT NULL,
    state TEXT NOT NULL
  ) STRICT`,
]

const join = (facts: ContainerFacts, state: ContainerState): ContainerRecord => {
  const { status, pid, exitCode, oomKilled, error, startedAt, finishedAt, restartCount, health } = state
  return {
    ...facts,
    status,
    pid,
    exitCode,
    oomKilled,
    error,
    startedAt,
    finishedAt,
    restartCount,
    health,
    internal: state,
  }
}
const factsOf = ({
  id,
  spec,
  imageId,
  createdAt,
  sandboxId,
  process,
  mounts,
  paths,
  cgroup,
}: ContainerRecord): ContainerFacts => ({
  id,
  spec,
  imageId,
  createdAt,
  sandboxId,
  process,
  mounts,
  paths,
  cgroup,
})

/** All containers, in memory and in the database at once: a change has happened when the call returns. */
export class ContainerRecords {
  readonly #db: DatabaseSync
  readonly #byId = new Map<string, ContainerRecord>()
  readonly #byName = new Map<string, string>()
  readonly #writeState

  constructor(db: DatabaseSync) {
    migrate(db, 'containers', steps)
    this.#db = db
    this.#writeState = db.prepare('UPDATE containers SET state = ? WHERE id = ?')
    const read = ({ id, facts, state }: Record<string, unknown>): ContainerRecord => {
      const record = join(JSON.parse(facts as string) as ContainerFacts, JSON.parse(state as string) as ContainerState)
      if (record.id !== id || record.spec.id !== id || record.internal.status === undefined)
        throw new SlipwayError('internal', 'is not the record of this container')
      return record
    }
    for (const record of readTable(db, 'containers', ['id'], read)) this.#keep(record)
  }

  #keep(record: ContainerRecord): ContainerRecord {
    const before = this.#byId.get(record.id)
    if (before) this.#byName.delete(before.spec.name)
    this.#byId.set(record.id, record)
    this.#byName.set(record.spec.name, record.id)
    return record
  }

  /** In order of creation. */
  list(): ContainerRecord[] {
    return [...this.#byId.values()].sort((a, b) => a.createdAt - b.createdAt)
  }

  byId(id: string): ContainerRecord | undefined {
    return this.#byId.get(id)
  }
  byName(name: string): ContainerRecord | undefined {
    const id = this.#byName.get(name)
    return id === undefined ? undefined : this.#byId.get(id)
  }

  /** By id, name, or unique id prefix: in this order, as docker. */
  get(reference: string): ContainerRecord | undefined {
    const name = reference.startsWith('/') ? reference.slice(1) : reference
    const found = this.#byId.get(reference) ?? this.byName(name)
    if (found || !/^[0-9a-f]+$/.test(reference)) return found
    const matches = [...this.#byId.keys()].filter((id) => id.startsWith(reference))
    if (matches.length > 1)
      throw new SlipwayError('bad-request', `Multiple IDs found with provided prefix: ${reference}`)
    return matches[0] === undefined ? undefined : this.#byId.get(matches[0])
  }
  must(reference: string): ContainerRecord {
    const found = this.get(reference)
    if (!found) throw new SlipwayError('not-found', `No such container: ${reference.replace(/^\//, '')}`)
    return found
  }

  add(facts: ContainerFacts): ContainerRecord {
    const record = join(facts, freshState)
    this.#db
      .prepare('INSERT INTO containers (id, name, facts, state) VALUES (?, ?, ?, ?)')
      .run(record.id, record.spec.name, JSON.stringify(facts), JSON.stringify(freshState))
    return this.#keep(record)
  }

  change(id: string, change: Partial<ContainerState>): ContainerRecord {
    const before = this.must(id)
    const state = { ...before.internal, ...change }
    this.#writeState.run(JSON.stringify(state), id)
    return this.#keep(join(factsOf(before), state))
  }

  /**
   * The same for what has happened already, such as the end of a program: it is true also where it cannot be written
   * (a full disk). The next change of this container writes it, and a daemon that starts finds it out by itself.
   */
  observe(id: string, change: Partial<ContainerState>): ContainerRecord {
    const before = this.must(id)
    try {
      return this.change(id, change)
    } catch {
      return this.#keep(join(factsOf(before), { ...before.internal, ...change }))
    }
  }

  settle(id: string, change: Partial<ContainerFacts>): ContainerRecord {
    const before = this.must(id)
    const facts = { ...factsOf(before), ...change }
    transaction(this.#db, () => {
      this.#db
        .prepare('UPDATE containers SET name = ?, facts = ? WHERE id = ?')
        .run(facts.spec.name, JSON.stringify(facts), id)
    })
    return this.#keep(join(facts, before.internal))
  }

  delete(id: string): void {
    const record = this.#byId.get(id)
    this.#db.prepare('DELETE FROM containers WHERE id = ?').run(id)
    this.#byId.delete(id)
    if (record) this.#byName.delete(record.spec.name)
  }
}
