/** YAML text to trees: aliases and `<<` written out, `!reset` and `!override` kept, duplicate keys refused. */
import type { Alias, LineCounter, Pair, Scalar, YAMLMap, YAMLSeq, Node as YamlNode } from 'yaml'
import type { SourcePosition } from '../../errors.ts'
import type { MapNode, Node, ScalarNode } from './node.ts'
import type { Problem } from './problem.ts'

/** More nodes than any honest file has: an alias bomb. */
const mostNodes = 200_000

/** One tree for each document of the file, empty documents left out. */
export const parseYaml = async (text: string, file: string, problem: Problem): Promise<MapNode[]> => {
  const yaml = await import('yaml')
  const lines = new yaml.LineCounter()
  const documents = yaml.parseAllDocuments(text.replace(/^\uFEFF/, ''), {
    lineCounter: lines,
    uniqueKeys: false,
    merge: false,
    schema: 'core',
    prettyErrors: false,
    logLevel: 'silent',
  })
  if ('empty' in documents) return []
  const trees: MapNode[] = []
  for (const document of documents) {
    const error = document.errors[0]
    if (error) {
      const at = positionAt(lines, file, error.pos[0])
      throw problem(
        at,
        `failed to parse ${file}: yaml: line ${at.line}: ${plainMessage(error.message)}`,
        yamlHint(error.message),
      )
    }
    if (!document.contents || (yaml.isScalar(document.contents) && document.contents.value === null)) continue
    const tree = new Reader(yaml, lines, file, problem).read(document.contents)
    if (tree.kind !== 'map') throw problem(tree.at, 'top-level object must be a mapping')
    trees.push(tree)
  }
  return trees
}

const positionAt = (lines: LineCounter, file: string, offset: number): SourcePosition => {
  const { line, col } = lines.linePos(offset)
  return { file, line: Math.max(1, line), column: Math.max(1, col) }
}
const plainMessage = (message: string): string => message.split('\n')[0]!.replace(/:$/, '')
const yamlHint = (message: string): string | undefined => {
  if (/tab/i.test(message)) return 'YAML is indented with spaces, not tabs.'
  if (/indent|column/i.test(message)) return 'Check the indentation: keys of one mapping start in the same column.'
  return undefined
}

class Reader {
  readonly #yaml: typeof import('yaml')
  readonly #lines: LineCounter
  readonly #file: string
  readonly #problem: Problem
  /** The latest node of each anchor, as reading goes on. */
  #anchors = new Map<string, YamlNode>()
  #open = new Set<string>()
  #count = 0

  constructor(yaml: typeof import('yaml'), lines: LineCounter, file: string, problem: Problem) {
    this.#yaml = yaml
    this.#lines = lines
    this.#file = file
    this.#problem = problem
  }

  read(node: YamlNode): Node {
    if (++this.#count > mostNodes) throw this.#problem(this.#at(node), 'document contains excessive aliasing')
    if (this.#yaml.isAlias(node)) return this.#alias(node)
    const { anchor } = node as { anchor?: string }
    if (anchor !== undefined) this.#anchors.set(anchor, node)
    const tag: ScalarNode['tag'] = node.tag === '!reset' ? 'reset' : node.tag === '!override' ? 'override' : undefined
    const place: Pick<ScalarNode, 'at' | 'tag'> = { at: this.#at(node), ...(tag && { tag }) }
    if (this.#yaml.isScalar(node)) return { ...this.#scalar(node), ...place }
    if (this.#yaml.isSeq(node))
      return { kind: 'list', items: (node as YAMLSeq<YamlNode>).items.map((item) => this.read(item)), ...place }
    if (this.#yaml.isMap(node))
      return { kind: 'map', entries: this.#entries(node as YAMLMap<YamlNode, YamlNode>), ...place }
    throw this.#problem(place.at, 'yaml: unknown node')
  }

  #at(node: YamlNode | null | undefined): SourcePosition {
    return positionAt(this.#lines, this.#file, node?.range?.[0] ?? 0)
  }

  #scalar(node: Scalar): ScalarNode {
    const at = this.#at(node)
    const source = node.source
    const { value } = node
    if (typeof value === 'number') {
      const plain = node.type === 'PLAIN' && /^0[0-7]+$/.test(source ?? '') // 0440 is octal, as in YAML 1.1
      return { kind: 'scalar', value: plain ? Number.parseInt(source!, 8) : value, source, at }
    }
    if (value === null || typeof value === 'string' || typeof value === 'boolean') return { kind: 'scalar', value, at }
    return { kind: 'scalar', value: source ?? String(value), at }
  }

  #alias(alias: Alias): Node {
    const target = this.#anchors.get(alias.source)
    const at = this.#at(alias)
    if (!target) throw this.#problem(at, `yaml: unknown anchor '${alias.source}' referenced`)
    if (this.#open.has(alias.source)) throw this.#problem(at, `yaml: anchor '${alias.source}' value contains itself`)
    this.#open.add(alias.source)
    const node = this.read(target)
    this.#open.delete(alias.source)
    return node
  }

  #entries(node: YAMLMap<YamlNode, YamlNode>): Map<string, Node> {
    const own = new Map<string, Node>()
    const merged: Node[] = []
    for (const pair of node.items as Pair<YamlNode, YamlNode | null>[]) {
      const keyAt = this.#at(pair.key)
      const key = this.#key(pair.key, keyAt)
      const value: Node = pair.value ? this.read(pair.value) : { kind: 'scalar', value: null, at: keyAt }
      if (key === '<<' && this.#yaml.isScalar(pair.key) && pair.key.type === 'PLAIN') {
        merged.push(value)
        continue
      }
      const before = own.get(key)
      if (before)
        throw this.#problem(
          keyAt,
          `yaml: line ${keyAt.line}: mapping key "${key}" already defined at line ${before.keyAt?.line}`,
        )
      own.set(key, { ...value, keyAt })
    }
    return merged.length ? this.#merge(own, merged) : own
  }

  /** `<<`: own keys win, then earlier maps. */
  #merge(own: Map<string, Node>, merged: Node[]): Map<string, Node> {
    const entries = new Map(own)
    for (const source of merged.flatMap((node) => (node.kind === 'list' ? node.items : [node]))) {
      if (source.kind !== 'map')
        throw this.#problem(source.at, 'yaml: map merge requires map or sequence of maps as the value')
      for (const [key, value] of source.entries) if (!entries.has(key)) entries.set(key, value)
    }
    return entries
  }

  #key(node: YamlNode, at: SourcePosition): string {
    const key = this.#yaml.isAlias(node) ? this.#anchors.get(node.source) : node
    if (!this.#yaml.isScalar(key)) throw this.#problem(at, 'Non-string key: a key must be a plain word')
    if (typeof key.value === 'string') return key.value
    if (key.value === null) throw this.#problem(at, 'Non-string key: null')
    return key.source ?? String(key.value) // 8080: or true: written without quotes
  }
}
