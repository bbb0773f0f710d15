/** Relative paths made absolute, from the directory of the file that says them. */
import { homedir } from 'node:os'
import { isAbsolute, resolve } from 'node:path'
import { child, type MapNode, type Node, stringOf } from './node.ts'

/** A build context that is not a directory of this machine. */
export const isRemoteContext = (context: string): boolean =>
  /^(https?|git|ssh|docker-image|oci-layout|target|service):\/?\/?|^git@|^github\.com\//.test(context)

export const absolute = (path: string, directory: string): string => {
  if (path === '~' || path.startsWith('~/')) return resolve(homedir(), path.slice(2))
  return isAbsolute(path) || /^[A-Za-z]:[\\/]/.test(path) ? path : resolve(directory, path)
}

type Fix = (node: Node, directory: string, parent: MapNode | undefined) => Node
const plain: Fix = (node, directory) =>
  node.kind === 'scalar' && typeof node.value === 'string' && !node.value.startsWith('$')
    ? { ...node, value: absolute(node.value, directory) }
    : node
const unlessRemote: Fix = (node, directory, parent) =>
  isRemoteContext(stringOf(node) ?? '') ? node : plain(node, directory, parent)
const contextValue: Fix = unlessRemote
const bindSource: Fix = (node, directory, parent) =>
  ['bind', 'npipe'].includes(stringOf(child(parent, 'type')) ?? '') ? plain(node, directory, parent) : node
const boundDevice: Fix = (node, directory, parent) =>
  /(^|,)r?bind(,|$)/.test(stringOf(child(parent, 'o')) ?? '') ? plain(node, directory, parent) : node

const places: [string, Fix][] = [
  ['services.*.build.context', unlessRemote],
  ['services.*.build.additional_contexts.*', contextValue],
  ['services.*.env_file.*.path', plain],
  ['services.*.label_file.*', plain],
  ['services.*.extends.file', unlessRemote],
  ['services.*.volumes.*.source', bindSource],
  ['services.*.develop.watch.*.path', plain],
  ['services.*.credential_spec.file', plain],
  ['secrets.*.file', plain],
  ['configs.*.file', plain],
  ['volumes.*.driver_opts.device', boundDevice],
]

export const resolvePaths = (tree: MapNode, directory: string): MapNode =>
  places.reduce((node, [path, fix]) => visit(node, path.split('.'), undefined, fix, directory), tree as Node) as MapNode

const visit = (node: Node, path: string[], parent: MapNode | undefined, fix: Fix, directory: string): Node => {
  const [step, ...rest] = path
  if (step === undefined) return fix(node, directory, parent)
  if (node.kind === 'list')
    return step === '*'
      ? { ...node, items: node.items.map((item) => visit(item, rest, undefined, fix, directory)) }
      : node
  if (node.kind !== 'map') return node
  const entries = new Map<string, Node>()
  for (const [key, value] of node.entries)
    entries.set(key, step === '*' || key === step ? visit(value, rest, node, fix, directory) : value)
  return { ...node, entries }
}
