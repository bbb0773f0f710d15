/**
 * Sets of fields as metav1.FieldsV1 writes them: nested objects whose names are path elements: f:<field>, k:<keys of a list item
 * as JSON>, v:<value of a set>. `{}` and a member "." mean that the path itself belongs to the set.
 * Source: sigs.k8s.io/structured-merge-diff, fieldpath and typed.
 */
import { canonicalJson, equalJson, isRecord } from '../../lib/json.ts'
import type { Schema } from './schema.ts'

export interface FieldSet {
  [element: string]: FieldSet
}
const self = '.'

const childNames = (set: FieldSet): string[] => Object.keys(set).filter((key) => key !== self)
/** The path of this node is in the set. */
const isMember = (set: FieldSet): boolean => self in set || Object.keys(set).length === 0

/** undefined is the empty set. */
type Maybe = FieldSet | undefined
const make = (member: boolean, children: [string, FieldSet][]): Maybe => {
  if (children.length === 0) return member ? {} : undefined
  const set: FieldSet = member ? { [self]: {} } : {}
  for (const [name, child] of children) set[name] = child
  return set
}

export const union = (a: Maybe, b: Maybe): Maybe => {
  if (!a) return b
  if (!b) return a
  const children: [string, FieldSet][] = []
  for (const name of new Set([...childNames(a), ...childNames(b)])) children.push([name, union(a[name], b[name])!])
  return make(isMember(a) || isMember(b), children)
}
export const intersection = (a: Maybe, b: Maybe): Maybe => {
  if (!a || !b) return undefined
  const children: [string, FieldSet][] = []
  for (const name of childNames(a)) {
    const child = intersection(a[name], b[name])
    if (child) children.push([name, child])
  }
  return make(isMember(a) && isMember(b), children)
}
export const difference = (a: Maybe, b: Maybe): Maybe => {
  if (!a || !b) return a
  const children: [string, FieldSet][] = []
  for (const name of childNames(a)) {
    const child = difference(a[name], b[name])
    if (child) children.push([name, child])
  }
  return make(isMember(a) && !isMember(b), children)
}
/** A set whose root is not itself a member and that has no children is empty. */
export const isEmptySet = (set: Maybe): boolean => set === undefined || childNames(set).length === 0

/** Keys of list items that Kubernetes defaults before it compares. */
const keyDefaults: Record<string, unknown> = { protocol: 'TCP' }

/** The path element of a list's item: by its keys, its value, or undefined when it has none. */
const itemElement = (schema: Schema, item: unknown): string | undefined => {
  if (schema.listType === 'set') return `v:${JSON.stringify(item)}`
  if (schema.listType !== 'map' || !isRecord(item)) return undefined
  const keys: Record<string, unknown> = {}
  for (const key of schema.mapKeys ?? []) {
    const value = item[key] ?? keyDefaults[key]
    if (value !== undefined) keys[key] = value
  }
  return `k:${canonicalJson(keys)}`
}
const childSchema = (schema: Schema, key: string): Schema =>
  (schema.type === 'struct' ? schema.fields!.get(key) : schema.values) ?? { type: 'any' }

const atomic = (schema: Schema, value: unknown): boolean => {
  if (Array.isArray(value)) return schema.type !== 'list' || (schema.listType !== 'map' && schema.listType !== 'set')
  if (isRecord(value)) return schema.type !== 'any' ? schema.atomic === true : !schema.preserveUnknown
  return true
}
const isEmptyValue = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : isRecord(value) ? Object.keys(value).length === 0 : false

/** All fields that a value sets. */
export const fieldsOf = (schema: Schema, value: unknown): FieldSet => walk(schema, value, false) ?? {}

/** `added`: as for a value that was not there before, which also owns the maps and lists themselves. */
const walk = (schema: Schema, value: unknown, added: boolean): Maybe => {
  if (atomic(schema, value) || isEmptyValue(value)) return {}
  const children: [string, FieldSet][] = []
  if (Array.isArray(value)) {
    for (const item of value) {
      const element = itemElement(schema, item)
      if (element === undefined) continue
      const child = schema.listType === 'set' ? {} : walk(schema.items!, item, added)
      children.push([element, schema.listType === 'set' ? {} : { [self]: {}, ...child }])
    }
    return make(added, children)
  }
  const entries = Object.entries(value as Record<string, unknown>)
  for (const [key, member] of entries) {
    if (member === undefined) continue
    const child = walk(childSchema(schema, key), member, added)
    if (!child) continue
    // Keys of a map exist because someone set them; fields of a struct exist anyway.
    const owned = schema.type !== 'struct' && childNames(child).length > 0
    children.push([`f:${key}`, owned ? { [self]: {}, ...child } : child])
  }
  return make(added && schema.type !== 'struct', children)
}

