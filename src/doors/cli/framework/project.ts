/** The project a command is about: from its files, or by name alone where the files are not needed. */
import { loadProject, type LoadResult } from '../../../compose/index.ts'
import { isError } from '../../../errors.ts'
import { err, type Invocation } from './command.ts'

export interface LoadWish {
  services?: string[]
  interpolate?: boolean
  normalize?: boolean
  resolvePaths?: boolean
  quiet?: boolean
}

export const openProject = async (invocation: Invocation, wish: LoadWish = {}): Promise<LoadResult['project']> => {
  const { shell, globals } = invocation
  const result = await loadProject({
    files: (globals.file as string[] | undefined) ?? [],
    workingDir: shell.cwd,
    projectDirectory: globals['project-directory'] as string | undefined,
    projectName: globals['project-name'] as string | undefined,
    profiles: (globals.profile as string[] | undefined) ?? [],
    envFiles: (globals['env-file'] as string[] | undefined) ?? [],
    environment: shell.env,
    services: wish.services,
    interpolate: wish.interpolate,
    normalize: wish.normalize,
    resolvePaths: wish.resolvePaths,
  })
  if (!wish.quiet) for (const w of result.warnings) err(shell, `WARN[0000] ${w.at ? `${w.at.file}: ` : ''}${w.message}`)
  return result.project
}

/** The project's name: from -p alone, or from the files. */
export const projectName = async (invocation: Invocation): Promise<string> => {
  const given = invocation.globals['project-name'] as string | undefined
  if (given && !(invocation.globals.file as string[] | undefined)?.length) {
    try {
      return (await openProject(invocation, { quiet: true })).name
    } catch (error) {
      if (isError(error, 'not-found')) return given
      throw error
    }
  }
  return (await openProject(invocation, { quiet: true })).name
}
