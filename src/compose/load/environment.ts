/** Where variables come from: the caller's environment, then --env-file (last wins) or .env. */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { LoadOptions } from '../types.ts'
import { parseDotenv } from './dotenv.ts'
import type { Lookup } from './interpolate.ts'
import type { Problem, Sources } from './problem.ts'

export type Environment = Record<string, string>
export const lookupIn =
  (environment: Environment): Lookup =>
  (name) =>
    Object.hasOwn(environment, name) ? environment[name] : undefined

export const callersEnvironment = (options: Pick<LoadOptions, 'environment'>): Environment => {
  const result: Environment = {}
  for (const [key, value] of Object.entries(options.environment)) if (value !== undefined) result[key] = value
  return result
}

/** undefined when there is no such file. */
export const readIfThere = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

/** What the files define, the last one winning; values may mention `environment` and earlier files. */
export const readEnvFiles = async (
  files: string[],
  environment: Environment,
  { sources, problem }: { sources: Sources; problem: Problem },
): Promise<Environment> => {
  let result: Environment = {}
  for (const file of files) {
    const text = await readIfThere(file)
    if (text === undefined)
      throw problem({ file }, `couldn't find env file: ${file}`, 'Check the path given with --env-file.', 'not-found')
    sources.add(file, text)
    const known = { ...result, ...environment }
    result = { ...result, ...Object.fromEntries(parseDotenv(text, file, lookupIn(known), problem)) }
  }
  return result
}

const disabled = (environment: Environment): boolean =>
  ['1', 'true', 't'].includes((environment.COMPOSE_DISABLE_ENV_FILE ?? '').toLowerCase())

/** Adds what .env files (or the explicit ones) say below what is known already. */
export const withEnvFiles = async (
  environment: Environment,
  explicit: string[],
  directory: string,
  workingDir: string,
  tools: { sources: Sources; problem: Problem },
): Promise<Environment> => {
  const named = explicit.length ? explicit : (environment.COMPOSE_ENV_FILES?.split(',').filter(Boolean) ?? [])
  if (named.length) {
    const files = named.map((file) => resolve(workingDir, file))
    return { ...(await readEnvFiles(files, environment, tools)), ...environment }
  }
  const file = join(directory, '.env')
  if (disabled(environment) || (await readIfThere(file).catch(() => undefined)) === undefined) return environment
  return { ...(await readEnvFiles([file], environment, tools)), ...environment }
}
