/** A build's events gathered into what a display shows of it now. */
import type { BuildProgress } from '../../../build/types.ts'
import { OutputLines } from '../../../lib/output-lines.ts'

export interface Transfer {
  name: string
  current: number
  total: number | undefined
  /** ms since 1970. */
  started: number
  completed: number | undefined
}
export interface Step {
  id: string
  name: string
  started: number
  completed: number | undefined
  cached: boolean
  cancelled: boolean
  error: string | undefined
  transfers: Map<string, Transfer>
  /** Whole lines of output, the last ones. */
  log: string[]
  output: Record<'stdout' | 'stderr', OutputLines>
}

const keptLines = 20

export class BuildSteps {
  /** In the order they began. */
  readonly steps: Step[] = []
  readonly notices: string[] = []
  readonly #names = new Map<string, string>()
  readonly #byId = new Map<string, Step>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  event(event: BuildProgress): void {
    switch (event.type) {
      case 'vertex':
        this.#names.set(event.id, event.name)
        break
      case 'started': {
        const step = this.#step(event.id, event.time)
        step.cached = event.cached ?? false
        break
      }
      case 'done':
        this.#done(event)
        break
      case 'log':
        this.#log(this.#step(event.id), event.stream, event.data)
        break
      case 'status':
        this.#transfer(event)
        break
      case 'notice':
        this.notices.push(event.message)
        break
      case 'outline':
      case 'warning':
        break
    }
  }

  /** What has begun and will never end was stopped. */
  cancel(): void {
    for (const step of this.steps)
      if (step.completed === undefined) Object.assign(step, { completed: this.#now(), cancelled: true })
  }

  /** How many there are that it knows of. */
  get known(): number {
    return this.#names.size
  }

  #step(id: string, time = this.#now()): Step {
    let step = this.#byId.get(id)
    if (step) return step
    step = {
      ...{ id, name: this.#names.get(id) ?? id, started: time, completed: undefined },
      ...{ cached: false, cancelled: false, error: undefined, transfers: new Map(), log: [] },
      output: { stdout: new OutputLines(), stderr: new OutputLines() },
    }
    this.#byId.set(id, step)
    this.steps.push(step)
    return step
  }

  #done({ id, time, cached, error, cancelled }: Extract<BuildProgress, { type: 'done' }>): void {
    const step = this.#step(id, time)
    Object.assign(step, { completed: time, cached, error, cancelled: cancelled ?? false })
    for (const transfer of step.transfers.values()) transfer.completed ??= time
  }

  #log(step: Step, stream: 'stdout' | 'stderr', data: Buffer): void {
    step.log = [...step.log, ...step.output[stream].push(data)].slice(-keptLines)
  }

  #transfer({ id, name, current, total }: Extract<BuildProgress, { type: 'status' }>): void {
    const { transfers } = this.#step(id)
    const before = transfers.get(name)
    const completed = total !== undefined && current >= total ? this.#now() : undefined
    const started = before?.started ?? this.#now()
    transfers.set(name, { name, current, total, started, completed: before?.completed ?? completed })
  }
}
