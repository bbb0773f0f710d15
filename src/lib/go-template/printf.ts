/** fmt.Sprintf, as far as templates use it. */
import { isMap, plain, quote, show, type Value } from './values.ts'

export const sprintf = (format: string, args: readonly Value[]): string => {
  let next = 0
  const count = (given: string | undefined): number | undefined => {
    if (given === '*') return Number(plain(args[next++]) ?? 0)
    return given === undefined || given === '' ? undefined : Number(given)
  }
  const text = format.replace(
    /%([-+# 0]*)(\d+|\*)?(?:\.(\d+|\*)?)?(.)?/gsu,
    (
      whole: string,
      flags: string,
      width: string | undefined,
      precision: string | undefined,
      verb: string | undefined,
    ) => {
      if (verb === '%') return '%'
      if (verb === undefined) return '%!(NOVERB)'
      const wide = count(width)
      const exact = whole.includes('.') ? (count(precision) ?? 0) : undefined
      if (next >= args.length) return `%!${verb}(MISSING)`
      return padded(one(verb, flags, exact, args[next++]), flags, wide)
    },
  )
  const rest = args.slice(next)
  return rest.length === 0
    ? text
    : `${text}%!(EXTRA ${rest.map((each) => `${typeName(each)}=${show(each)}`).join(', ')})`
}

const padded = (text: string, flags: string, width: number | undefined): string => {
  if (width === undefined) return text
  const length = [...text].length
  const fill = Math.max(0, Math.abs(width) - length)
  if (flags.includes('-') || width < 0) return text + ' '.repeat(fill)
  if (!flags.includes('0')) return ' '.repeat(fill) + text
  const sign = /^[+-]/.exec(text)?.[0] ?? ''
  return sign + '0'.repeat(fill) + text.slice(sign.length)
}

const typeName = (given: Value): string => {
  const value = plain(given)
  if (value === null || value === undefined) return '<nil>'
  if (Array.isArray(value)) return '[]interface {}'
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64'
  if (typeof value === 'boolean') return 'bool'
  return isMap(value) ? 'map[string]interface {}' : typeof value
}

const one = (verb: string, flags: string, precision: number | undefined, given: Value): string => {
  const value = plain(given)
  if (verb === 'v') return show(value)
  if (verb === 'T') return typeName(value)
  if (Array.isArray(value)) return `[${value.map((each) => one(verb, flags, precision, each)).join(' ')}]`
  if (typeof value === 'number') return numeric(verb, flags, precision, value)
  if (typeof value === 'boolean') return verb === 't' ? String(value) : wrong(verb, value)
  if (typeof value !== 'string') return value === null || value === undefined ? `%!${verb}(<nil>)` : show(value)
  const cut = precision === undefined ? value : [...value].slice(0, precision).join('')
  if (verb === 's') return cut
  if (verb === 'q') return quote(cut)
  if (verb === 'x' || verb === 'X') {
    const hex = Buffer.from(cut).toString('hex')
    return verb === 'X' ? hex.toUpperCase() : hex
  }
  return wrong(verb, value)
}

const wrong = (verb: string, value: Value): string => `%!${verb}(${typeName(value)}=${show(value)})`

const numeric = (verb: string, flags: string, precision: number | undefined, value: number): string => {
  const signed = (text: string): string => (flags.includes('+') && value >= 0 ? `+${text}` : text)
  const radix: Record<string, number> = { d: 10, b: 2, o: 8, x: 16, X: 16 }
  if (radix[verb] !== undefined && Number.isInteger(value)) {
    const text = value.toString(radix[verb])
    return signed(verb === 'X' ? text.toUpperCase() : text)
  }
  if (verb === 'f' || verb === 'F')
    return Number.isInteger(value) ? wrong(verb, value) : signed(value.toFixed(precision ?? 6))
  if (verb === 'e') return signed(value.toExponential(precision ?? 6).replace(/e([+-])(\d)$/, 'e$10$2'))
  if (verb === 'g')
    return signed(precision === undefined ? String(value) : String(Number(value.toPrecision(precision))))
  if (verb === 'c' && Number.isInteger(value)) return String.fromCodePoint(value)
  if (verb === 'q' && Number.isInteger(value)) return `'${String.fromCodePoint(value)}'`
  return wrong(verb, value)
}
