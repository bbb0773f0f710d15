/** For tests: projects from files that exist only for the length of one test. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { isError, type SlipwayError } from '../../errors.ts'
import type { Project, Service } from '../../spec/compose/project.ts'
import type { LoadOptions, LoadResult } from '../types.ts'
import { loadProject } from './load.ts'

interface Loaded extends LoadResult {
  directory: string
}
type Options = Partial<Omit<LoadOptions, 'workingDir'>> & { cwd?: string }

/** Writes the files into a directory called `shop` and loads the project that is there. */
export const loadFiles = async (files: Record<string, string>, options: Options = {}): Promise<Loaded> => {
  const root = mkdtempSync(join(tmpdir(), 'compose-'))
  const directory = join(root, 'shop')
  try {
    mkdirSync(directory)
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, name)), { recursive: true })
      writeFileSync(join(directory, name), text)
    }
    const { cwd, ...rest } = options
    const result = await loadProject({
      files: [],
      profiles: [],
      envFiles: [],
      environment: {},
      ...rest,
      workingDir: join(directory, cwd ?? '.'),
    })
    return { ...result, directory }
  } finally {
    rmSync(root, { recursive: true })
  }
}

export const load = (yaml: string, options: Options = {}): Promise<Loaded> =>
  loadFiles({ 'compose.yaml': yaml }, options)
export const projectOf = async (yaml: string, options: Options = {}): Promise<Project> =>
  (await load(yaml, options)).project

/** The service `web` of a file that has nothing else; `yaml` is its attributes, not indented. */
export const web = async (
  yaml: string,
  options: Omit<Options, 'files'> & { also?: string; files?: Record<string, string> } = {},
): Promise<Service> => {
  const { also = '', files = {}, ...rest } = options
  const body = `${yaml.includes('image:') ? '' : 'image: web\n'}${yaml}`.replace(/^(?=.)/gm, '    ')
  const { project } = await loadFiles({ 'compose.yaml': `services:\n  web:\n${body}\n${also}`, ...files }, rest)
  return project.services.web!
}

/** The service of several files merged in order; each is the attributes of `web`. */
export const merged = async (...parts: string[]): Promise<Service> => {
  const names = parts.map((_, i) => `${i}.yaml`)
  const files = Object.fromEntries(
    parts.map((part, i) => [
      `${i}.yaml`,
      `services:\n  web:\n${(i === 0 && !part.includes('image:') ? 'image: web\n' : '').concat(part).replace(/^(?=.)/gm, '    ')}\n`,
    ]),
  )
  const root = await loadFiles(files, { files: names })
  return root.project.services.web!
}

/** The error that loading ends in. */
export const failure = async (work: Promise<unknown>): Promise<SlipwayError> => {
  try {
    await work
  } catch (error) {
    if (isError(error)) return error
    throw error
  }
  throw new Error('this should have failed')
}
export const excerptOf = (error: SlipwayError): string => (error.details as { source: string }).source
