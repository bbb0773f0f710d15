/** What a place in a Compose file may hold. The schema is a tree of these; loading, checking and printing walk it. */
export type Shape =
  | Scalar
  | { is: 'list'; of: Shape; unique?: boolean; nullable?: boolean }
  /** Free keys. */
  | { is: 'map'; of: Shape; names?: RegExp; nullable?: boolean }
  | ObjectShape
  /** Told apart by what is there: a scalar, a list or a map; the first option of that sort is the one. */
  | { is: 'oneOf'; options: Shape[]; nullable?: boolean }
  | { is: 'any' }

/**
 * `duration` and `bytes` become numbers (ms, bytes) when the file is read. `integer`, `number`, `boolean` take strings too,
 * since `${…}` gives strings. `text` takes any scalar and makes a string of it. `words` is a line or a list of words.
 */
export interface Scalar {
  is: 'string' | 'text' | 'integer' | 'number' | 'boolean' | 'duration' | 'bytes' | 'mode'
  values?: readonly string[]
  pattern?: RegExp
  minimum?: number
  maximum?: number
  nullable?: boolean
}
export interface ObjectShape {
  is: 'object'
  fields: Record<string, Shape>
  required?: readonly string[]
  /** Are x-* keys welcome? */
  extensions: boolean
  nullable?: boolean
}

export const string = (more: Omit<Scalar, 'is'> = {}): Shape => ({ is: 'string', ...more })
export const text: Shape = { is: 'text' }
export const integer = (more: Omit<Scalar, 'is'> = {}): Shape => ({ is: 'integer', ...more })
export const number = (more: Omit<Scalar, 'is'> = {}): Shape => ({ is: 'number', ...more })
export const boolean: Shape = { is: 'boolean' }
export const duration: Shape = { is: 'duration' }
export const bytes: Shape = { is: 'bytes' }
export const any: Shape = { is: 'any' }
export const list = (of: Shape): Shape => ({ is: 'list', of })
export const uniqueList = (of: Shape): Shape => ({ is: 'list', of, unique: true })
export const map = (of: Shape, names?: RegExp): Shape => ({ is: 'map', of, ...(names && { names }) })
export const object = (fields: Record<string, Shape>, required: readonly string[] = []): ObjectShape => ({
  is: 'object',
  fields,
  required,
  extensions: true,
})
export const strict = (fields: Record<string, Shape>, required: readonly string[] = []): ObjectShape => ({
  is: 'object',
  fields,
  required,
  extensions: false,
})
export const oneOf = (...options: Shape[]): Shape => ({ is: 'oneOf', options })
export const nullable = <S extends Exclude<Shape, { is: 'any' }>>(shape: S): S => ({ ...shape, nullable: true })
