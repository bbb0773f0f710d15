/**
 * .env files and env_file, as compose-go reads them: `KEY=value`, `export KEY=value`, `KEY: value`; `KEY` alone takes the
 * caller's value or is absent; `#` begins a comment after white space; single quotes are literal; double quotes know escapes
 * and may span lines; `${…}` is substituted except within single quotes.
 */
import type { SourcePosition } from '../../errors.ts'
import { type Lookup, substitute, TemplateError } from './interpolate.ts'
import type { Problem } from './problem.ts'

const escapes: Record<string, string> = {
  n: '\n',
  r: '\r',
  t: '\t',
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
  '"': '"',
  "'": "'",
  '\\': '\\',
}

/** Reads `text`; `lookup` is the environment that values may mention besides earlier lines. */
export const parseDotenv = (text: string, file: string, lookup: Lookup, problem: Problem): Map<string, string> => {
  const values = new Map<string, string>()
  const source = text.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n')
  // The caller's environment wins over what the file said earlier, as for `${…}` in a Compose file.
  const find: Lookup = (name) => lookup(name) ?? values.get(name)
  let at = 0
  const position = (offset: number): SourcePosition => {
    const before = source.slice(0, offset).split('\n')
    return { file, line: before.length, column: before.at(-1)!.length + 1 }
  }
  const expand = (value: string, offset: number): string => {
    try {
      return substitute(value, find)
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      throw problem(position(offset), `failed to read ${file}: line ${position(offset).line}: ${error.message}`)
    }
  }
  while (at < source.length) {
    const lineEnd = endOfLine(source, at)
    const line = source.slice(at, lineEnd)
    const match = /^\s*(?:export\s+)?([^\s=:#][^\s=:]*)\s*(?:([=:])[ \t]*)?/.exec(line)
    if (/^\s*(#|$)/.test(line)) {
      at = lineEnd + 1
      continue
    }
    if (!match || !/^[A-Za-z_][\w.-]*$/.test(match[1]!))
      throw problem(
        position(at),
        `failed to read ${file}: line ${position(at).line}: unexpected character in variable name near "${line.trim().slice(0, 40)}"`,
      )
    const name = match[1]!
    if (!match[2]) {
      const rest = line.slice(match[0].length).trim()
      if (rest && !rest.startsWith('#'))
        throw problem(position(at), `failed to read ${file}: line ${position(at).line}: key cannot contain a space`)
      const inherited = lookup(name)
      if (inherited !== undefined) values.set(name, inherited)
      at = lineEnd + 1
      continue
    }
    const start = at + match[0].length
    const quote = source[start]
    if (quote === '"' || quote === "'") {
      const end = closingQuote(source, start)
      if (end === -1)
        throw problem(
          position(start),
          `failed to read ${file}: line ${position(start).line}: unterminated quoted value ${line.slice(match[0].length)}`,
        )
      const inside = source.slice(start + 1, end)
      values.set(name, quote === "'" ? inside.replaceAll("\\'", "'") : expand(readEscapes(inside), start))
      at = endOfLine(source, end) + 1
    } else {
      const raw = line
        .slice(match[0].length)
        .replace(/(^|\s)#.*$/, '')
        .trimEnd()
      values.set(name, expand(raw, start))
      at = lineEnd + 1
    }
  }
  return values
}

/** `format: raw`: everything after `=` is the value. */
export const parseRawEnv = (text: string, lookup: Lookup): Map<string, string> => {
  const values = new Map<string, string>()
  for (const line of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    if (!line.trim() || line.trimStart().startsWith('#')) continue
    const equals = line.indexOf('=')
    const name = (equals === -1 ? line : line.slice(0, equals)).trim()
    const value = equals === -1 ? lookup(name) : line.slice(equals + 1)
    if (value !== undefined) values.set(name, value)
  }
  return values
}

const endOfLine = (text: string, from: number): number => {
  const end = text.indexOf('\n', from)
  return end === -1 ? text.length : end
}
const closingQuote = (text: string, start: number): number => {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === text[start]) return i
  }
  return -1
}
const readEscapes = (text: string): string =>
  text.replace(/\\(.)/gs, (whole, c: string) => (c === '$' ? '$$' : (escapes[c] ?? whole)))
