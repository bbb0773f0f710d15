/** Files to one tree: parse, interpolate, check, write out, include, extend, merge. */
import { dirname, resolve } from 'node:path'
import type { SourcePosition } from '../../errors.ts'
import { projectShape } from '../../spec/compose/schema.ts'
import type { LoadResult } from '../types.ts'
import { canonical } from './canonical.ts'
import { check } from './check.ts'
import { type Environment, lookupIn, readEnvFiles, readIfThere } from './environment.ts'
import { interpolate } from './interpolate.ts'
import { merge } from './merge.ts'
import { child, type ListNode, type MapNode, type Node, stringOf, withEntries } from './node.ts'
import { parseYaml } from './parse.ts'
import { absolute, isRemoteContext, resolvePaths } from './paths.ts'
import type { Problem, Sources } from './problem.ts'

interface TreeContext {
  sources: Sources
  problem: Problem
  warnings: LoadResult['warnings']
  environment: Environment
  /** Relative paths are from here. */
  directory: string
  interpolate: boolean
  resolvePaths: boolean
  /** Files that are being included or extended, outermost first. */
  chain: string[]
  stdin: () => Promise<string>
  /** Trees of files that were looked at before, each for one use. */
  parsed: Map<string, { text: string; trees: MapNode[] }>
  unset: Set<string>
}

const readText = async (file: string, context: TreeContext, at: SourcePosition | undefined): Promise<string> => {
  const text =
    file === '-'
      ? await context.stdin()
      : await readIfThere(file).catch((error: Error) => {
          throw context.problem(at, `open ${file}: ${error.message}`, undefined, 'not-found')
        })
  if (text === undefined)
    throw context.problem(
      at ?? { file },
      `open ${file}: no such file or directory`,
      'Check the path; relative paths start at the working directory.',
      'not-found',
    )
  context.sources.add(file, text)
  return text
}

/** The documents of a file, each checked and in the long form, not yet included or extended. */
const readDocuments = async (file: string, context: TreeContext, at?: SourcePosition): Promise<MapNode[]> => {
  const { problem, warnings } = context
  const text = await readText(file, context, at)
  const known = context.parsed.get(file)
  context.parsed.delete(file)
  const documents = known?.text === text ? known.trees : await parseYaml(text, file, problem)
  return documents.map((document) => {
    const warn = (name: string, where: SourcePosition): void => {
      if (context.unset.has(name)) return
      context.unset.add(name)
      warnings.push({ message: `The "${name}" variable is not set. Defaulting to a blank string.`, at: where })
    }
    const filled = context.interpolate ? interpolate(document, lookupIn(context.environment), problem, warn) : document
    const checked = check(filled, projectShape, '', { problem, interpolated: context.interpolate }) as MapNode
    const written = canonical(checked, problem)
    return context.resolvePaths ? resolvePaths(written, context.directory) : written
  })
}

/** One tree from all files. */
export const readTree = async (files: string[], context: TreeContext): Promise<MapNode> => {
  let tree: MapNode | undefined
  for (const file of files) {
    for (const document of await readDocuments(file, context)) {
      const whole = await withIncludes(document, context)
      const extended = await withExtends(whole, tree, file, context)
      tree = merge(tree, extended, '', context.problem) as MapNode
    }
  }
  if (!tree)
    throw context.problem({ file: files[0]! }, 'empty compose file', 'Write at least `services:` with one service.')
  return tree
}

const strings = (node: Node | undefined): string[] =>
  node?.kind === 'list' ? (node as ListNode).items.map((item) => stringOf(item) ?? '') : []

