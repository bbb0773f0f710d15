/**
 * Strategic merge patch, with its directives: $patch (replace, merge, delete), $retainKeys, $setElementOrder/<list> and
 * $deleteFromPrimitiveList/<list>. Which lists merge, and by which key, says the schema (its merge keys differ from those of
 * server-side apply). Source: apimachinery pkg/util/strategicpatch.
 */
import { cloneJson, equalJson, isRecord } from '../../lib/json.ts'
import type { Schema } from './schema.ts'

type Item = Record<string, unknown>
const directive = '$patch'
const retain = '$retainKeys'
const order = '$setElementOrder/'
const remove = '$deleteFromPrimitiveList/'

const bad = (text: string): Error => new Error(text)
const member = (schema: Schema | undefined, key: string): Schema | undefined =>
  schema?.type === 'struct' ? schema.fields?.get(key) : schema?.type === 'map' ? schema.values : undefined

/** A copy without directives: what a patch means where nothing is there to merge with. */
const stripped = (schema: Schema | undefined, value: unknown): unknown => {
  if (Array.isArray(value))
    return value
      .filter(
        (item) =>
          !isRecord(item) ||
          (item[directive] !== 'delete' && !(item[directive] === 'replace' && Object.keys(item).length === 1)),
      )
      .map((item) => stripped(schema?.items, item))
  if (!isRecord(value)) return value
  return mergeMap(schema, {}, value)
}

const mergeMap = (schema: Schema | undefined, original: Item, patch: Item): Item => {
  const how = patch[directive]
  if (how === 'replace') {
    const { [directive]: _, ...rest } = patch
    return stripped(schema, rest) as Item
  }
  if (how === 'delete') return {}
  if (how !== undefined && how !== 'merge') throw bad(`unknown patch type: ${String(how)}`)
  const result: Item = { ...original }
  const kept = patch[retain]
  if (kept !== undefined) {
    if (!Array.isArray(kept)) throw bad(`invalid patch format of ${retain}`)
    for (const key of Object.keys(patch))
      if (!key.startsWith('$') && patch[key] !== null && !kept.includes(key))
        throw bad(`${retain} must be a subset of the fields present in the patch`)
    for (const key of Object.keys(result)) if (!kept.includes(key)) delete result[key]
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key === directive || key === retain || key === '__proto__') continue
    if (key.startsWith(remove)) {
      const name = key.slice(remove.length)
      const list = result[name]
      if (Array.isArray(list) && Array.isArray(value))
        result[name] = list.filter((item) => !value.some((v) => equalJson(v, item)))
      continue
    }
    if (key.startsWith(order)) continue
    const field = member(schema, key)
    if (value === null) delete result[key]
    else if (isRecord(value)) {
      const before = result[key]
      // A map that the kind replaces as a whole (PodDisruptionBudget.spec.selector).
      if (!isRecord(before) || field?.replace) result[key] = stripped(field, value)
      else result[key] = mergeMap(field, before, value)
    } else if (Array.isArray(value)) {
      const before = result[key]
      result[key] = mergeList(field, Array.isArray(before) ? before : [], value, patch[order + key])
    } else result[key] = value
  }
  // An order without a list of changes still moves what is there.
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith(order)) continue
    const name = key.slice(order.length)
    const list = result[name]
    if (Array.isArray(list) && Array.isArray(value))
      result[name] = reorder(member(schema, name), list, value, asList(patch[name]))
  }
  return result
}
const asList = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

const mergeList = (schema: Schema | undefined, original: unknown[], patch: unknown[], _order: unknown): unknown[] => {
  if (!schema?.mergeLists) return stripped(schema, patch) as unknown[]
  const key = schema.mergeKey
  if (!key) {
    // Primitives: the union, what is there first.
    const added = patch.filter((item) => !original.some((o) => equalJson(o, item)))
    return [...original, ...added.filter((item, i) => added.findIndex((other) => equalJson(other, item)) === i)]
  }
  const items = patch.map((item) => {
    if (!isRecord(item)) throw bad(`expected a map in the list ${key} merges by`)
    return item
  })
  if (items.some((item) => item[directive] === 'replace'))
    return stripped(
      schema,
      items
        .filter((item) => !(item[directive] === 'replace' && Object.keys(item).length === 1))
        .map(({ [directive]: _, ...rest }) => rest),
    ) as unknown[]
  let result = original.map((item) => item as Item)
  for (const item of items) {
    const id = item[key]
    if (id === undefined || id === null)
      throw bad(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`)
    if (item[directive] === 'delete') {
      result = result.filter((other) => !equalJson(other[key], id))
      continue
    }
    const at = result.findIndex((other) => equalJson(other[key], id))
    if (at < 0) result.push(stripped(schema.items, item) as Item)
    else {
      const merged = { ...item }
      // retainKeys may stand at the list's definition; the directive itself is in the item.
      result[at] = mergeMap(schema.items, result[at]!, merged)
    }
  }
  return result
}

/** The order the client wants for what it knows; what only the server knows stays next to its neighbours. */
const reorder = (schema: Schema | undefined, list: unknown[], wanted: unknown[], patched: unknown[]): unknown[] => {
  const key = schema?.mergeKey
  const idOf = (item: unknown): string => JSON.stringify(key && isRecord(item) ? item[key] : item)
  const rank = new Map(wanted.map((item, i) => [idOf(item), i]))
  for (const item of patched) {
    if (isRecord(item) && item[directive] === 'delete') continue
    if (!rank.has(idOf(item)))
      throw bad(
        `The order in patch list:\n${JSON.stringify(patched)}\n doesn't match ${order} list:\n${JSON.stringify(wanted)}\n`,
      )
  }
  const known = list.filter((item) => rank.has(idOf(item))).sort((a, b) => rank.get(idOf(a))! - rank.get(idOf(b))!)
  const result: unknown[] = []
  let next = 0
  // Server-only items come before the first known item that followed them on the server.
  const serverIndex = new Map(list.map((item, i) => [idOf(item), i]))
  const unknown = list.filter((item) => !rank.has(idOf(item)))
  for (const item of known) {
    while (next < unknown.length && serverIndex.get(idOf(unknown[next]))! < serverIndex.get(idOf(item))!)
      result.push(unknown[next++])
    result.push(item)
  }
  return [...result, ...unknown.slice(next)]
}

/** The object that `patch` makes of `original`; neither is changed. Throws Error with the reason when the patch makes no sense. */
export const strategicMerge = (schema: Schema, original: object, patch: object): unknown =>
  mergeMap(schema, cloneJson(original) as Item, cloneJson(patch) as Item)
