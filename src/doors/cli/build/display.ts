/** What is shown while a build runs, and how it ends. */
import { plainProgress } from '../../../build/progress/index.ts'
import type { BuildProgress } from '../../../build/types.ts'
import type { Shell } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'

export interface BuildDisplay {
  event(event: BuildProgress): void
  /** Draws the last state, warnings, and for a failure its block. */
  end(error?: unknown): void
}
const kinds = ['auto', 'tty', 'plain', 'quiet', 'rawjson', 'json'] as const
type Kind = (typeof kinds)[number]
export type Terminal = Shell['stderr']

const isKind = (text: string): text is Kind => (kinds as readonly string[]).includes(text)

export const createDisplay = async (shell: Pick<Shell, 'stderr' | 'env'>, wanted: string): Promise<BuildDisplay> => {
  if (!isKind(wanted)) throw new Exit(1, `ERROR: invalid progress mode ${wanted}`)
  const out = shell.stderr
  const kind = wanted === 'auto' ? (out.isTTY === true ? 'tty' : 'plain') : wanted
  switch (kind) {
    case 'tty':
      return (await import('./terminal.ts')).terminalDisplay(out, shell.env.NO_COLOR === undefined)
    case 'plain':
      return plain(out)
    case 'quiet':
      return quiet(out)
    case 'json':
    case 'rawjson':
      return json(out, (await import('./raw-json.ts')).rawJson(Date.now))
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

const json = (out: Terminal, lines: (event: BuildProgress) => string): BuildDisplay => {
  const style = plainProgress()
  return {
    event(event) {
      style.event(event)
      out.write(lines(event))
    },
    end: (error) => void (error === undefined || out.write(style.end(error))),
  }
}