/** Included projects first, this document over them. */
const withIncludes = async (document: MapNode, context: TreeContext): Promise<MapNode> => {
  const includes = child(document, 'include')
  if (includes?.kind !== 'list') return document
  const { problem, chain } = context
  let base: Node | undefined
  for (const item of includes.items) {
    const paths = strings(child(item, 'path')).map((path) => {
      if (isRemoteContext(path))
        throw problem(
          item.at,
          `include: remote resource ${path} is not supported`,
          'Fetch the files first and include them by path.',
          'unsupported',
        )
      return absolute(path, context.directory)
    })
    const directory = child(item, 'project_directory')
    const root = directory ? resolve(context.directory, stringOf(directory) ?? '') : dirname(paths[0]!)
    const cycle = paths.find((path) => chain.includes(path))
    if (cycle) throw problem(item.at, `include cycle detected: ${[...chain, cycle].join(' -> ')}`)
    const envFiles = strings(child(item, 'env_file')).map((path) => absolute(path, context.directory))
    if (!envFiles.length && (await readIfThere(resolve(root, '.env')).catch(() => undefined)) !== undefined)
      envFiles.push(resolve(root, '.env'))
    const files = envFiles.filter((path) => path !== '/dev/null')
    const own = await readEnvFiles(files, context.environment, context)
    const included = await readTree(paths, {
      ...context,
      directory: root,
      environment: { ...own, ...context.environment },
      chain: [...chain, ...paths],
    })
    base = merge(base, withEntries(included, { name: undefined, version: undefined }), '', problem)
  }
  const rest = withEntries(document, { include: undefined })
  return base ? (merge(base, rest, '', problem) as MapNode) : rest
}

/** Services with what they extend merged under them. */
const withExtends = async (
  document: MapNode,
  earlier: MapNode | undefined,
  file: string,
  context: TreeContext,
): Promise<MapNode> => {
  const services = child(document, 'services')
  if (services?.kind !== 'map') return document
  const entries = new Map<string, Node>()
  for (const [name, service] of services.entries)
    entries.set(
      name,
      await extend(service, name, { services, earlier: child(earlier, 'services'), file, context, chain: [] }),
    )
  return withEntries(document, { services: { ...services, entries } })
}

interface ExtendScope {
  services: MapNode
  /** Services of files merged before this one. */
  earlier: Node | undefined
  file: string
  context: TreeContext
  /** "file#service" of the services being extended. */
  chain: string[]
}

const extend = async (service: Node, name: string, scope: ExtendScope): Promise<Node> => {
  const said = child(service, 'extends')
  if (service.kind !== 'map' || !said) return service
  const { problem } = scope.context
  const baseName = stringOf(child(said, 'service')) ?? ''
  const baseFile = stringOf(child(said, 'file'))
  const link = `${scope.file}#${name}`
  const chain = [...scope.chain, link]
  const file = baseFile === undefined ? scope.file : absolute(baseFile, scope.context.directory)
  if (chain.includes(`${file}#${baseName}`))
    throw problem(
      said.at,
      `circular reference with extends: ${[...chain, `${file}#${baseName}`].map((l) => l.slice(l.lastIndexOf('#') + 1)).join(' -> ')}`,
    )
  let base: Node | undefined
  let inner: ExtendScope = { ...scope, chain }
  if (baseFile === undefined) base = child(scope.services, baseName) ?? child(scope.earlier, baseName)
  else {
    const context = { ...scope.context, directory: dirname(file) }
    let documents: Node | undefined
    for (const document of await readDocuments(file, context, said.at))
      documents = merge(documents, document, '', problem)
    const services = child(documents, 'services')
    base = child(services, baseName)
    if (services?.kind === 'map') inner = { services, earlier: undefined, file, context, chain }
  }
  if (!base)
    throw problem(
      said.at,
      baseFile === undefined
        ? `cannot extend service "${name}" in ${scope.file}: service "${baseName}" not found`
        : `cannot extend service "${name}" in ${scope.file}: service "${baseName}" not found in ${file}`,
    )
  const extended = await extend(base, baseName, inner)
  const own = withEntries(service, { extends: undefined })
  const merged = merge(extended, own, `services.${name}`, problem) ?? own
  return { ...merged, at: service.at, keyAt: service.keyAt, tag: service.tag }
}
