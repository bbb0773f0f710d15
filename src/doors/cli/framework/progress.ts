/** How this invocation shows what it does: --progress and --ansi, or the environment as docker compose reads it. */
import { SlipwayError } from '../../../errors.ts'
import { createProgress, type Progress, type ProgressMode } from '../progress/progress.ts'
import type { Invocation } from './command.ts'

type Ansi = 'auto' | 'never' | 'always'
const modes: readonly ProgressMode[] = ['auto', 'tty', 'plain', 'json', 'quiet']
const ansis: readonly Ansi[] = ['auto', 'never', 'always']

const oneOf = <T extends string>(value: string, all: readonly T[], what: string): T => {
  const found = all.find((a) => a === value)
  if (found) return found
  throw new SlipwayError('bad-request', `unsupported ${what} value "${value}"`, { hint: `One of ${all.join(', ')}.` })
}

const ansiOf = ({ shell, globals }: Invocation): Ansi =>
  oneOf((globals.ansi as string | undefined) ?? (shell.env.COMPOSE_ANSI || 'auto'), ansis, '--ansi')

/** Are colours wanted on stdout? */
export const wantsColor = (invocation: Invocation): boolean => {
  const ansi = ansiOf(invocation)
  if (invocation.flags['no-color'] === true || ansi === 'never') return false
  return ansi === 'always' || invocation.shell.stdout.isTTY === true
}

export const progressFor = (invocation: Invocation, title: string, quiet = false): Progress => {
  const { shell, globals } = invocation
  const asked = (globals.progress as string | undefined) ?? (shell.env.COMPOSE_PROGRESS || 'auto')
  const mode = quiet ? 'quiet' : oneOf(asked, modes, '--progress')
  return createProgress(shell.stderr, title, mode, ansiOf(invocation))
}
