/** What a template works on: JSON, rows with computed fields, and how Go prints, compares and judges them. */

/** An object whose fields are computed when they are asked for; one that takes arguments is a function of them. */
export class Row {
  /** Go's name of the type: errors show it. */
  readonly type: string
  readonly fields: Record<string, () => Value | ((...args: Value[]) => Value)>
  constructor(type: string, fields: Row['fields']) {
    this.type = type
    this.fields = fields
  }
}
/** A field that the type has and the JSON leaves out: it reads as its zero value, but has no fields of its own. */
export class Absent {
  readonly zero: '' | 0 | null
  constructor(zero: '' | 0 | null) {
    this.zero = zero
  }
}
export type Value = string | number | boolean | null | undefined | Absent | Row | Value[] | { [key: string]: Value }
export type GoMap = { [key: string]: Value }

export const isMap = (value: Value): value is GoMap =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof Row) &&
  !(value instanceof Absent)

/** What is there behind a value: an absent field's zero. */
export const plain = (value: Value): Exclude<Value, Absent> => (value instanceof Absent ? value.zero : value)

export const truth = (given: Value): boolean => {
  const value = plain(given)
  if (Array.isArray(value)) return value.length > 0
  if (isMap(value)) return Object.keys(value).length > 0
  return value !== '' && value !== 0 && value !== false && value !== null && value !== undefined
}

/** %v. */
export const show = (given: Value): string => {
  const value = plain(given)
  if (value === undefined) return '<no value>'
  if (value === null) return '<nil>'
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`
  if (value instanceof Row)
    return `{${Object.values(value.fields)
      .map((field) => field())
      .filter((field) => typeof field !== 'function')
      .map((field) => show(field as Value))
      .join(' ')}}`
  if (isMap(value))
    return `map[${Object.keys(value)
      .sort()
      .map((key) => `${key}:${show(value[key])}`)
      .join(' ')}]`
  return String(value)
}

/** Go's encoder: what is absent is left out, rows have their fields in alphabetical order, and hide what HTML would read. */
export const toJson = (given: Value): string => {
  let rows = false
  const encode = (value: Value): unknown => {
    if (value instanceof Absent) return undefined
    if (value === undefined) return null
    if (Array.isArray(value)) return value.map((each) => encode(each) ?? null)
    if (value instanceof Row) {
      rows = true
      return fieldsOf(value)
    }
    if (!isMap(value)) return value
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, encode(each)]))
  }
  const fieldsOf = (row: Row): object =>
    Object.fromEntries(
      Object.keys(row.fields)
        .sort()
        .map((name) => [name, row.fields[name]!()] as const)
        .filter(([, value]) => typeof value !== 'function')
        .map(([name, value]) => [name, encode(value as Value)]),
    )
  const text = JSON.stringify(encode(plain(given)))
  const hidden = rows ? /[\u2028\u2029<>&]/g : /[\u2028\u2029]/g
  return text.replace(hidden, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Go's %q. */
export const quote = (text: string): string => {
  const short: Record<string, string> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\\': '\\\\', '"': '\\"' }
  const other: Record<string, string> = { '\u0007': '\\a', '\b': '\\b', '\f': '\\f', '\v': '\\v' }
  return `"${text.replace(
    /[\u0000-\u001f\u007f"\\]/g,
    (c) => short[c] ?? other[c] ?? `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )}"`
}
