/** Structural schemas of custom resources: turned into our Schema, defaults, and value validation with Kubernetes' texts. */
import { cloneJson, equalJson, isRecord } from '../../../lib/json.ts'
import { type Schema, schemaByName } from '../../../spec/kube/schema.ts'
import { duplicate, type FieldError, invalid, required, tooLong, unsupported } from '../errors.ts'
import type { Draft } from '../resource.ts'

/** JSONSchemaProps, as far as it matters here. */
export interface Props {
  type?: string
  format?: string
  properties?: Record<string, Props>
  additionalProperties?: Props | boolean
  items?: Props
  required?: string[]
  enum?: unknown[]
  default?: unknown
  nullable?: boolean
  pattern?: string
  minimum?: number
  maximum?: number
  exclusiveMinimum?: boolean
  exclusiveMaximum?: boolean
  multipleOf?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  uniqueItems?: boolean
  minProperties?: number
  maxProperties?: number
  allOf?: Props[]
  anyOf?: Props[]
  oneOf?: Props[]
  not?: Props
  'x-kubernetes-preserve-unknown-fields'?: boolean
  'x-kubernetes-int-or-string'?: boolean
  'x-kubernetes-embedded-resource'?: boolean
  'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map'
  'x-kubernetes-list-map-keys'?: string[]
  'x-kubernetes-map-type'?: 'atomic' | 'granular'
}

const objectMeta = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'
const identity = (): [string, Schema][] => [
  ['apiVersion', { type: 'string' }],
  ['kind', { type: 'string' }],
  ['metadata', schemaByName(objectMeta)],
]

export const schemaFrom = (props: Props | undefined, root = false): Schema => {
  if (!props)
    return root
      ? { type: 'struct', fields: new Map(identity()), preserveUnknown: true }
      : { type: 'any', preserveUnknown: true }
  const preserve = props['x-kubernetes-preserve-unknown-fields'] === true
  if (props['x-kubernetes-int-or-string']) return { type: 'int-or-string' }
  if (props.type === 'array') {
    const listType = props['x-kubernetes-list-type']
    return {
      type: 'list',
      items: schemaFrom(props.items),
      ...(listType ? { listType } : {}),
      ...(props['x-kubernetes-list-map-keys'] ? { mapKeys: props['x-kubernetes-list-map-keys'] } : {}),
    }
  }
  if (props.type === 'object' || props.properties || root) {
    const atomic = props['x-kubernetes-map-type'] === 'atomic'
    const { additionalProperties } = props
    if (additionalProperties && !props.properties && !root)
      return {
        type: 'map',
        values:
          additionalProperties === true ? { type: 'any', preserveUnknown: true } : schemaFrom(additionalProperties),
        atomic,
      }
    const fields = new Map(
      Object.entries(props.properties ?? {}).map(([key, p]): [string, Schema] => [key, schemaFrom(p)]),
    )
    if (root || props['x-kubernetes-embedded-resource']) for (const [key, schema] of identity()) fields.set(key, schema)
    return { type: 'struct', fields, preserveUnknown: preserve, atomic }
  }
  if (props.type === 'string' || props.type === 'integer' || props.type === 'number' || props.type === 'boolean')
    return { type: props.type, ...(props.format ? { format: props.format } : {}) }
  return { type: 'any', preserveUnknown: true }
}

/** Fills defaults, also inside what is there. Returns the value with them. */
export const withDefaults = (props: Props, value: unknown): unknown => {
  if (isRecord(value)) {
    for (const [key, p] of Object.entries(props.properties ?? {})) {
      if (value[key] === undefined && p.default !== undefined) value[key] = cloneJson(p.default)
      if (value[key] !== undefined) value[key] = withDefaults(p, value[key])
    }
    const rest = props.additionalProperties
    if (isRecord(rest))
      for (const key of Object.keys(value))
        if (!props.properties?.[key]) value[key] = withDefaults(rest as Props, value[key])
  } else if (Array.isArray(value) && props.items)
    for (const [i, item] of value.entries()) value[i] = withDefaults(props.items, item)
  return value
}

const typeOf = (value: unknown): string =>
  Array.isArray(value)
    ? 'array'
    : value === null
      ? 'null'
      : typeof value === 'number'
        ? Number.isInteger(value)
          ? 'integer'
          : 'number'
        : typeof value
const typeFits = (props: Props, value: unknown): boolean => {
  if (props['x-kubernetes-int-or-string']) return typeof value === 'string' || Number.isInteger(value)
  if (!props.type) return true
  if (value === null) return props.nullable === true
  const type = typeOf(value)
  return type === props.type || (props.type === 'number' && type === 'integer')
}
const formats: Record<string, (text: string) => boolean> = {
  'date-time': (text) => /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d/.test(text) && !Number.isNaN(Date.parse(text)),
  date: (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)),
  uuid: (text) => /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(text),
  byte: (text) => /^[A-Za-z0-9+/]*={0,2}$/.test(text),
  email: (text) => /^[^@\s]+@[^@\s]+$/.test(text),
  ipv4: (text) => /^(\d{1,3}\.){3}\d{1,3}$/.test(text),
  uri: (text) => URL.canParse(text),
}

