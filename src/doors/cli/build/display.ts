/** What is shown while a build runs, and how it ends. */
import { plainProgress } from '../../../build/progress/index.ts'
import type { BuildProgress } from '../../../build/types.ts'
import type { Shell } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import { rawJson } from './raw-json.ts'
import { screenOf } from './screen.ts'
import { BuildSteps } from './steps.ts'

export interface BuildDisplay {
  event(event: BuildProgress): void
  /** Draws the last state, warnings, and for a failure its block. */
  end(error?: unknown): void
}
const kinds = ['auto', 'tty', 'plain', 'quiet', 'rawjson', 'json'] as const
type Kind = (typeof kinds)[number]
type Terminal = Shell['stderr']

const isKind = (text: string): text is Kind => (kinds as readonly string[]).includes(text)

export const createDisplay = (shell: Pick<Shell, 'stderr' | 'env'>, wanted: string): BuildDisplay => {
  if (!isKind(wanted)) throw new Exit(1, `ERROR: invalid progress mode ${wanted}`)
  const out = shell.stderr
  const kind = wanted === 'auto' ? (out.isTTY === true ? 'tty' : 'plain') : wanted
  switch (kind) {
    case 'tty':
      return tty(out, shell.env.NO_COLOR === undefined)
    case 'plain':
      return plain(out)
    case 'quiet':
      return quiet(out)
    case 'json':
    case 'rawjson':
      return json(out)
  }
}

const plain = (out: Terminal): BuildDisplay => {
  const style = plainProgress()
  return {
    event: (event) => void out.write(style.event(event)),
    end: (error) => void out.write(style.end(error)),
  }
}

/** Only how it failed. */
const quiet = (out: Terminal): BuildDisplay => {
  const style = plainProgress()
  return {
    event: (event) => void style.event(event),
    end: (error) => void (error === undefined || out.write(style.end(error))),
  }
}

const json = (out: Terminal): BuildDisplay => {
  const lines = rawJson(Date.now)
  const style = plainProgress()
  return {
    event(event) {
      style.event(event)
      out.write(lines(event))
    },
    end: (error) => void (error === undefined || out.write(style.end(error))),
  }
}

const redrawMs = 100

const tty = (out: Terminal, color: boolean): BuildDisplay => {
  const steps = new BuildSteps(Date.now)
  // How it ends is told as everywhere.
  const style = plainProgress()
  const begun = Date.now()
  let drawn = 0
  let printed = 0
  const draw = (finished: boolean): void => {
    const screen = { columns: out.columns || 80, rows: out.rows || 24, now: Date.now(), begun, finished, color }
    const lines = screenOf(steps, screen)
    const notices = steps.notices.slice(printed)
    printed = steps.notices.length
    const up = drawn > 0 ? `\u001b[${drawn}A` : ''
    const text = [...notices, ...lines].map((line) => `${line}\u001b[K\n`).join('')
    out.write(`\u001b[?25l${up}\r${text}\u001b[J\u001b[?25h`)
    drawn = lines.length
  }
  const timer = setInterval(() => draw(false), redrawMs)
  return {
    event(event) {
      steps.event(event)
      style.event(event)
    },
    end(error) {
      clearInterval(timer)
      if (error !== undefined) steps.cancel()
      draw(true)
      out.write(style.end(error))
    },
  }
}
