/** Progress events as text, the way `docker build --progress=plain` writes them. Pure: the caller owns the output. */
import { isError, messageOf } from '../../errors.ts'
import { OutputLines } from '../../lib/output-lines.ts'
import type { BuildProgress } from '../types.ts'

interface ProgressStyle {
  /** Events in, text to print out ('' for nothing). */
  event(event: BuildProgress): string
  /** What to print at the end: warnings, and for a failure its block. */
  end(error?: unknown): string
}

interface Shown {
  number: number
  name: string
  startedAt: number
  output: { stdout: OutputLines; stderr: OutputLines }
  /** Its last lines, as they were printed. */
  tail: string[]
  isOver: boolean
  /** Transfers, of which only begin and end are printed: the bytes of those that are under way. */
  transfers: Map<string, number | 'done'>
  error: string | undefined
}
type Warning = Extract<BuildProgress, { type: 'warning' }>

/** `now` in ms: output has no time of its own. */
export const plainProgress = (now: () => number = Date.now): ProgressStyle => new Plain(now)

class Plain implements ProgressStyle {
  readonly #vertices = new Map<string, Shown>()
  readonly #names = new Map<string, string>()
  readonly #warnings: Warning[] = []
  #current: string | undefined
  #clock = 0
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  event(event: BuildProgress): string {
    switch (event.type) {
      case 'outline':
        return ''
      case 'vertex':
        this.#names.set(event.id, event.name)
        return ''
      case 'started':
        this.#clock = Math.max(this.#clock, event.time)
        return this.#started(event.id, event.time)
      case 'log':
        return this.#log(event.id, event.stream, event.data)
      case 'status':
        return this.#status(event)
      case 'done':
        this.#clock = Math.max(this.#clock, event.time)
        return this.#done(event)
      case 'warning':
        this.#warnings.push(event)
        return ''
      case 'notice':
        return `${event.message}\n`
    }
  }

  #shown(id: string): Shown {
    let shown = this.#vertices.get(id)
    if (!shown) {
      const name = this.#names.get(id) ?? id
      shown = {
        number: this.#vertices.size + 1,
        name,
        startedAt: this.#clock,
        output: { stdout: new OutputLines(), stderr: new OutputLines() },
        ...{ transfers: new Map(), tail: [], isOver: false },
        error: undefined,
      }
      this.#vertices.set(id, shown)
    }
    return shown
  }

  /** Lines of a vertex; a heading when another one was printed last. */
  #lines(id: string, lines: readonly string[]): string {
    const { number, name } = this.#shown(id)
    const before = this.#current === undefined ? undefined : this.#vertices.get(this.#current)
    const left = before && !before.isOver ? `#${before.number} ...\n` : ''
    const heading = this.#current === id ? '' : `${left}${before ? '\n' : ''}#${number} ${name}\n`
    this.#current = id
    return heading + lines.map((line) => `#${number} ${line}\n`).join('')
  }

  #started(id: string, time: number): string {
    this.#shown(id).startedAt = time
    return this.#lines(id, [])
  }

  #log(id: string, stream: 'stdout' | 'stderr', data: Buffer): string {
    const shown = this.#shown(id)
    const lines = shown.output[stream].push(data)
    return lines.length === 0 ? '' : this.#lines(id, this.#timed(shown, lines))
  }

  #timed(shown: Shown, lines: readonly string[]): string[] {
    const since = ((this.#now() - shown.startedAt) / 1000).toFixed(3)
    const timed = lines.map((line) => `${since} ${line}`)
    shown.tail = [...shown.tail, ...timed].slice(-tailLines)
    return timed
  }

  #status({ id, name, current, total }: Extract<BuildProgress, { type: 'status' }>): string {
    const { transfers } = this.#shown(id)
    const before = transfers.get(name)
    const complete = total !== undefined && current >= total
    if (before !== 'done') transfers.set(name, complete ? 'done' : current)
    // What has no end that is known is told of once, when all is done.
    if (total === undefined || before === 'done' || (before !== undefined && !complete)) return ''
    return this.#lines(id, [`${name} ${size(current)} / ${size(total)}${complete ? ' done' : ''}`])
  }

  #done({ id, time, cached, error, cancelled }: Extract<BuildProgress, { type: 'done' }>): string {
    const shown = this.#shown(id)
    const rest = (['stdout', 'stderr'] as const).flatMap((stream) => shown.output[stream].end())
    shown.error = error
    const took = `${((time - shown.startedAt) / 1000).toFixed(1)}s`
    const end = cancelled ? 'CANCELED' : error !== undefined ? `ERROR: ${error}` : cached ? 'CACHED' : `DONE ${took}`
    const transferred = error === undefined && !cancelled ? this.#transferred(shown) : []
    const text = this.#lines(id, [...this.#timed(shown, rest), ...transferred, end])
    shown.isOver = true
    return text
  }

  #transferred({ transfers }: Shown): string[] {
    return [...transfers].flatMap(([name, bytes]) => {
      if (bytes === 'done') return []
      return [`${name}${bytes > 0 ? `: ${size(bytes)}` : ''} done`]
    })
  }

  end(error?: unknown): string {
    const warnings = this.#warnings.length === 0 ? '' : `\n${warningText(this.#warnings)}`
    if (error === undefined) return warnings
    const failed = [...this.#vertices.values()].find((shown) => shown.error !== undefined)
    return `${this.#step(failed, error)}${warnings}\n${failureText(error)}`
  }

  #step(failed: Shown | undefined, error: unknown): string {
    const output = detailsOf(error).output
    if (!failed) return ''
    const lines = typeof output === 'string' && output !== '' ? output.split('\n') : []
    // As they were printed, where they were.
    const shown = failed.tail.length > 0 ? failed.tail : lines
    return ['', '------', ` > ${failed.name}:`, ...shown, '------', ''].join('\n')
  }
}

const tailLines = 10

const detailsOf = (error: unknown): { output?: unknown; source?: unknown } =>
  isError(error) && typeof error.details === 'object' && error.details !== null ? error.details : {}

/** The excerpt of the Dockerfile and the error, as buildx ends a failed build. */
const failureText = (error: unknown): string => {
  const { source } = detailsOf(error)
  const excerpt = typeof source === 'string' ? `${source}\n` : ''
  const hint = isError(error) && error.hint !== undefined ? `${error.hint}\n` : ''
  return `${excerpt}ERROR: failed to build: failed to solve: ${messageOf(error)}\n${hint}`
}

const warningText = (warnings: readonly Warning[]): string => {
  const count = `${warnings.length} warning${warnings.length === 1 ? '' : 's'} found:`
  const each = warnings.map(({ rule, message, url, at, source }) => {
    const place = at.line === undefined ? '' : ` (line ${at.line})`
    return ` - ${rule}: ${message}${place}\n   More info: ${url}\n${source}\n`
  })
  return `${count}\n${each.join('\n')}`
}

const size = (bytes: number): string => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(2)}${units[unit]}`
}
