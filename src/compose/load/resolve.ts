/** What a service says in other files: env_file, label_file; and the contents of secrets and configs. */
import { readFile, stat } from 'node:fs/promises'
import type { FileObject, Mount, Project, Service } from '../../spec/compose/project.ts'
import { positionOf } from '../../spec/compose/project.ts'
import { parseDotenv, parseRawEnv } from './dotenv.ts'
import { lookupIn, readIfThere } from './environment.ts'
import type { Problem, Sources } from './problem.ts'

interface Tools {
  sources: Sources
  problem: Problem
}

/** `environment` over env_file; `KEY` without a value takes the caller's, or takes the variable away. */
export const resolveEnvironment = async (
  service: Service,
  project: Project,
  { sources, problem }: Tools,
): Promise<void> => {
  const lookup = lookupIn(project.environment)
  const result = new Map<string, string>()
  for (const [i, entry] of (service.env_file ?? []).entries()) {
    const at = positionOf(project, `services.${service.name}.env_file.${i}`)
    const text = await readIfThere(entry.path)
    if (text === undefined) {
      if (!entry.required) continue
      throw problem(
        at,
        `env file ${entry.path} not found: stat ${entry.path}: no such file or directory`,
        'Create it, or set `required: false`.',
        'not-found',
      )
    }
    if (entry.format !== undefined && entry.format !== 'raw')
      throw problem(
        at,
        `services.${service.name}.env_file.${i}.format: unsupported env_file format "${entry.format}"`,
        "Only 'raw' is known.",
      )
    sources.add(entry.path, text)
    const known = (name: string): string | undefined => lookup(name) ?? result.get(name)
    const values = entry.format === 'raw' ? parseRawEnv(text, lookup) : parseDotenv(text, entry.path, known, problem)
    for (const [key, value] of values) result.set(key, value)
  }
  for (const [key, value] of Object.entries((service.environment ?? {}) as Record<string, string | null>)) {
    const resolved = value ?? lookup(key)
    if (resolved === undefined) result.delete(key)
    else result.set(key, resolved)
  }
  if (result.size) service.environment = Object.fromEntries(result)
  else delete service.environment
}

export const resolveLabels = async (service: Service, project: Project, { sources, problem }: Tools): Promise<void> => {
  let labels: Record<string, string> = {}
  for (const [i, path] of (service.label_file ?? []).entries()) {
    const text = await readIfThere(path)
    if (text === undefined)
      throw problem(
        positionOf(project, `services.${service.name}.label_file.${i}`),
        `label file ${path} not found: stat ${path}: no such file or directory`,
        undefined,
        'not-found',
      )
    sources.add(path, text)
    labels = { ...labels, ...Object.fromEntries(parseDotenv(text, path, lookupIn(project.environment), problem)) }
  }
  if (service.label_file) service.labels = { ...labels, ...service.labels }
}

/** Fills `data`. A file that is not there leaves it absent: only what is to be started needs it. */
export const readFileObject = async (object: FileObject, environment: Record<string, string>): Promise<void> => {
  if (object.external) return
  if (object.content !== undefined) object.data = Buffer.from(object.content)
  else if (object.environment !== undefined) {
    const value = lookupIn(environment)(object.environment)
    if (value !== undefined) object.data = Buffer.from(value)
  } else if (object.file !== undefined) {
    const data = await readFile(object.file).catch(() => undefined)
    if (data) object.data = data
  }
}

const mostBytes = 1 << 20

/** Looks at what a bind mount binds: a file is mounted, and carried to a cluster, otherwise than a directory. */
export const lookAtBind = async (mount: Mount): Promise<void> => {
  if (mount.type !== 'bind' || mount.source === undefined) return
  const stats = await stat(mount.source).catch(() => undefined)
  if (!stats) mount.found = { kind: 'nothing' }
  else if (stats.isDirectory()) mount.found = { kind: 'directory' }
  else if (stats.isSocket()) mount.found = { kind: 'socket' }
  else if (!stats.isFile()) mount.found = { kind: 'device' }
  else {
    const data =
      mount.read_only && stats.size <= mostBytes ? await readFile(mount.source).catch(() => undefined) : undefined
    mount.found = { kind: 'file', ...(data && { data }) }
  }
}
