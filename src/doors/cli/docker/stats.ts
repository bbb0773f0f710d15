/** `container stats`: one measurement, or a table that is drawn anew. */
import { createInterface } from 'node:readline'
import type { EngineClient } from '../../../clients/engine/index.ts'
import { isError } from '../../../errors.ts'
import { err } from '../framework/command.ts'
import { containerPath, withEngine } from './calls.ts'
import { configValue } from './client-config.ts'
import {
  type ListedContainer,
  type MeasuredContainer,
  measurements,
  type StatsAnswer,
  statsTable,
} from './container-list.ts'
import { formatList } from './format.ts'
import { shortId } from './units.ts'

const redrawMs = 500

export const stats = withEngine(async ({ engine, shell, args, flags }) => {
  const given = (flags.format as string | undefined) ?? configValue(shell.env, 'statsFormat') ?? ''
  const listing = measurements(flags['no-trunc'] !== true)
  const show = (rows: readonly MeasuredContainer[]): string => formatList(listing, rows, { given, table: statsTable })
  const watched = new Watched(engine, shell.signal)
  if (args.length > 0) for (const name of args) watched.add(name)
  else for (const { Id } of await listed(engine, flags.all === true)) watched.add(shortId(Id))
  if (flags['no-stream'] === true) {
    const failed = await watched.once()
    if (failed.length > 0) {
      for (const message of failed) err(shell, message)
      return 1
    }
    // Containers that ended meanwhile are left out where none was asked for by name.
    shell.stdout.write(show(args.length > 0 ? watched.rows() : watched.rows().filter(({ stats }) => stats)))
    return 0
  }
  if (args.length === 0) void watched.follow(flags.all === true)
  watched.stream()
  await watched.first()
  if (watched.failed.length > 0) {
    for (const message of watched.failed) err(shell, message)
    return 1
  }
  while (!shell.signal.aborted) {
    const lines = show(watched.rows()).split('\n')
    // From the top left, each line to its end and the rest of the screen: nothing flickers.
    shell.stdout.write(`\u001b[H${lines.join('\u001b[K\n')}\u001b[J`)
    if (args.length > 0 && watched.ended()) return 0
    await pause(redrawMs, shell.signal)
  }
  return 130
})

const listed = (engine: EngineClient, all: boolean): Promise<ListedContainer[]> =>
  engine.json<ListedContainer[]>('/containers/json', { query: { all } })

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done)
  })

class Watched {
  readonly failed: string[] = []
  readonly #engine: EngineClient
  readonly #signal: AbortSignal
  readonly #rows = new Map<string, MeasuredContainer & { stop?: AbortController; done: boolean }>()
  readonly #firsts: Promise<void>[] = []
  #streaming = false

  constructor(engine: EngineClient, signal: AbortSignal) {
    this.#engine = engine
    this.#signal = signal
  }

  rows(): MeasuredContainer[] {
    return [...this.#rows.values()]
  }

  add(container: string): void {
    if (this.#rows.has(container)) return
    this.#rows.set(container, { container, stats: undefined, done: false })
    if (this.#streaming) this.#firsts.push(this.#read(container))
  }

  remove(container: string): void {
    this.#rows.get(container)?.stop?.abort()
    this.#rows.delete(container)
  }

  ended(): boolean {
    return [...this.#rows.values()].every(({ done }) => done)
  }

  /** One measurement of each; what failed. */
  async once(): Promise<string[]> {
    const failed = await Promise.all(
      [...this.#rows.values()].map(async (row) => {
        try {
          const query = { stream: '0' }
          row.stats = measured(
            await this.#engine.json<StatsAnswer>(containerPath(row.container, '/stats'), {
              query,
              signal: this.#signal,
            }),
          )
          return []
        } catch (error) {
          if (!isError(error)) throw error
          return [error.message]
        }
      }),
    )
    return failed.flat()
  }

  stream(): void {
    this.#streaming = true
    for (const { container } of this.#rows.values()) this.#firsts.push(this.#read(container))
  }

  /** Resolves when each has been measured once, or failed. */
  async first(): Promise<void> {
    await Promise.all(this.#firsts)
  }

  #read(container: string): Promise<void> {
    const row = this.#rows.get(container)!
    const stop = new AbortController()
    row.stop = stop
    return new Promise((first) => {
      const read = async (): Promise<void> => {
        const signal = AbortSignal.any([this.#signal, stop.signal])
        const answer = await this.#engine.stream(containerPath(container, '/stats'), { signal })
        for await (const line of createInterface({ input: answer })) {
          row.stats = measured(JSON.parse(line) as StatsAnswer)
          first()
        }
      }
      read()
        .catch((error: unknown) => {
          if (!stop.signal.aborted && !this.#signal.aborted) this.failed.push((error as Error).message)
        })
        .finally(() => {
          row.done = true
          first()
        })
    })
  }

  /** Containers come and go as events tell. */
  async follow(all: boolean): Promise<void> {
    const filters = JSON.stringify({ type: { container: true } })
    try {
      const answer = await this.#engine.stream('/events', { query: { filters }, signal: this.#signal })
      for await (const line of createInterface({ input: answer })) {
        const { Action, Actor } = JSON.parse(line) as { Action: string; Actor: { ID: string } }
        if (Action === 'start' || (all && Action === 'create')) this.add(shortId(Actor.ID))
        if (Action === 'destroy' || (!all && Action === 'die')) this.remove(shortId(Actor.ID))
      }
    } catch (error) {
      if (!this.#signal.aborted) this.failed.push((error as Error).message)
    }
  }
}

/** A container that does not run measures nothing. */
const measured = (answer: StatsAnswer): StatsAnswer | undefined => (answer.id ? answer : undefined)
