/** Checks a tree against the schema: every key known, every value of its type. Scalars come out cast to their type. */
import { nearest } from '../../lib/nearest.ts'
import type { ObjectShape, Scalar, Shape } from '../../spec/compose/shape.ts'
import { parseBoolean, parseBytes, parseDuration } from '../../spec/compose/units.ts'
import type { ListNode, MapNode, Node, ScalarNode } from './node.ts'
import { scalar, textOf } from './node.ts'
import type { Problem } from './problem.ts'

interface CheckOptions {
  problem: Problem
  /** False: a value that still has `$` in it passes unread. */
  interpolated: boolean
}

const typeNames: Record<Exclude<Shape['is'], 'oneOf' | 'any'>, string> = {
  string: 'a string',
  text: 'a string',
  integer: 'an integer',
  number: 'a number',
  boolean: 'a boolean',
  duration: 'a duration',
  bytes: 'a size',
  mode: 'an octal file mode',
  list: 'a list',
  map: 'a mapping',
  object: 'a mapping',
}
const describe = (shape: Shape): string =>
  shape.is === 'any'
    ? 'anything'
    : shape.is === 'oneOf'
      ? [...new Set(shape.options.map(describe))].join(' or ')
      : typeNames[shape.is]

/** The tree with its scalars cast. A `null` where none is allowed says nothing and is left out. */
export const check = (node: Node, shape: Shape, path: string, options: CheckOptions): Node => {
  if (shape.is === 'any' || node.tag === 'reset') return node
  if (node.kind === 'scalar' && node.value === null) return node
  if (shape.is === 'oneOf') {
    const chosen = shape.options.find((option) => suits(node, option))
    if (!chosen) throw wrongType(node, shape, path, options)
    return check(node, chosen, path, options)
  }
  if (!suits(node, shape)) throw wrongType(node, shape, path, options)
  if (node.kind === 'list') return checkList(node, shape as Extract<Shape, { is: 'list' }>, path, options)
  if (node.kind === 'map') return checkMap(node, shape as Extract<Shape, { is: 'map' | 'object' }>, path, options)
  return checkScalar(node, shape as Scalar, path, options)
}

const suits = (node: Node, shape: Shape): boolean => {
  if (shape.is === 'any') return true
  if (shape.is === 'oneOf') return shape.options.some((option) => suits(node, option))
  if (shape.is === 'list') return node.kind === 'list'
  if (shape.is === 'map' || shape.is === 'object') return node.kind === 'map'
  if (node.kind !== 'scalar') return false
  if (shape.is === 'string' || shape.is === 'duration') return typeof node.value === 'string'
  return true
}

const wrongType = (node: Node, shape: Shape, path: string, { problem }: CheckOptions): Error => {
  const quoted = node.kind === 'scalar' && typeof node.value !== 'string' && describe(shape).includes('a string')
  const hint = quoted
    ? `Put it in quotes: "${textOf(node)}".`
    : shape.is === 'duration'
      ? 'Write it with a unit, such as "10s" or "1m30s".'
      : undefined
  return problem(node.at, `${path} must be ${describe(shape)}`, hint)
}

const checkList = (
  node: ListNode,
  shape: Extract<Shape, { is: 'list' }>,
  path: string,
  options: CheckOptions,
): Node => {
  const items = node.items
    .filter((item) => !(item.kind === 'scalar' && item.value === null))
    .map((item, i) => check(item, shape.of, `${path}.${i}`, options))
  if (shape.unique) {
    const seen = new Set<unknown>()
    for (const item of items) {
      if (item.kind !== 'scalar') continue
      if (seen.has(item.value)) throw options.problem(item.at, `${path} contains non-unique item "${textOf(item)}"`)
      seen.add(item.value)
    }
  }
  return { ...node, items }
}

const checkMap = (
  node: MapNode,
  shape: Extract<Shape, { is: 'map' | 'object' }>,
  path: string,
  options: CheckOptions,
): Node => {
  const entries = new Map<string, Node>()
  for (const [key, value] of node.entries) {
    const at = path ? `${path}.${key}` : key
    const inner = shapeOfKey(shape, key)
    if (!inner) throw unknownKey(key, value, shape, path, options)
    const nullable = inner.is === 'any' || inner.nullable || shape.is === 'map'
    if (value.kind === 'scalar' && value.value === null && !nullable && !value.tag) continue
    entries.set(key, check(value, inner, at, options))
  }
  return { ...node, entries }
}

const shapeOfKey = (shape: Extract<Shape, { is: 'map' | 'object' }>, key: string): Shape | undefined => {
  if (shape.is === 'map') return !shape.names || shape.names.test(key) || key.startsWith('x-') ? shape.of : undefined
  if (Object.hasOwn(shape.fields, key)) return shape.fields[key]
  return shape.extensions && key.startsWith('x-') ? { is: 'any' } : undefined
}