interface Comparison {
  /** Added or modified. */
  changed: Maybe
  removed: Maybe
}
/** Which fields differ between two states of an object. */
export const compareFields = (schema: Schema, before: unknown, after: unknown): Comparison => {
  if (before === undefined && after === undefined) return { changed: undefined, removed: undefined }
  if (before === undefined) return { changed: walk(schema, after, true), removed: undefined }
  if (after === undefined) return { changed: undefined, removed: walk(schema, before, true) }
  if (before === after) return { changed: undefined, removed: undefined }
  const leaf =
    atomic(schema, after) ||
    atomic(schema, before) ||
    Array.isArray(before) !== Array.isArray(after) ||
    (isEmptyValue(before) && isEmptyValue(after))
  if (leaf) return { changed: equalJson(before, after) ? undefined : {}, removed: undefined }
  return Array.isArray(after)
    ? compareItems(schema, before as unknown[], after)
    : compareMembers(schema, before as Record<string, unknown>, after as Record<string, unknown>)
}
const collect = (parts: [string, Comparison][]): Comparison => {
  const pick = (side: keyof Comparison): Maybe =>
    make(
      false,
      parts.flatMap(([name, part]): [string, FieldSet][] => (part[side] ? [[name, part[side]]] : [])),
    )
  return { changed: pick('changed'), removed: pick('removed') }
}
const compareMembers = (
  schema: Schema,
  before: Record<string, unknown>,
  after: Record<string, unknown>,
): Comparison => {
  const parts: [string, Comparison][] = []
  const member = (key: string): void => {
    const part = compareFields(childSchema(schema, key), before[key], after[key])
    if (part.changed || part.removed) parts.push([`f:${key}`, part])
  }
  for (const key of Object.keys(after)) member(key)
  for (const key of Object.keys(before)) if (!(key in after)) member(key)
  return collect(parts)
}
const compareItems = (schema: Schema, before: unknown[], after: unknown[]): Comparison => {
  const parts: [string, Comparison][] = []
  const old = new Map(before.map((item) => [itemElement(schema, item), item]))
  const now = new Map(after.map((item) => [itemElement(schema, item), item]))
  const item = (element: string | undefined): void => {
    if (element === undefined) return
    const part = compareFields(schema.items!, old.get(element), now.get(element))
    const own = (set: Maybe, there: boolean): Maybe => (there ? { [self]: {}, ...set } : set)
    const whole: Comparison = {
      changed: own(part.changed, !old.has(element)),
      removed: own(part.removed, !now.has(element)),
    }
    if (schema.listType === 'set') {
      if (!old.has(element)) parts.push([element, { changed: {}, removed: undefined }])
      else if (!now.has(element)) parts.push([element, { changed: undefined, removed: {} }])
    } else if (whole.changed || whole.removed) parts.push([element, whole])
  }
  for (const element of now.keys()) item(element)
  for (const element of old.keys()) if (!now.has(element)) item(element)
  return collect(parts)
}

/** ".spec.containers[name=\"a\"].image" for each member, in order. */
export const pathsOf = (set: Maybe, prefix = ''): string[] => {
  if (!set) return []
  const own = prefix && isMember(set) ? [prefix] : []
  return [
    ...own,
    ...childNames(set)
      .sort()
      .flatMap((name) => pathsOf(set[name], prefix + elementText(name))),
  ]
}
const elementText = (element: string): string => {
  const text = element.slice(2)
  if (element.startsWith('f:')) return `.${text}`
  if (element.startsWith('v:')) return `[=${text}]`
  const keys = Object.entries(JSON.parse(text) as Record<string, unknown>)
  return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`
}

/** `live` with the applied configuration merged into it: maps by key, lists as the schema says. Shares what it does not change. */
export const mergeApplied = (schema: Schema, live: unknown, applied: unknown): unknown => {
  if (applied === undefined) return live
  if (
    live === undefined ||
    atomic(schema, applied) ||
    Array.isArray(live) !== Array.isArray(applied) ||
    !(isRecord(live) || Array.isArray(live))
  )
    return applied
  if (Array.isArray(applied)) {
    const result = [...(live as unknown[])]
    const index = new Map(result.map((item, i) => [itemElement(schema, item), i]))
    for (const item of applied) {
      const at = index.get(itemElement(schema, item))
      if (at === undefined) {
        index.set(itemElement(schema, item), result.length)
        result.push(item)
      } else if (schema.listType === 'map') result[at] = mergeApplied(schema.items!, result[at], item)
    }
    return result
  }
  const result: Record<string, unknown> = { ...(live as Record<string, unknown>) }
  for (const [key, value] of Object.entries(applied as Record<string, unknown>))
    result[key] = mergeApplied(childSchema(schema, key), result[key], value)
  return result
}

/** `value` without the fields in `last` that are not in `owned`: what an applier has given up and nobody else holds. */
export const prune = (schema: Schema, value: unknown, last: Maybe, owned: Maybe): unknown => {
  if (!last || value === undefined) return value
  if (Array.isArray(value)) {
    if (atomic(schema, value)) return value
    return value.flatMap((item) => {
      const element = itemElement(schema, item)
      const gone = element === undefined ? undefined : last[element]
      if (!gone) return [item]
      const kept = owned?.[element!]
      if (isMember(gone) && !kept) return []
      return [schema.listType === 'map' ? prune(schema.items!, item, gone, kept) : item]
    })
  }
  if (!isRecord(value) || atomic(schema, value)) return value
  const result: Record<string, unknown> = {}
  for (const [key, member] of Object.entries(value)) {
    const gone = last[`f:${key}`]
    const kept = owned?.[`f:${key}`]
    if (!gone) result[key] = member
    else if (isMember(gone) && !kept) continue
    else {
      const rest = prune(childSchema(schema, key), member, gone, kept)
      // A map or list that lost its last member with its owner goes too.
      if (kept || !isEmptyValue(rest) || isEmptyValue(member)) result[key] = rest
    }
  }
  return result
}
