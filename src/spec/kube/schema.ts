/**
 * The structure of Kubernetes objects, from the generated fact tables: what validation, strategic merge patch, server-side
 * apply and OpenAPI need to know. Read from disk on first use.
 */
import { readFileSync } from 'node:fs'

/** One definition as the public API description writes it, without prose. */
export interface Definition {
  type?: string
  format?: string
  $ref?: string
  allOf?: Definition[]
  items?: Definition
  properties?: Record<string, Definition>
  additionalProperties?: Definition
  required?: string[]
  enum?: string[]
  [extension: `x-kubernetes-${string}`]: unknown
}
/** A resolved definition; `fields`, `items` and `values` may be cyclic. */
export interface Schema {
  type:
    | 'struct'
    | 'map'
    | 'list'
    | 'string'
    | 'integer'
    | 'number'
    | 'boolean'
    | 'int-or-string'
    | 'quantity'
    | 'time'
    | 'any'
  /** "io.k8s.api.core.v1.PodSpec" for a struct that has a definition of its own. */
  name?: string | undefined
  format?: string | undefined
  fields?: Map<string, Schema> | undefined
  required?: string[] | undefined
  items?: Schema | undefined
  values?: Schema | undefined
  /** Server-side apply: how a list is merged; lists are atomic and maps granular unless said otherwise. */
  listType?: 'atomic' | 'set' | 'map' | undefined
  mapKeys?: string[] | undefined
  atomic?: boolean | undefined
  /** Strategic merge. */
  mergeKey?: string | undefined
  mergeLists?: boolean | undefined
  retainKeys?: boolean | undefined
  replace?: boolean | undefined
  /** Custom resources: keep what the schema does not name. */
  preserveUnknown?: boolean | undefined
}

let definitions: Record<string, Definition> | undefined
/** All definitions by name ("io.k8s.api.apps.v1.Deployment"). */
export const kubeDefinitions = (): Record<string, Definition> =>
  (definitions ??= JSON.parse(readFileSync(new URL('./generated/schemas.json', import.meta.url), 'utf8')) as Record<
    string,
    Definition
  >)

const refOf = (d: Definition): string | undefined => (d.$ref ?? d.allOf?.[0]?.$ref)?.replace('#/definitions/', '')

const resolved = new Map<string, Schema>()
const plain: Record<string, Schema> = {
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': { type: 'int-or-string' },
  'io.k8s.apimachinery.pkg.api.resource.Quantity': { type: 'quantity' },
  'io.k8s.apimachinery.pkg.apis.meta.v1.Time': { type: 'time' },
  'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime': { type: 'time', format: 'micro' },
  'io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1': { type: 'any' },
  'io.k8s.apimachinery.pkg.runtime.RawExtension': { type: 'any' },
}

/** The facts that may stand at a property as well as at the definition it refers to. */
const decorate = (schema: Schema, d: Definition): void => {
  const listType = d['x-kubernetes-list-type'] as Schema['listType']
  if (listType) schema.listType = listType
  const mapKeys = d['x-kubernetes-list-map-keys'] as string[] | undefined
  if (mapKeys) schema.mapKeys = mapKeys
  const mapType = d['x-kubernetes-map-type']
  if (mapType) schema.atomic = mapType === 'atomic'
  const mergeKey = d['x-kubernetes-patch-merge-key'] as string | undefined
  if (mergeKey) schema.mergeKey = mergeKey
  const strategies = String(d['x-kubernetes-patch-strategy'] ?? '').split(',')
  if (strategies.includes('merge')) schema.mergeLists = true
  if (strategies.includes('retainKeys')) schema.retainKeys = true
  if (strategies.includes('replace')) schema.replace = true
}

const fill = (schema: Schema, d: Definition): Schema => {
  decorate(schema, d)
  if (d.properties) {
    schema.type = 'struct'
    schema.required = d.required
    schema.fields = new Map()
    for (const [name, property] of Object.entries(d.properties)) schema.fields.set(name, build(property))
  } else if (d.type === 'array') {
    schema.type = 'list'
    schema.items = build(d.items ?? {})
  } else if (d.type === 'object' && d.additionalProperties) {
    schema.type = 'map'
    schema.values = build(d.additionalProperties)
  } else if (d.type === 'string' && d.format === 'int-or-string') schema.type = 'int-or-string'
  else if (d.type === 'string' || d.type === 'integer' || d.type === 'number' || d.type === 'boolean') {
    schema.type = d.type
    schema.format = d.format
  }
  return schema
}
const build = (d: Definition): Schema => {
  const ref = refOf(d)
  if (!ref) return fill({ type: 'any' }, d)
  const target = byName(ref)
  const own = Object.keys(d).some((key) => key.startsWith('x-kubernetes-'))
  if (!own) return target
  // A cycle never passes through a decorated reference, so the target is complete here.
  const copy = { ...target }
  decorate(copy, d)
  return copy
}
const byName = (name: string): Schema => {
  const found = resolved.get(name)
  if (found) return found
  const schema: Schema = { ...(plain[name] ?? { type: 'any' }), name }
  resolved.set(name, schema)
  const definition = kubeDefinitions()[name]
  if (definition && !plain[name]) fill(schema, definition)
  return schema
}

let names: Map<string, string> | undefined
const gvkKey = (group: string, version: string, kind: string): string => `${group}/${version}/${kind}`

/** The definition's name of a kind, e.g. ('apps', 'v1', 'Deployment') → "io.k8s.api.apps.v1.Deployment". */
export const definitionName = (group: string, version: string, kind: string): string | undefined => {
  if (!names) {
    names = new Map()
    for (const [name, definition] of Object.entries(kubeDefinitions())) {
      const kinds = definition['x-kubernetes-group-version-kind'] as
        | { group: string; version: string; kind: string }[]
        | undefined
      // DeleteOptions and the like belong to every group; only what has one identity is a kind.
      if (kinds?.length === 1) names.set(gvkKey(kinds[0]!.group, kinds[0]!.version, kinds[0]!.kind), name)
    }
  }
  return names.get(gvkKey(group, version, kind))
}
/** The schema of a kind; undefined when the tables do not know it. */
export const schemaOf = (group: string, version: string, kind: string): Schema | undefined => {
  const name = definitionName(group, version, kind)
  return name === undefined ? undefined : byName(name)
}
/** The schema of a definition by its full name. */
export const schemaByName = (name: string): Schema => byName(name)
