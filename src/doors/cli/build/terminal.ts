/** A screen that is drawn anew while a build runs. */
import { plainProgress } from '../../../build/progress/index.ts'
import type { BuildDisplay, Terminal } from './display.ts'
import { screenOf } from './screen.ts'
import { BuildSteps } from './steps.ts'

const redrawMs = 100

export const terminalDisplay = (out: Terminal, color: boolean): BuildDisplay => {
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
