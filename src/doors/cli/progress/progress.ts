/**
 * What a long command shows on stderr while it works, as docker compose does: lines of things with a state. `tty` redraws
 * them in place, `plain` prints a line a change, `json` a document a change, `quiet` nothing.
 */
import type { Writable } from 'node:stream'

export type ProgressMode = 'auto' | 'tty' | 'plain' | 'json' | 'quiet'
export type TaskState = 'working' | 'done' | 'warning' | 'error'
export interface Task {
  /** "Service backend", "Image web", "Volume data". */
  id: string
  state: TaskState
  /** "Starting", "Started", "2/3 ready". */
  text: string
}

export interface Progress {
  readonly mode: Exclude<ProgressMode, 'auto'>
  update(task: Task): void
  /** A line that stays: build output, notices, warnings. */
  print(line: string): void
  /** Draws the final state; nothing moves after it. */
  end(): void
}

interface Entry extends Task {
  since: number
  until: number | undefined
}
type Terminal = Writable & { isTTY?: boolean; columns?: number; rows?: number }

export const createProgress = (terminal: Terminal, title: string, wanted: ProgressMode, ansi: boolean): Progress => {
  const mode = wanted === 'auto' ? (terminal.isTTY && ansi ? 'tty' : 'plain') : wanted
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
    })
    this.#timer ??= setInterval(() => this.#draw(), 100).unref()
    this.#draw()
  }

  print(line: string): void {
    this.#erase()
    this.#terminal.write(`${line}\n`)
    this.#draw()
  }

  end(): void {
    clearInterval(this.#timer)
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
    const room = Math.max(1, (this.#terminal.rows ?? 24) - 2)
    // More than fits: what still works is what one wants to see.
    const shown =
      all.length <= room
        ? all
        : [...all.filter((e) => e.state === 'working'), ...all.filter((e) => e.state !== 'working')].slice(0, room)
    const width = Math.max(...shown.map((e) => e.id.length))
    const columns = this.#terminal.columns ?? 80
    return [`[+] ${this.#title} ${finished}/${all.length}`, ...shown.map((e) => this.#line(e, width, columns))]
  }

  #line(entry: Entry, width: number, columns: number): string {
    const mark = entry.state === 'working' ? frames[this.#frame]! : marks[entry.state]
    const seconds = `${(((entry.until ?? Date.now()) - entry.since) / 1000).toFixed(1)}s`
    const text = entry.text.slice(0, Math.max(0, columns - width - seconds.length - 8))
    const painted = entry.state === 'done' ? green(text) : text
    const fill = ' '.repeat(Math.max(1, columns - width - text.length - seconds.length - 6))
    return ` ${mark} ${entry.id.padEnd(width)}  ${painted}${fill}${seconds}`
  }
}
