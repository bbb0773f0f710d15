/**
 * What the classic builder writes: `Step 1/3 : FROM …`, ` ---> Running in …`. Steps may be solved side by side and in any
 * order; they are written in the file's order, the current one as it goes, later ones when their turn comes.
 */
import { createHash } from 'node:crypto'
import { StringDecoder } from 'node:string_decoder'
import type { BuildOutline, BuildProgress } from '../../build/types.ts'

interface Step {
  number: number
  instruction: string
  text: string
  /** Vertices that have not ended. */
  open: Set<string>
  all: string[]
  cached: boolean
  failed: boolean
  begun: boolean
  /** Not found in the cache. */
  runs: boolean
  /** Output that came before its turn, and how much it is (characters). */
  waiting: string[]
  size: number
  /** The first of it was left out. */
  clipped: boolean
  /** Pieces of output may end within a character. */
  decoders: Record<'stdout' | 'stderr', StringDecoder>
  headed: boolean
  /** ` ---> Running in …` has been written. */
  running: boolean
}
interface ClassicOutput {
  /** Pieces to print now: each line of our own, and what the program writes as it writes it. */
  event(event: BuildProgress): string[]
  /** All that has not been printed. `image`: the short id of the result; undefined after a failure: up to the step that failed. */
  end(image: string | undefined): string[]
}

/** A step may write for hours before its turn comes. */
const mostWaiting = 2 * 1024 * 1024

/** The classic builder made an image and a container for each step; here nothing can be done with the ids. */
const idOf = (...of: string[]): string => createHash('sha256').update(of.join('\n')).digest('hex').slice(0, 12)

export const classicOutput = (): ClassicOutput => new Classic()

class Classic implements ClassicOutput {
  #steps: Step[] = []
  #current = 0
  readonly #byVertex = new Map<string, Step>()

  event(event: BuildProgress): string[] {
    switch (event.type) {
      case 'outline':
        this.#outline(event.steps)
        return this.#advance()
      case 'started':
        return this.#started(this.#byVertex.get(event.id), event.cached ?? false)
      case 'log':
        return this.#log(this.#byVertex.get(event.id), event.stream, event.data)
      case 'done':
        return this.#done(event)
      case 'notice':
        return [`${event.message}\n`]
      default:
        return []
    }
  }

  end(image: string | undefined): string[] {
    const text: string[] = []
    const last = this.#steps.find((step) => step.failed)?.number ?? 0
    const reached = (step: Step): boolean => image !== undefined || step.number <= last || step.begun
    for (let step = this.#steps[this.#current]; step; step = this.#steps[++this.#current]) {
      if (!reached(step)) break
      text.push(...this.#head(step), ...take(step))
      if (step.failed) break
      text.push(...this.#foot(step, step.number === this.#steps.length ? image : undefined))
    }
    return text
  }

  #outline(steps: BuildOutline['steps']): void {
    this.#steps = steps.map(({ instruction, text, vertices }, i) => ({
      ...{ number: i + 1, instruction, text, open: new Set(vertices), all: vertices },
      ...{ cached: true, failed: false, begun: false, runs: false, waiting: [], headed: false, running: false },
      ...{
        size: 0,
        clipped: false,
        decoders: { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') },
      },
    }))
    for (const step of this.#steps) for (const vertex of step.all) this.#byVertex.set(vertex, step)
  }

  #started(step: Step | undefined, cached: boolean): string[] {
    if (!step) return []
    step.begun = true
    if (!cached) step.runs = true
    return this.#isCurrent(step) ? [...this.#head(step), ...take(step)] : []
  }

  #log(step: Step | undefined, stream: 'stdout' | 'stderr', data: Buffer): string[] {
    const text = coloured(stream, step?.decoders[stream].write(data) ?? '')
    if (!step || text === '') return []
    // What runs has not been found in the cache.
    step.cached = false
    step.waiting.push(text)
    step.size += text.length
    while (step.size > mostWaiting && step.waiting.length > 1) {
      step.size -= step.waiting.shift()!.length
      step.clipped = true
    }
    return this.#isCurrent(step) ? [...this.#head(step), ...take(step)] : []
  }

  #done(event: Extract<BuildProgress, { type: 'done' }>): string[] {
    const step = this.#byVertex.get(event.id)
    if (!step) return []
    step.begun = true
    if (!event.cached) step.cached = false
    if (event.error !== undefined || event.cancelled) step.failed = true
    else step.open.delete(event.id)
    return this.#isCurrent(step) ? this.#advance() : []
  }

  #isCurrent(step: Step): boolean {
    return this.#steps[this.#current] === step
  }

  /** Writes steps that are over, and the head of the one that is under way. */
  #advance(): string[] {
    const text: string[] = []
    for (let step = this.#steps[this.#current]; step; step = this.#steps[++this.#current]) {
      if (step.open.size > 0 && !step.begun) break
      text.push(...this.#head(step), ...take(step))
      // The last step's id is that of the image, which is still to be made.
      if (step.open.size > 0 || step.number === this.#steps.length) break
      text.push(...this.#foot(step))
    }
    return text
  }

  #head(step: Step): string[] {
    if (step.headed) return []
    step.headed = true
    return [`Step ${step.number}/${this.#steps.length} : ${step.text}\n`]
  }

  #foot(step: Step, image?: string): string[] {
    const id = image ?? idOf(...this.#steps.slice(0, step.number).map(({ text }) => text))
    const made = ` ---> ${id}\n`
    if (step.instruction === 'FROM' || step.instruction === 'ARG' || step.all.length === 0) return [made]
    if (step.cached) return [' ---> Using cache\n', made]
    if (step.instruction !== 'RUN') return [made]
    return [...running(step), ` ---> Removed intermediate container ${containerOf(step)}\n`, made]
  }
}

/** What goes to stderr is red. */
const coloured = (stream: 'stdout' | 'stderr', text: string): string =>
  stream === 'stderr' && text !== '' ? `\x1b[91m${text}\x1b[0m` : text

const containerOf = (step: Step): string => idOf(step.text, ...step.all)
/** Once a step, before the first of its output. */
const running = (step: Step): string[] => {
  if (step.instruction !== 'RUN' || step.running) return []
  step.running = true
  return [` ---> Running in ${containerOf(step)}\n`]
}

const take = (step: Step): string[] => {
  if (step.waiting.length === 0 && !step.runs && !(step.failed && !step.cached)) return []
  const clipped = step.clipped ? ['[output clipped, log limit 2MiB reached]\n'] : []
  const text = [...running(step), ...clipped, ...step.waiting]
  Object.assign(step, { waiting: [], size: 0, clipped: false })
  return text
}