const validateText = (props: Props, value: string, path: string, errors: FieldError[]): void => {
  if (props.maxLength !== undefined && [...value].length > props.maxLength) errors.push(tooLong(path, props.maxLength))
  if (props.minLength !== undefined && [...value].length < props.minLength)
    errors.push(invalid(path, value, `${path} in body should be at least ${props.minLength} chars long`))
  if (props.pattern !== undefined && !new RegExp(props.pattern, 'u').test(value))
    errors.push(invalid(path, value, `${path} in body should match '${props.pattern}'`))
  if (props.format && formats[props.format]?.(value) === false)
    errors.push(invalid(path, value, `${path} in body must be of type ${props.format}: ${JSON.stringify(value)}`))
}
const validateNumber = (props: Props, value: number, path: string, errors: FieldError[]): void => {
  const { minimum: min, maximum: max, multipleOf } = props
  if (min !== undefined && (props.exclusiveMinimum ? value <= min : value < min))
    errors.push(
      invalid(
        path,
        value,
        `${path} in body should be greater than ${props.exclusiveMinimum ? '' : 'or equal to '}${min}`,
      ),
    )
  if (max !== undefined && (props.exclusiveMaximum ? value >= max : value > max))
    errors.push(
      invalid(path, value, `${path} in body should be less than ${props.exclusiveMaximum ? '' : 'or equal to '}${max}`),
    )
  if (multipleOf !== undefined && value % multipleOf !== 0)
    errors.push(invalid(path, value, `${path} in body should be a multiple of ${multipleOf}`))
}
const validateItems = (props: Props, value: unknown[], path: string, errors: FieldError[]): void => {
  if (props.minItems !== undefined && value.length < props.minItems)
    errors.push(invalid(path, value.length, `${path} in body should have at least ${props.minItems} items`))
  if (props.maxItems !== undefined && value.length > props.maxItems)
    errors.push({
      path,
      reason: 'FieldValueTooMany',
      message: `Too many: ${value.length}: must have at most ${props.maxItems} items`,
    })
  const keys = props['x-kubernetes-list-map-keys'] ?? []
  const isMap = props['x-kubernetes-list-type'] === 'map'
  const idOf = (item: unknown): unknown => (isMap && isRecord(item) ? keys.map((key) => item[key]) : item)
  for (const [i, item] of value.entries()) {
    if (props.items) validateValue(props.items, item, `${path}[${i}]`, errors)
    const unique = isMap || props['x-kubernetes-list-type'] === 'set' || props.uniqueItems
    if (unique && value.slice(0, i).some((other) => equalJson(idOf(other), idOf(item))))
      errors.push(
        duplicate(`${path}[${i}]`, isMap ? Object.fromEntries(keys.map((key) => [key, (item as Draft)[key]])) : item),
      )
  }
}
const validateMembers = (props: Props, value: Record<string, unknown>, path: string, errors: FieldError[]): void => {
  const at = (key: string): string => (path ? `${path}.${key}` : key)
  for (const key of props.required ?? []) if (value[key] === undefined) errors.push(required(at(key)))
  const count = Object.keys(value).length
  if (props.minProperties !== undefined && count < props.minProperties)
    errors.push(invalid(path, count, `${path} in body should have at least ${props.minProperties} properties`))
  if (props.maxProperties !== undefined && count > props.maxProperties)
    errors.push({
      path,
      reason: 'FieldValueTooMany',
      message: `Too many: ${count}: must have at most ${props.maxProperties} items`,
    })
  for (const [key, member] of Object.entries(value)) {
    const own = props.properties?.[key]
    if (own) validateValue(own, member, at(key), errors)
    else if (isRecord(props.additionalProperties))
      validateValue(props.additionalProperties as Props, member, at(key), errors)
  }
}

const fits = (props: Props, value: unknown): boolean => {
  const errors: FieldError[] = []
  validateValue(props, value, 'value', errors)
  return errors.length === 0
}
const validateLogic = (props: Props, value: unknown, path: string, errors: FieldError[]): void => {
  const shown = path || '<nil>'
  for (const part of props.allOf ?? []) validateValue(part, value, path, errors)
  if (props.anyOf && !props.anyOf.some((part) => fits(part, value)))
    errors.push(invalid(path, value, `${shown} in body must validate at least one schema (anyOf)`))
  if (props.oneOf) {
    const matching = props.oneOf.filter((part) => fits(part, value)).length
    if (matching !== 1)
      errors.push(
        invalid(
          path,
          value,
          `${shown} in body must validate one and only one schema (oneOf). Found ${matching === 0 ? 'none' : matching} valid alternatives`,
        ),
      )
  }
  if (props.not && fits(props.not, value))
    errors.push(invalid(path, value, `${shown} in body must not validate the schema (not)`))
}

/** Pushes what the schema has against the value. */
export const validateValue = (props: Props, value: unknown, path: string, errors: FieldError[]): void => {
  if (!typeFits(props, value)) {
    const wanted = props['x-kubernetes-int-or-string'] ? 'integer,string' : props.type
    errors.push({
      path,
      reason: 'FieldValueTypeInvalid',
      message: `Invalid value: ${JSON.stringify(typeOf(value))}: ${path} in body must be of type ${wanted}: ${JSON.stringify(typeOf(value))}`,
    })
    return
  }
  if (value === null) return
  if (props.enum && !props.enum.some((option) => equalJson(option, value)))
    errors.push(unsupported(path, value, props.enum.map(String)))
  if (typeof value === 'string') validateText(props, value, path, errors)
  else if (typeof value === 'number') validateNumber(props, value, path, errors)
  else if (Array.isArray(value)) validateItems(props, value, path, errors)
  else if (isRecord(value)) validateMembers(props, value, path, errors)
  validateLogic(props, value, path, errors)
}
