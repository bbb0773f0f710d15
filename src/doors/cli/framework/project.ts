/** The project a command is about: from its files, or by name alone where the files are not needed. */
import { type LoadOptions, type LoadResult, loadProject } from '../../../compose/index.ts'
import { isError } from '../../../errors.ts'
import type { ProjectNames } from '../app/workloads.ts'
import { err, type Invocation } from './command.ts'

interface LoadWish {
  services?: string[]
  interpolate?: boolean
  normalize?: boolean
  resolvePaths?: boolean
  quiet?: boolean
}

export const loadOptions = ({ shell, globals }: Invocation, wish: LoadWish = {}): LoadOptions => ({
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

export const openProject = async (invocation: Invocation, wish: LoadWish = {}): Promise<LoadResult['project']> => {
  const { shell } = invocation
  const result = await loadProject(loadOptions(invocation, wish))
  if (!wish.quiet) for (const w of result.warnings) err(shell, `WARN[0000] ${w.at ? `${w.at.file}: ` : ''}${w.message}`)
  return result.project
}

export const namesOf = (project: LoadResult['project']): ProjectNames => {
  const all = { ...project.services, ...project.disabledServices }
  return {
    name: project.name,
    services: Object.keys(all),
    dependsOn: Object.fromEntries(Object.values(all).map((s) => [s.name, Object.keys(s.depends_on ?? {})])),
  }
}

/** The project's name and services: from the files, or the name from -p alone where there are none. */
export const projectNames = async (invocation: Invocation): Promise<ProjectNames> => {
  const given = invocation.globals['project-name'] as string | undefined
  try {
    const project = await openProject(invocation, { quiet: true })
    return namesOf(project)
  } catch (error) {
    const asked = (invocation.globals.file as string[] | undefined)?.length
    if (given && !asked && isError(error, 'not-found')) return { name: given, services: [], dependsOn: {} }
    throw error
  }
}
