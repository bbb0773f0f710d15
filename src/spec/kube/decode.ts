/**
 * Reading untrusted JSON as a kind: members of the wrong type are an error as Go's decoder words it, unknown and duplicate ones are
 * collected and dropped. The result holds only what the schema knows.
 */
import { SlipwayError } from '../../errors.ts'
import { isRecord } from '../../lib/json.ts'
import { canonicalQuantity } from '../../lib/quantity.ts'
import type { Schema } from './schema.ts'

const jsonType = (value: unknown): string =>
  Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value === 'boolean' ? 'bool' : typeof value
const goType = (schema: Schema): string => {
  switch (schema.type) {
    case 'struct':
      return schema.name?.replace(/^.*\.([a-z0-9]+\.[A-Za-z0-9]+)$/, '$1') ?? 'map[string]interface {}'
    case 'map':
      return `map[string]${schema.values ? goType(schema.values) : 'interface {}'}`
    case 'list':
      return `[]${schema.items ? goType(schema.items) : 'interface {}'}`
    case 'integer':
      return schema.format === 'int64' ? 'int64' : 'int32'
    case 'number':
      return 'float64'
    case 'boolean':
      return 'bool'
    case 'int-or-string':
      return 'intstr.IntOrString'
    case 'quantity':
      return 'resource.Quantity'
    case 'time':
      return schema.format === 'micro' ? 'v1.MicroTime' : 'v1.Time'
    default:
      return 'string'
  }
}
const fits = (schema: Schema, value: unknown): boolean => {
  switch (schema.type) {
    case 'struct':
    case 'map':
      return isRecord(value)
    case 'list':
      return Array.isArray(value)
    case 'integer':
      return typeof value === 'number' && Number.isInteger(value)
    case 'number':
      return typeof value === 'number'
    case 'boolean':
      return typeof value === 'boolean'
    case 'int-or-string':
      return typeof value === 'string' || (typeof value === 'number' && Number.isInteger(value))
    case 'quantity':
      return typeof value === 'string' || typeof value === 'number'
    case 'string':
    case 'time':
      return typeof value === 'string'
    default:
      return true
  }
}

class Decoder {
  readonly unknown: string[] = []
  /** The Go type that holds the field being read: errors name it. */
  #owner: string

  readonly #lenient: boolean

  constructor(root: string, lenient: boolean) {
    this.#owner = root
    this.#lenient = lenient
  }

  read(schema: Schema, value: unknown, path: string): unknown {
    if (schema.type === 'any') return value
    if (!fits(schema, value)) {
      if (this.#lenient) return value
      this.#fail(schema, value, path)
    }
    if (schema.type === 'struct') return this.#struct(schema, value as Record<string, unknown>, path)
    if (schema.type === 'map') {
      const result: Record<string, unknown> = {}
      for (const [key, member] of Object.entries(value as Record<string, unknown>)) {
        if (key === '__proto__') continue
        // Go decodes null into the zero value of the map's type.
        result[key] = member === null ? zero(schema.values!) : this.read(schema.values!, member, `${path}.${key}`)
      }
      return result
    }
    if (schema.type === 'list')
      return (value as unknown[]).map((item, i) =>
        item === null ? zero(schema.items!) : this.read(schema.items!, item, `${path}[${i}]`),
      )
    if (schema.type === 'quantity') {
      const canonical = canonicalQuantity(String(value))
      if (canonical === undefined)
        throw new SlipwayError(
          'bad-request',
          `quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
        )
      return canonical
    }
    return value
  }

  #struct(schema: Schema, value: Record<string, unknown>, path: string): Record<string, unknown> {
    const result: Record<string, unknown> = {}
    const owner = this.#owner
    const own = schema.name?.slice(schema.name.lastIndexOf('.') + 1) ?? owner
    for (const key of Object.keys(value)) {
      this.#owner = own
      const member = value[key]
      const field = schema.fields!.get(key)
      const at = path ? `${path}.${key}` : key
      if (!field) {
        if (schema.preserveUnknown) result[key] = member
        else this.unknown.push(at)
      } else if (member !== null && member !== undefined) result[key] = this.read(field, member, at)
    }
    this.#owner = owner
    return result
  }

  #fail(schema: Schema, value: unknown, path: string): never {
    const at = path.replaceAll(/\[\d+\]/g, '')
    throw new SlipwayError(
      'bad-request',
      `json: cannot unmarshal ${jsonType(value)} into Go struct field ${this.#owner}.${at} of type ${goType(schema)}`,
    )
  }
}
const zero = (schema: Schema): unknown => {
  switch (schema.type) {
    case 'struct':
    case 'map':
      return {}
    case 'list':
      return []
    case 'integer':
    case 'number':
    case 'int-or-string':
      return 0
    case 'boolean':
      return false
    case 'quantity':
      return '0'
    case 'any':
      return null
    default:
      return ''
  }
}

/**
 * A deep copy of `value` with what the schema knows, nulls left out. `unknown` are the paths of the rest.
 * Throws bad-request ("json: cannot unmarshal …") for a value of the wrong type, unless `lenient`: then it is kept.
 */
export const decodeAs = (
  schema: Schema,
  kind: string,
  value: unknown,
  lenient = false,
): { object: unknown; unknown: string[] } => {
  const decoder = new Decoder(kind, lenient)
  return { object: decoder.read(schema, value, ''), unknown: decoder.unknown }
}
