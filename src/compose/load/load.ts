/** From files to a Project: the order of the steps. */
import { dirname, resolve } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import type { SourcePosition } from '../../errors.ts'
import type { Project, Service } from '../../spec/compose/project.ts'
import { projectShape } from '../../spec/compose/schema.ts'
import type { LoadOptions, LoadResult } from '../types.ts'
import { checkRequired } from './check.ts'
import { checkConsistency } from './consistency.ts'
import { discover, projectName } from './discover.ts'
import { callersEnvironment, type Environment, lookupIn, readIfThere, withEnvFiles } from './environment.ts'
import { substitute } from './interpolate.ts'
import { child, type MapNode, type Node, stringOf, toPlain, walk } from './node.ts'
import { normalize } from './normalize.ts'
import { parseYaml } from './parse.ts'
import { type Problem, problems, Sources } from './problem.ts'
import { activeProfiles, applyProfiles } from './profiles.ts'
import { lookAtBind, readFileObject, resolveEnvironment, resolveLabels } from './resolve.ts'
import { readTree } from './tree.ts'

/** Throws SlipwayErrors that say file, line and column and show them (`details.source`). */
export const loadProject = async (options: LoadOptions): Promise<LoadResult> => {
  const sources = new Sources()
  const problem = problems(sources)
  const tools = { sources, problem }
  const warnings: LoadResult['warnings'] = []
  const stdin = onceStdin()

  let environment = callersEnvironment(options)
  environment = await withEnvFiles(environment, options.envFiles, options.workingDir, options.workingDir, tools)
  const files = discover(options, environment, warnings)
  const directory = resolve(
    options.workingDir,
    options.projectDirectory ?? (files[0] === '-' ? options.workingDir : dirname(files[0]!)),
  )
  environment = await withEnvFiles(environment, options.envFiles, directory, options.workingDir, tools)
  const parsed: Parsed = new Map()
  const said = await nameInFiles(files, environment, { problem, stdin, parsed })
  const name = projectName(options, environment, said, directory)
  environment = { ...environment, COMPOSE_PROJECT_NAME: name }

  const tree = await readTree(files, {
    ...tools,
    warnings,
    environment,
    directory,
    interpolate: options.interpolate ?? true,
    resolvePaths: options.resolvePaths ?? true,
    chain: files,
    stdin,
    parsed,
    unset: new Set(),
  })
  const version = child(tree, 'version')
  if (version)
    warnings.push({
      message: `the attribute \`version\` is obsolete, it will be ignored, please remove it to avoid potential confusion`,
      at: version.at,
    })
  checkRequired(tree, projectShape, '', { problem, interpolated: options.interpolate ?? true })
  const project = toProject(tree, { name, workingDir: directory, composeFiles: files, environment })
  const asked = options.profiles.length ? options.profiles : (environment.COMPOSE_PROFILES?.split(',') ?? [])
  project.profiles = activeProfiles(asked, options.services ?? [], project.services)
  applyProfiles(project)
  if (options.normalize ?? true) normalize(project)
  for (const service of Object.values(project.services)) {
    await resolveEnvironment(service, project, tools)
    await resolveLabels(service, project, tools)
    for (const mount of service.volumes ?? []) await lookAtBind(mount)
  }
  checkConsistency(project, problem)
  for (const object of [...Object.values(project.secrets), ...Object.values(project.configs)])
    await readFileObject(object, environment)
  return { project, warnings }
}

const onceStdin = (): (() => Promise<string>) => {
  let read: Promise<string> | undefined
  return () => (read ??= readAll(process.stdin))
}

type Parsed = Parameters<typeof readTree>[1]['parsed']

/** The last `name:` of the files, substituted; read before anything else since `${COMPOSE_PROJECT_NAME}` needs it. */
const nameInFiles = async (
  files: string[],
  environment: Environment,
  { problem, stdin, parsed }: { problem: Problem; stdin: () => Promise<string>; parsed: Parsed },
): Promise<string | undefined> => {
  let name: string | undefined
  for (const file of files) {
    const text = file === '-' ? await stdin() : await readIfThere(file).catch(() => undefined)
    if (text === undefined || !/^\s*["']?name["']?\s*:/m.test(text)) continue
    const trees = await parseYaml(text, file, problem)
    parsed.set(file, { text, trees })
    for (const document of trees) {
      const said = stringOf(child(document, 'name'))
      if (said !== undefined) name = substitute(said, lookupIn(environment))
    }
  }
  return name
}

const toProject = (
  tree: MapNode,
  known: Pick<Project, 'name' | 'workingDir' | 'composeFiles' | 'environment'>,
): Project => {
  const positions = new Map<string, SourcePosition>()
  walk(tree, '', (path, node) => positions.set(path, node.keyAt ?? node.at))
  const section = <T>(key: string): Record<string, T> => {
    const node = child(tree, key)
    return Object.fromEntries(entriesOf(node).map(([name, value]) => [name, withoutNulls(toPlain(value)) as T]))
  }
  const services = section<Service>('services')
  for (const [name, service] of Object.entries(services)) services[name] = { ...service, name }
  return {
    ...known,
    profiles: [],
    services,
    disabledServices: {},
    networks: section('networks'),
    volumes: section('volumes'),
    secrets: section('secrets'),
    configs: section('configs'),
    models: section('models'),
    extensions: Object.fromEntries(
      entriesOf(tree).flatMap(([key, node]) => (key.startsWith('x-') ? [[key, toPlain(node)]] : [])),
    ),
    positions,
  }
}
const entriesOf = (node: Node | undefined): [string, Node][] => (node?.kind === 'map' ? [...node.entries] : [])

/** `null` at the first level means "nothing said". */
const withoutNulls = (value: unknown): unknown =>
  value === null || typeof value !== 'object'
    ? {}
    : Object.fromEntries(Object.entries(value).filter(([, v]) => v !== null))
