import type { Source } from './source.ts'
import { faultAt } from './source.ts'

export interface Directives {
  escape: '\\' | '`'
  syntax: string | undefined
  check: CheckConfig
}
/** `# check=skip=A,B;error=true;experimental=all` */
export interface CheckConfig {
  skip: ReadonlySet<string>
  skipAll: boolean
  experimental: ReadonlySet<string>
  experimentalAll: boolean
  error: boolean
}

const pattern = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/
const known = new Set(['syntax', 'escape', 'check'])

/** Reads the parser directives at the top of a file: the first line that is none ends them (Dockerfile reference, "Parser directives"). */
export const parseDirectives = (source: Source): Directives => {
  const found = new Map<string, string>()
  for (const [index, line] of source.lines.entries()) {
    const match = pattern.exec(line.trim())
    if (!match) break
    const name = match[1]!.toLowerCase()
    if (!known.has(name)) break
    const range = { start: index + 1, end: index + 1 }
    const message = (text: string): string => `dockerfile parse error on line ${index + 1}: ${text}`
    if (found.has(name)) {
      throw faultAt(source, range, {
        message: message(`only one ${name} parser directive can be used`),
        hint: undefined,
        near: undefined,
      })
    }
    const value = match[2]!
    if (name === 'escape' && value !== '\\' && value !== '`') {
      throw faultAt(source, range, {
        message: message(`invalid ESCAPE '${value}' does not match \` or \\`),
        hint: undefined,
        near: value,
      })
    }
    found.set(name, value)
  }
  return {
    escape: (found.get('escape') as '\\' | '`' | undefined) ?? '\\',
    syntax: found.get('syntax'),
    check: parseCheck(found.get('check') ?? ''),
  }
}

const names = (value: string): string[] =>
  value
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean)

export const parseCheck = (text: string): CheckConfig => {
  let skip: string[] = []
  let experimental: string[] = []
  let error = false
  for (const part of text.split(';')) {
    const [key = '', value = ''] = part.split('=').map((piece) => piece.trim())
    if (key === 'skip') skip = names(value)
    else if (key === 'experimental') experimental = names(value)
    else if (key === 'error') error = value.toLowerCase() === 'true' || value === '1'
  }
  return {
    skip: new Set(skip),
    skipAll: skip.includes('all'),
    experimental: new Set(experimental),
    experimentalAll: experimental.includes('all'),
    error,
  }
}
