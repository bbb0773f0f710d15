/** -o: archives to files. */
import { randomUUID } from 'node:crypto'
import { createWriteStream, renameSync, rmSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Exit } from '../framework/failure.ts'
import type { EngineCallContext } from './calls.ts'

/**
 * Writes a stream where -o says; a file is there when it is whole, and one that was there before stays until then. A device would
 * be replaced by a file: refused, as by docker. `what`: for its words.
 */
export const saveTo = async (
  { shell, flags }: EngineCallContext,
  what: 'save image' | 'export container',
  open: () => Promise<NodeJS.ReadableStream>,
): Promise<number> => {
  const given = (flags.output as string | undefined) ?? ''
  if (given === '') {
    if (shell.stdout.isTTY) throw new Exit(1, 'cowardly refusing to save to a terminal. Use the -o flag or redirect')
    await pipeline(await open(), shell.stdout, { end: false })
    return 0
  }
  const file = resolve(shell.cwd, given)
  const refuse = (why: string): Exit => new Exit(1, `failed to ${what}: invalid output path: ${why}`)
  const there = statSync(file, { throwIfNoEntry: false })
  if (there?.isCharacterDevice() || there?.isBlockDevice())
    throw refuse(`${JSON.stringify(given)} must be a directory or a regular file: got a device`)
  const part = `${file}.${randomUUID()}.part`
  const archive = await open()
  try {
    await pipeline(archive, createWriteStream(part, { mode: 0o600, flags: 'wx' }))
    renameSync(part, file)
    return 0
  } catch (error) {
    rmSync(part, { force: true })
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    if (missing) throw refuse(`directory ${JSON.stringify(resolve(file, '..'))} does not exist`)
    throw shell.signal.aborted ? new Exit(130) : error
  }
}
