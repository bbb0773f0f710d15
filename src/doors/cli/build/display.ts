/** What is shown while a build runs, and how it ends. */
import type { plainProgress } from '../../../build/progress/index.ts'
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

/** What `wanted` means for this terminal. */
export const displayKind = (shell: Pick<Shell, 'stderr'>, wanted: string): Exclude<Kind, 'auto'> => {
  if (!isKind(wanted)) throw new Exit(1, `ERROR: invalid progress mode ${wanted}`)
  if (wanted !== 'auto') return wanted
  return shell.stderr.isTTY === true ? 'tty' : 'plain'
}

/** Loads what a display of this kind needs. */
export const createDisplay = async (
  shell: Pick<Shell, 'stderr' | 'env'>,
  kind: ReturnType<typeof displayKind>,
): Promise<BuildDisplay> => {
  const out = shell.stderr
  if (kind === 'tty') return (await import('./terminal.ts')).terminalDisplay(out, shell.env.NO_COLOR === undefined)
  const style = (await import('../../../build/progress/index.ts')).plainProgress()
  switch (kind) {
    case 'plain':
      return {
        event: (event) => void out.write(style.event(event)),
        end: (error) => void out.write(style.end(error)),
      }
    case 'quiet':
      return silent(out, style, () => {})
    case 'json':
    case 'rawjson': {
      const lines = (await import('./raw-json.ts')).rawJson(Date.now)
      return silent(out, style, (event) => void out.write(lines(event)))
    }
  }
}

/** Of the builder's own words only how it failed. */
const silent = (
  out: Terminal,
  style: ReturnType<typeof plainProgress>,
  show: (event: BuildProgress) => void,
): BuildDisplay => ({
  event(event) {
    style.event(event)
    show(event)
  },
  end: (error) => void (error === undefined || out.write(style.end(error))),
})
