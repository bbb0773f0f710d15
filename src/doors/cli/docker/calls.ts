/** What docker's commands have in common: the engine, several names at once, questions before something is removed. */
import { createInterface } from 'node:readline'
import { SlipwayError } from '../../../errors.ts'
import { Semaphore } from '../../../lib/semaphore.ts'
import { openEngine } from '../framework/engine.ts'
import { err, out, type Shell } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import type { Call } from '../framework/subcommands.ts'
import type { EngineClient } from '../../../clients/engine/index.ts'

export interface EngineCallContext extends Call {
  engine: EngineClient
}
/** A command that works on the engine. */
export const withEngine =
  (run: (context: EngineCallContext) => Promise<number>) =>
  async (call: Call): Promise<number> =>
    run({ ...call, engine: await openEngine(call.shell) })

export const containerPath = (name: string, rest = ''): string =>
  // "app/db" is what `app` calls db by a link.
  `/containers/${name.split('/').map(encodeURIComponent).join('/')}${rest}`
/** A name's slashes stay. */
export const imagePath = (name: string, rest = ''): string => `/images/${encodeURI(name)}${rest}`

/** At once: containers that are stopped take their time. */
const mostAtOnce = 50

/**
 * Does the same to each of `names`, many at once, and prints what it gives, in their order. Those that fail are told in the
 * end, and do not keep the others from it.
 */
export const forEach = async (
  shell: Shell,
  names: readonly string[],
  act: (name: string) => Promise<string | undefined>,
): Promise<number> => {
  const failed: string[] = []
  const slots = new Semaphore(mostAtOnce)
  const results = names.map((name) => slots.run(() => act(name)))
  for (const result of results) result.catch(() => {}) // awaited below, in its turn
  for (const result of results)
    try {
      const said = await result
      if (said !== undefined) out(shell, said)
    } catch (error) {
      if (!(error instanceof SlipwayError) || shell.signal.aborted) throw error
      failed.push(error.message)
    }
  for (const message of failed) err(shell, message)
  return failed.length > 0 ? 1 : 0
}

/** Asks for a yes; anything else ends the command. */
export const confirm = async (shell: Shell, warning: string): Promise<void> => {
  shell.stdout.write(`${warning}Are you sure you want to continue? [y/N] `)
  const lines = createInterface({ input: shell.stdin })
  const answer = await new Promise<string>((resolve) => {
    lines.once('line', resolve)
    lines.once('close', () => resolve(''))
  })
  lines.close()
  if (answer.trim().toLowerCase() !== 'y') throw new Exit(0)
}
