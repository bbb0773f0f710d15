/** -o: archives to files. */
import { createWriteStream, renameSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Exit } from '../framework/failure.ts'
import type { EngineCallContext } from './calls.ts'

/** Writes a stream where -o says; a file is there when it is whole, and one that was there before stays until then. */
export const saveTo = async (
  { shell, flags }: EngineCallContext,
  open: () => Promise<NodeJS.ReadableStream>,
): Promise<number> => {
  const given = (flags.output as string | undefined) ?? ''
  if (given === '') {
    if (shell.stdout.isTTY) throw new Exit(1, 'cowardly refusing to save to a terminal. Use the -o flag or redirect')
    await pipeline(await open(), shell.stdout, { end: false })
    return 0
  }
  const file = resolve(shell.cwd, given)
  const part = `${file}.${process.pid}.part`
  const archive = await open()
  try {
    await pipeline(archive, createWriteStream(part, { mode: 0o600 }))
    renameSync(part, file)
    return 0
  } catch (error) {
    rmSync(part, { force: true })
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    if (missing)
      throw new Exit(
        1,
        `failed to save image: invalid output path: directory ${JSON.stringify(resolve(file, '..'))} does not exist`,
      )
    throw shell.signal.aborted ? new Exit(130) : error
  }
}