const unknownKey = (
  key: string,
  value: Node,
  shape: Extract<Shape, { is: 'map' | 'object' }>,
  path: string,
  { problem }: CheckOptions,
): Error => {
  const where = path ? `${path}: ` : ''
  if (shape.is === 'map')
    return problem(
      value.keyAt,
      `${where}additional properties '${key}' not allowed`,
      `Names consist of ${shape.names?.source.startsWith('^[a-zA') ? 'letters, digits, dots, dashes and underscores' : 'small letters'}.`,
    )
  const near = nearest(key, Object.keys(shape.fields))
  const known =
    Object.keys(shape.fields).length <= 12 ? `Known here: ${Object.keys(shape.fields).join(', ')}.` : undefined
  return problem(
    value.keyAt,
    `${where}additional properties '${key}' not allowed${near ? `; did you mean '${near}'?` : ''}`,
    near ? `Write '${near}', or 'x-${key}' for a key of your own.` : (known ?? `A key of your own begins with x-.`),
  )
}

const checkScalar = (node: ScalarNode, shape: Scalar, path: string, options: CheckOptions): ScalarNode => {
  const { problem } = options
  const text = textOf(node)
  if (!options.interpolated && text.includes('$')) return node
  const value = cast(node, shape)
  if (value === undefined)
    throw problem(node.at, `${path} must be ${typeNames[shape.is]}, not "${text}"`, castHint(shape))
  if (shape.values && !shape.values.includes(value as string))
    throw problem(
      node.at,
      `${path} must be one of ${shape.values.map((v) => `'${v}'`).join(', ')}`,
      near(text, shape.values),
    )
  if (shape.pattern && !shape.pattern.test(String(value)))
    throw problem(node.at, `${path}: '${text}' does not match pattern ${shape.pattern.source}`)
  if (typeof value === 'number' && shape.minimum !== undefined && value < shape.minimum)
    throw problem(node.at, `${path} must be greater than or equal to ${shape.minimum}`)
  if (typeof value === 'number' && shape.maximum !== undefined && value > shape.maximum)
    throw problem(node.at, `${path} must be less than or equal to ${shape.maximum}`)
  return { ...scalar(value, node), ...(node.source !== undefined && { source: node.source }) }
}
const near = (text: string, names: readonly string[]): string | undefined => {
  const found = nearest(text, names)
  return found && `Did you mean '${found}'?`
}
const castHint = (shape: Scalar): string | undefined =>
  shape.is === 'duration'
    ? 'Durations are written like "500ms", "10s" or "1m30s".'
    : shape.is === 'bytes'
      ? 'Sizes are written like "512m" or "2g".'
      : shape.is === 'boolean'
        ? 'Write true or false.'
        : undefined

const cast = (node: ScalarNode, shape: Scalar): string | number | boolean | undefined => {
  const { value } = node
  const text = textOf(node)
  switch (shape.is) {
    case 'string':
    case 'text':
      return text
    case 'boolean':
      return typeof value === 'boolean' ? value : parseBoolean(text)
    case 'integer':
      return typeof value === 'boolean' || !/^[-+]?\d+(\.0+)?$/.test(text) ? undefined : Number(text)
    case 'number':
      return typeof value === 'boolean' || text.trim() === '' || Number.isNaN(Number(text)) ? undefined : Number(text)
    case 'duration':
      return parseDuration(text)
    case 'bytes':
      return text === '-1' ? -1 : parseBytes(text)
    case 'mode':
      if (typeof value === 'number') return value
      return /^(0o)?[0-7]+$/.test(text) ? Number.parseInt(text.replace(/^0o/, ''), 8) : undefined
  }
}

/** Keys that must be there, looked at once everything is merged. */
export const checkRequired = (node: Node, shape: Shape, path: string, options: CheckOptions): void => {
  if (node.kind === 'scalar' || shape.is === 'any') return
  if (shape.is === 'oneOf') {
    const chosen = shape.options.find((option) => suits(node, option))
    if (chosen) checkRequired(node, chosen, path, options)
  } else if (node.kind === 'list' && shape.is === 'list') {
    for (const [i, item] of node.items.entries()) checkRequired(item, shape.of, `${path}.${i}`, options)
  } else if (node.kind === 'map' && (shape.is === 'map' || shape.is === 'object')) {
    for (const key of (shape as ObjectShape).required ?? [])
      if (!node.entries.has(key)) throw options.problem(node.keyAt ?? node.at, `${path}: missing property '${key}'`)
    for (const [key, value] of node.entries) {
      const inner = shapeOfKey(shape, key)
      if (inner) checkRequired(value, inner, path ? `${path}.${key}` : key, options)
    }
  }
}
