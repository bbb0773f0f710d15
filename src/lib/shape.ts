/** What kinds of values a request's JSON has where. dockerd's decoder refuses others, and takes names of fields in any case. */
import { SlipwayError } from '../errors.ts'

type Scalar = 'string' | 'bool' | 'int64' | 'float64'
export type Shape =
  | Scalar
  /** One string or several (docker's StrSlice). */
  | 'words'
  | 'any'
  | { list: Shape }
  | { map: Shape }
  | { struct: string; fields: ReadonlyMap<string, readonly [name: string, shape: Shape]> }

/** `fields`: names by shape, several in one string where they share it: { string: 'A B', bool: 'C' }; `more`: one by one. */
export const struct = (
  name: string,
  fields: Partial<Record<Scalar | 'words', string>>,
  more: Record<string, Shape> = {},
): Shape => {
  const all = [
    ...Object.entries(fields).flatMap(([shape, names]) =>
      names.split(' ').map((each) => [each, shape as Shape] as const),
    ),
    ...Object.entries(more),
  ]
  return { struct: name, fields: new Map(all.map((field) => [field[0].toLowerCase(), field])) }
}

const nameOf = (shape: Shape): string => {
  if (typeof shape === 'string') return shape === 'words' ? '[]string' : shape
  if ('list' in shape) return `[]${nameOf(shape.list)}`
  return 'map' in shape ? `map[string]${nameOf(shape.map)}` : shape.struct
}

const kindOf = (value: unknown): string =>
  Array.isArray(value)
    ? 'array'
    : typeof value === 'boolean'
      ? 'bool'
      : typeof value === 'number' && !Number.isInteger(value)
        ? `number ${value}`
        : typeof value

interface Place {
  struct: string
  path: string
}

const fits = (shape: Scalar, value: unknown): boolean =>
  shape === 'string'
    ? typeof value === 'string'
    : shape === 'bool'
      ? typeof value === 'boolean'
      : typeof value === 'number' && (shape === 'float64' || Number.isInteger(value))

/**
 * `value` with its fields named as they are in `shape`; null is as good as absent, and fields that the shape does not know
 * stay as they are. Any other kind of value: 'bad-request' in the words of Go's decoder.
 */
export const fit = <T>(shape: Shape, value: unknown): T => at(shape, value, { struct: '', path: '' }) as T

const at = (shape: Shape, value: unknown, place: Place): unknown => {
  if (value === null || value === undefined || shape === 'any') return value ?? undefined
  const wrong = (): SlipwayError => {
    const where = place.path === '' ? 'Go value' : `Go struct field ${place.struct}.${place.path}`
    return new SlipwayError(
      'bad-request',
      `invalid JSON: json: cannot unmarshal ${kindOf(value)} into ${where} of type ${nameOf(shape)}`,
    )
  }
  if (shape === 'words') return at({ list: 'string' }, typeof value === 'string' ? [value] : value, place)
  if (typeof shape === 'string') {
    if (!fits(shape, value)) throw wrong()
    return value
  }
  if ('list' in shape) {
    if (!Array.isArray(value)) throw wrong()
    return value.flatMap((each) => (each === null ? [] : [at(shape.list, each, place)]))
  }
  if (typeof value !== 'object' || Array.isArray(value)) throw wrong()
  const inside = (name: string): string => (place.path === '' ? name : `${place.path}.${name}`)
  const entries = Object.entries(value).flatMap(([key, each]): [string, unknown][] => {
    if ('map' in shape) return [[key, each === null ? null : at(shape.map, each, { ...place, path: inside(key) })]]
    const [name, field] = shape.fields.get(key.toLowerCase()) ?? [key, 'any' as const]
    const fitted = at(field, each, { struct: shape.struct, path: inside(name) })
    return fitted === undefined ? [] : [[name, fitted]]
  })
  return Object.fromEntries(entries)
}
