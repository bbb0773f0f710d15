import { randomUUID } from 'node:crypto'
import type { Dockerfile, Stage } from '../dockerfile/parser.ts'
import type { Range } from '../dockerfile/source.ts'
import { positionOf } from '../dockerfile/source.ts'
import type { Vertex } from './graph.ts'

/** Numbers the steps of a stage: `[build 2/5] RUN …`. */
export class Steps {
  total = 0
  readonly stage: string
  #done = 0

  readonly #platform: string

  /** `platform` comes first in what is shown, where there are several. */
  constructor({ from, index }: Stage, named: boolean, platform: string | undefined) {
    this.#platform = platform === undefined ? '' : `${platform} `
    this.stage = from.name ?? (named ? `stage-${index}` : '')
    if (!named) this.stage = ''
  }
  /** FROM's own vertex was made before the total was known. */
  #from: Vertex | undefined
  vertex(text: string, dockerfile: Dockerfile, range: Range): Vertex {
    this.#from = { id: randomUUID(), name: text, stage: this.stage, at: positionOf(dockerfile.source, range) }
    return this.#from
  }
  first(): void {
    this.#done++
    if (this.#from) this.#from.name = this.#prefix() + this.#from.name
  }
  next(text: string, dockerfile: Dockerfile, range: Range): Vertex {
    this.#done++
    return {
      id: randomUUID(),
      name: this.#prefix() + text,
      stage: this.stage,
      at: positionOf(dockerfile.source, range),
    }
  }
  #prefix(): string {
    const count = String(this.#done).padStart(String(this.total).length)
    return `[${this.#platform}${this.stage === '' ? '' : `${this.stage} `}${count}/${this.total}] `
  }
}
