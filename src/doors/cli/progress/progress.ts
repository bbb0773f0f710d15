/**
 * What a long command shows on stderr while it works, as docker compose does: lines of things with a state. `tty` redraws
 * them in place, `plain` prints a line a change, `json` a document a change, `quiet` nothing.
 */
import type { Writable } from 'node:stream'

export type ProgressMode = 'auto' | 'tty' | 'plain' | 'json' | 'quiet'
type TaskState = 'working' | 'done' | 'warning' | 'error'
interface Task {
  /** "Service backend", "Image web", "Volume data". */
  id: string
  state: TaskState
  /** "Starting", "Started", "2/3 ready". */
  text: string
}

export interface Progress {
  readonly mode: Exclude<ProgressMode, 'auto'>
  update(task: Task): void
  /** Lines under a task while it works (a terminal only): asked for on every redraw. */
  detail(id: string, lines: () => string[]): void
  /** A line that stays: build output, notices, warnings. */
  print(line: string): void
  /** Draws the final state; nothing moves after it. */
  end(): void
}

interface Entry extends Task {
  since: number
  until: number | undefined
  detail: () => string[]
}
type Terminal = Writable & { isTTY?: boolean; columns?: number; rows?: number }

export const createProgress = (
  terminal: Terminal,
  title: string,
  wanted: ProgressMode,
  ansi: 'auto' | 'never' | 'always',
): Progress => {
  const redraws = ansi === 'always' || (ansi === 'auto' && terminal.isTTY === true)
  const mode = wanted === 'auto' ? (redraws ? 'tty' : 'plain') : wanted
  switch (mode) {
    case 'tty':
      return new TtyProgress(terminal, title)
    case 'plain':
      return lineProgress(
        mode,
        (task) => terminal.write(` ${task.id}  ${task.text}\n`),
        (line) => terminal.write(`${line}\n`),
      )
    case 'json':
      return lineProgress(
        mode,
        (task) => terminal.write(`${JSON.stringify({ id: task.id, status: words[task.state], text: task.text })}\n`),
        (line) => terminal.write(`${JSON.stringify({ text: line })}\n`),
      )
    case 'quiet':
      return lineProgress(
        mode,
        () => {},
        () => {},
      )
  }
}
const words: Record<TaskState, string> = { working: 'Working', done: 'Done', warning: 'Warning', error: 'Error' }

const lineProgress = (mode: Progress['mode'], show: (task: Task) => void, print: (line: string) => void): Progress => {
  const last = new Map<string, string>()
  return {
    mode,
    update(task) {
      const key = `${task.state} ${task.text}`
      if (last.get(task.id) === key) return
      last.set(task.id, key)
      show(task)
    },
    detail() {},
    print,
    end() {},
  }
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const green = (text: string): string => `\u001b[32m${text}\u001b[0m`
const marks: Record<Exclude<TaskState, 'working'>, string> = {
  done: green('✔'),
  warning: '\u001b[33m!\u001b[0m',
  error: '\u001b[31m✘\u001b[0m',
}

class TtyProgress implements Progress {
  readonly mode = 'tty'
  #terminal: Terminal
  #title: string
  #entries = new Map<string, Entry>()
  #drawn = 0
  #frame = 0
  #ended = false
  #timer: NodeJS.Timeout | undefined

  constructor(terminal: Terminal, title: string) {
    this.#terminal = terminal
    this.#title = title
  }

  update(task: Task): void {
    const old = this.#entries.get(task.id)
    const working = task.state === 'working'
    this.#entries.set(task.id, {
      ...task,
      since: old?.since ?? Date.now(),
      until: working ? undefined : (old?.until ?? Date.now()),
      detail: old?.detail ?? nothing,
    })
    this.#timer ??= setInterval(() => this.#draw(), 100).unref()
    this.#draw()
  }

  detail(id: string, lines: () => string[]): void {
    const entry = this.#entries.get(id)
    if (entry) entry.detail = lines
  }

  print(line: string): void {
    this.#erase()
    this.#terminal.write(`${line}\n`)
    this.#draw()
  }

  end(): void {
    clearInterval(this.#timer)
    this.#ended = true
    this.#draw()
    this.#drawn = 0
  }

  #erase(): void {
    if (this.#drawn > 0) this.#terminal.write(`\u001b[${this.#drawn}A\u001b[0J`)
    this.#drawn = 0
  }

  #draw(): void {
    const lines = this.#lines()
    this.#erase()
    if (lines.length === 0) return
    this.#terminal.write(`\u001b[?25l${lines.join('\n')}\n\u001b[?25h`)
    this.#drawn = lines.length
  }

  #lines(): string[] {
    const all = [...this.#entries.values()]
    if (all.length === 0) return []
    this.#frame = (this.#frame + 1) % frames.length
    const finished = all.filter((e) => e.state !== 'working').length
    // The last time nothing is redrawn, so it may scroll.
    const room = this.#ended ? all.length : Math.max(1, (this.#terminal.rows || 24) - 2)
    // More than fits: what still works is what one wants to see.
    const shown =
      all.length <= room
        ? all
        : [...all.filter((e) => e.state === 'working'), ...all.filter((e) => e.state !== 'working')].slice(0, room)
    const width = Math.max(...shown.map((e) => e.id.length))
    const columns = this.#terminal.columns || 80
    let left = room - shown.length
    const lines = shown.flatMap((e) => {
      const below = e.state === 'working' ? e.detail().slice(0, Math.max(0, left)) : []
      left -= below.length
      return [this.#line(e, width, columns), ...below.map((l) => `    ${plain(l).slice(0, columns - 5)}`)]
    })
    return [`[+] ${this.#title} ${finished}/${all.length}`, ...lines]
  }

  #line(entry: Entry, width: number, columns: number): string {
    const mark = entry.state === 'working' ? frames[this.#frame]! : marks[entry.state]
    const seconds = `${(((entry.until ?? Date.now()) - entry.since) / 1000).toFixed(1)}s`
    const id = entry.id.slice(0, columns - 16)
    const text = entry.text.slice(0, Math.max(0, columns - width - seconds.length - 8))
    const painted = entry.state === 'done' ? green(text) : text
    const fill = ' '.repeat(Math.max(1, columns - Math.max(width, id.length) - text.length - seconds.length - 6))
    return ` ${mark} ${id.padEnd(Math.min(width, columns - 16))}  ${painted}${fill}${seconds}`
  }
}

const nothing = (): string[] => []
/** Output of others must not move our cursor. */
const plain = (line: string): string =>
  line.replaceAll('\t', '  ').replace(/\u001b\[[0-9;?]*[A-Za-z]|[\u0000-\u001f\u007f]/g, '')
