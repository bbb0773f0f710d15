/** A Compose file as a tree that remembers where everything was written. Trees are rebuilt, never shared, never changed. */
import type { SourcePosition } from '../../errors.ts'

interface Placed {
  at: SourcePosition
  /** Where the key is, for a value in a map. */
  keyAt?: SourcePosition | undefined
  /** `!reset` takes away what earlier files said, `!override` replaces it instead of merging. */
  tag?: 'reset' | 'override' | undefined
}
type ScalarValue = string | number | boolean | null
export interface ScalarNode extends Placed {
  kind: 'scalar'
  value: ScalarValue
  /** As written, for numbers. */
  source?: string | undefined
}
export interface ListNode extends Placed {
  kind: 'list'
  items: Node[]
}
export interface MapNode extends Placed {
  kind: 'map'
  entries: Map<string, Node>
}
export type Node = ScalarNode | ListNode | MapNode

export const scalar = (value: ScalarValue, at: Placed): ScalarNode => ({ kind: 'scalar', value, ...placeOf(at) })
export const listOf = (items: Node[], at: Placed): ListNode => ({ kind: 'list', items, ...placeOf(at) })
export const mapOf = (entries: Iterable<readonly [string, Node]>, at: Placed): MapNode => ({
  kind: 'map',
  entries: new Map(entries),
  ...placeOf(at),
})
const placeOf = ({ at, keyAt, tag }: Placed): Placed => ({ at, ...(keyAt && { keyAt }), ...(tag && { tag }) })

/** A new map with some entries set or (undefined) taken away. */
export const withEntries = (node: MapNode, changes: Record<string, Node | undefined>): MapNode => {
  const entries = new Map(node.entries)
  for (const [key, value] of Object.entries(changes)) {
    if (value) entries.set(key, value)
    else entries.delete(key)
  }
  return { ...node, entries }
}

export const child = (node: Node | undefined, key: string): Node | undefined =>
  node?.kind === 'map' ? node.entries.get(key) : undefined
export const stringOf = (node: Node | undefined): string | undefined =>
  node?.kind === 'scalar' && node.value !== null ? textOf(node) : undefined

/** A scalar as text: integers too big for a number keep their digits. */
export const textOf = (node: ScalarNode): string => {
  if (typeof node.value === 'number' && !Number.isSafeInteger(node.value) && /^[-+]?\d+$/.test(node.source ?? ''))
    return node.source!
  return node.value === null ? '' : String(node.value)
}

/** The same tree as plain values. */
export const toPlain = (node: Node): unknown => {
  if (node.kind === 'scalar') return node.value
  if (node.kind === 'list') return node.items.map(toPlain)
  const plain: Record<string, unknown> = {}
  for (const [key, value] of node.entries)
    Object.defineProperty(plain, key, { value: toPlain(value), enumerable: true, writable: true, configurable: true })
  return plain
}

/** Calls `visit` for every node below with its dotted path. */
export const walk = (node: Node, path: string, visit: (path: string, node: Node) => void): void => {
  visit(path, node)
  const below = (key: string | number): string => (path ? `${path}.${key}` : String(key))
  if (node.kind === 'list') for (const [i, item] of node.items.entries()) walk(item, below(i), visit)
  if (node.kind === 'map') for (const [key, value] of node.entries) walk(value, below(key), visit)
}
