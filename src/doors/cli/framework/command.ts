import type { Readable, Writable } from 'node:stream'
import type { Flag, Flags } from './flags.ts'

export { humanDuration } from '../../../lib/human-duration.ts'

/** The terminal, the environment and the interrupt: all a command knows of the process it runs in. */
export interface Shell {
  stdin: Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown }
  stdout: Writable & { isTTY?: boolean; columns?: number; rows?: number }
  stderr: Writable & { isTTY?: boolean; columns?: number; rows?: number }
  env: Record<string, string | undefined>
  cwd: string
  /** Aborted by the first SIGINT or SIGTERM. */
  signal: AbortSignal
  /** Starts the daemon of this environment in the background, its output going to the descriptor; resolves if it ends. */
  startDaemon: (log: number) => Promise<number>
  /** Ends the daemon if it runs and takes down all that this instance made on the machine; files stay. */
  reset: () => Promise<void>
  /** Until what it returns is called, these signals go to `handler` instead of ending this process. */
  catchSignals?: (names: readonly string[], handler: (signal: string) => void) => () => void
  /** A second interrupt while the first is being honoured. */
  again: AbortSignal
}

export interface Invocation {
  shell: Shell
  args: string[]
  flags: Flags
  /** Flags given before the command's name: -f, -p, --context … */
  globals: Flags
}

export interface Command {
  name: string
  /** After the name, e.g. '[OPTIONS] [SERVICE...]'. */
  usage: string
  summary: string
  /** Further paragraphs for --help. */
  details?: string
  group: 'app' | 'rollout' | 'system'
  flags: readonly Flag[]
  /** False where the first argument ends the flags. */
  interspersed?: boolean
  /** It reads its own flags, all of them: `args` is what stands behind its name. */
  raw?: boolean
  /** Commands within it, by all their names. */
  inside?: Readonly<Record<string, Command>>
  /** The exit code. */
  run(invocation: Invocation): Promise<number>
}

export const out = (shell: Shell, line: string): void => {
  shell.stdout.write(`${line}\n`)
}
export const err = (shell: Shell, line: string): void => {
  shell.stderr.write(`${line}\n`)
}

/** Columns as docker prints them: three spaces between, titles in capitals, no trailing blanks. */
export const table = (titles: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = titles.map((t, i) => Math.max(t.length, ...rows.map((r) => r[i]!.length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((c, i) => (i === cells.length - 1 ? c : c.padEnd(widths[i]!)))
      .join('   ')
      .trimEnd()
  return [titles, ...rows].map(line).join('\n')
}
