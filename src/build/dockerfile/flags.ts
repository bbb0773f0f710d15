import { suggest } from './nearest.ts'
import { SyntaxFault } from './source.ts'

export interface FlagValues {
  string(name: string): string | undefined
  boolean(name: string): boolean | undefined
  list(name: string): string[]
}
type Kind = 'string' | 'boolean' | 'list'

/** Reads `--name=value` words against the flags an instruction knows. */
export const readFlags = (words: readonly string[], known: Record<string, Kind> = {}): FlagValues => {
  const values = new Map<string, string[]>()
  for (const word of words) {
    const [name, value] = split(word.slice(2))
    const kind = known[name]
    if (!kind) {
      const options = Object.keys(known)
      throw new SyntaxFault(suggest(`unknown flag: --${name}`, name, options), { near: `--${name}` })
    }
    if (values.has(name) && kind !== 'list')
      throw new SyntaxFault(`duplicate flag specified: --${name}`, { near: `--${name}` })
    if (value === undefined && kind !== 'boolean')
      throw new SyntaxFault(`missing a value on flag: --${name}`, { near: `--${name}` })
    if (kind === 'boolean' && value !== undefined && !/^(true|false)$/i.test(value))
      throw new SyntaxFault(`expecting boolean value for flag --${name}, not: ${value}`, { near: `--${name}` })
    const list = values.get(name) ?? []
    list.push(value ?? 'true')
    values.set(name, list)
  }
  return {
    string: (name) => values.get(name)?.[0],
    boolean: (name) => {
      const value = values.get(name)?.[0]
      return value === undefined ? undefined : value.toLowerCase() === 'true'
    },
    list: (name) => values.get(name) ?? [],
  }
}

const split = (text: string): [string, string | undefined] => {
  const at = text.indexOf('=')
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
