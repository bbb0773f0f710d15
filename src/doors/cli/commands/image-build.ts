import { buildFlags } from '../build/flags.ts'
import { isImageBuild } from '../build/which.ts'
import type { Command, Shell } from '../framework/command.ts'
import { single } from '../framework/subcommands.ts'

/** undefined: it is about services. */
export const imageBuild = async (argv: readonly string[], shell: Shell): Promise<Command | undefined> => {
  if (!isImageBuild(argv, buildFlags, shell.cwd)) return undefined
  const { buildCommand } = await import('../build/command.ts')
  return single('build', buildCommand)
}
