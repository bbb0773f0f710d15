/** The functions every template has. What they throw becomes the template's error. */
import { sprintf } from './printf.ts'
import { isMap, plain, type Row, show, type Value } from './values.ts'

type Function = (...args: Value[]) => Value

const print = (args: Value[]): string =>
  args
    .map((each, i) => {
      const text = typeof plain(each) === 'string' || typeof plain(args[i - 1]) === 'string'
      return `${i > 0 && !text ? ' ' : ''}${show(each)}`
    })
    .join('')

const index: Function = (item, ...keys) => {
  let at = plain(item)
  for (const given of keys) {
    const key = plain(given)
    if (at === null || at === undefined) throw new Error('index of untyped nil')
    if (Array.isArray(at) || typeof at === 'string') {
      if (typeof key !== 'number') throw new Error(`cannot index slice/array with type ${typeof key}`)
      if (key < 0 || key >= at.length) throw new Error(`index out of range: ${key}`)
      at = Array.isArray(at) ? plain(at[key]) : Buffer.from(at)[key]
    } else if (isMap(at)) at = plain(Object.hasOwn(at, String(key)) ? at[String(key)] : undefined) ?? ''
    else throw new Error(`can't index item of type ${typeof at}`)
  }
  return at
}

const slice: Function = (item, from = 0, to) => {
  const value = plain(item)
  if (!Array.isArray(value) && typeof value !== 'string') throw new Error(`can't slice item of type ${typeof value}`)
  const end = to === undefined ? value.length : Number(plain(to))
  const begin = Number(plain(from))
  for (const each of [begin, end]) if (each < 0 || each > value.length) throw new Error(`index out of range: ${each}`)
  if (begin > end) throw new Error(`invalid slice index: ${begin} > ${end}`)
  return value.slice(begin, end)
}

const length: Function = (item) => {
  const value = plain(item)
  if (value === null || value === undefined) throw new Error('len of nil pointer')
  if (typeof value === 'string') return Buffer.byteLength(value)
  if (Array.isArray(value)) return value.length
  if (isMap(value)) return Object.keys(value).length
  throw new Error(`len of type ${typeof value}`)
}

const kindOf = (value: Value): string => (value === null || value === undefined ? 'nil' : typeof value)
const same = (a: Value, b: Value): boolean => {
  const [left, right] = [plain(a), plain(b)]
  const basic = (value: Value): boolean => typeof value !== 'object' || value === null
  if (!basic(left) || !basic(right)) throw new Error('non-comparable type')
  if (kindOf(left) !== kindOf(right)) {
    if (kindOf(left) === 'nil' || kindOf(right) === 'nil') return false
    throw new Error('incompatible types for comparison')
  }
  return left === right || (kindOf(left) === 'nil' && kindOf(right) === 'nil')
}

const less = (a: Value, b: Value): boolean => {
  const [left, right] = [plain(a), plain(b)]
  if (typeof left === 'number' && typeof right === 'number') return left < right
  if (typeof left === 'string' && typeof right === 'string')
    return Buffer.compare(Buffer.from(left), Buffer.from(right)) < 0
  if (typeof left !== typeof right) throw new Error('incompatible types for comparison')
  throw new Error('invalid type for comparison')
}

const escaped = (text: string, table: Record<string, string>): string => text.replace(/./gs, (c) => table[c] ?? c)
const htmlTable = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&#34;', "'": '&#39;', '\0': '\uFFFD' }
const jsTable = {
  '\\': '\\\\',
  "'": "\\'",
  '"': '\\"',
  '<': '\\u003C',
  '>': '\\u003E',
  '&': '\\u0026',
  '=': '\\u003D',
  '\n': '\\u000A',
}

/** `and`, `or` are the executor's: they do not look at all of their arguments. */
export const builtins: Record<string, Function> = {
  print: (...args) => print(args),
  println: (...args) => `${args.map(show).join(' ')}\n`,
  printf: (format, ...args) => sprintf(show(format), args),
  html: (...args) => escaped(print(args), htmlTable),
  js: (...args) => escaped(print(args), jsTable),
  urlquery: (...args) => encodeURIComponent(print(args)).replaceAll('%20', '+'),
  index,
  slice,
  len: length,
  eq: (first, ...rest) => {
    if (rest.length === 0) throw new Error('missing argument for comparison')
    return rest.some((each) => same(first, each))
  },
  ne: (a, b) => !same(a, b),
  lt: less,
  le: (a, b) => less(a, b) || same(a, b),
  gt: (a, b) => !less(a, b) && !same(a, b),
  ge: (a, b) => !less(a, b),
  call: () => {
    throw new Error('call of non-function')
  },
}

/** A row's field, or undefined when it has none of that name. */
export const rowField = (row: Row, name: string): Value | ((...args: Value[]) => Value) | undefined =>
  Object.hasOwn(row.fields, name) ? row.fields[name]!() : undefined
