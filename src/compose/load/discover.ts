/** Which files make the project, and what it is called. */
import { existsSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { LoadOptions, LoadResult } from '../types.ts'
import type { Environment } from './environment.ts'

const candidates = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml']
const overrides = [
  'compose.override.yml',
  'compose.override.yaml',
  'docker-compose.override.yml',
  'docker-compose.override.yaml',
]

/** Absolute paths ('-' for stdin) in the order of merging. */
export const discover = (
  options: LoadOptions,
  environment: Environment,
  warnings: LoadResult['warnings'],
): string[] => {
  if (options.files.length)
    return options.files.map((file) => (file === '-' ? file : resolve(options.workingDir, file)))
  if (environment.COMPOSE_FILE) {
    const separator = environment.COMPOSE_PATH_SEPARATOR || ':'
    return environment.COMPOSE_FILE.split(separator)
      .filter(Boolean)
      .map((file) => (file === '-' ? file : resolve(options.workingDir, file)))
  }
  const start = resolve(options.projectDirectory ?? options.workingDir)
  for (let directory = start; ; directory = dirname(directory)) {
    const found = candidates.filter((name) => existsSync(join(directory, name)))
    if (found.length > 1)
      warnings.push({
        message: `Found multiple config files with supported names: ${found.map((name) => join(directory, name)).join(', ')}. Using ${join(directory, found[0]!)}`,
      })
    if (found[0]) {
      const override = overrides.filter((name) => existsSync(join(directory, name)))
      if (override.length > 1)
        warnings.push({
          message: `Found multiple override files with supported names: ${override.join(', ')}. Using ${override[0]}`,
        })
      return [join(directory, found[0]), ...override.slice(0, 1).map((name) => join(directory, name))]
    }
    if (dirname(directory) === directory || options.projectDirectory) break
  }
  throw new SlipwayError('not-found', 'no configuration file provided: not found', {
    hint: `There is no compose.yaml in ${start} or above it. Change to the project's directory or name the file with -f.`,
  })
}

const validName = /^[a-z0-9][a-z0-9_-]*$/
const normalizeName = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^-_a-z0-9]/g, '')
    .replace(/^[_-]+/, '')

/** -p, then COMPOSE_PROJECT_NAME, then the last `name:`, then the directory's name. Only the last is bent into shape. */
export const projectName = (
  options: LoadOptions,
  environment: Environment,
  fromFiles: string | undefined,
  directory: string,
): string => {
  const said = options.projectName || environment.COMPOSE_PROJECT_NAME || fromFiles
  if (said) {
    if (validName.test(said)) return said
    const better = normalizeName(said)
    throw new SlipwayError(
      'invalid',
      `invalid project name "${said}": must consist only of lowercase alphanumeric characters, hyphens, and underscores as well as start with a letter or number`,
      better ? { hint: `"${better}" would do.` } : {},
    )
  }
  const name = normalizeName(basename(directory))
  if (name) return name
  throw new SlipwayError('invalid', 'project name must not be empty', {
    hint: 'Give one with -p, COMPOSE_PROJECT_NAME or `name:` in the file.',
  })
}
