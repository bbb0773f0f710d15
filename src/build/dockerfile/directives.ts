import { SlipwayError } from '../../errors.ts'
import { goBool, notBool } from '../../lib/go-bool.ts'
import type { Source } from './source.ts'
import { faultAt } from './source.ts'

export interface Directives {
  escape: '\\' | '`'
  syntax: string | undefined
  /** As written; parseCheck reads it. */
  check: string
  /** How many lines they are. */
  count: number
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
  const interpreter = source.lines[0]?.startsWith('#!') === true
  for (const [index, line] of source.lines.entries()) {
    if (index === 0 && interpreter) continue
    const match = pattern.exec(line.trim())
    if (!match) break
    const name = match[1]!.toLowerCase()
    // Below `#!` a file is still read with the usual escape character.
    if (!known.has(name) || (interpreter && name === 'escape')) break
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
    check: found.get('check') ?? '',
    count: found.size + (interpreter ? 1 : 0),
  }
}

const names = (value: string): string[] => value.split(',').map((name) => name.trim())

/** Reads `skip=A,B;error=true;experimental=all`, at most three parts. Errors: 'invalid', in BuildKit's words. */
export const parseCheck = (text: string): CheckConfig => {
  const lists: Record<string, string[]> = { skip: [], experimental: [] }
  let error = false
  const [first = '', second, ...rest] = text.trim().split(';')
  const parts =
    first === '' && second === undefined ? [] : [first, second, rest.length > 0 ? rest.join(';') : undefined]
  for (const part of parts) {
    if (part === undefined) continue
    const at = part.indexOf('=')
    const key = (at < 0 ? part : part.slice(0, at)).trim()
    const value = part.slice(at + 1).trim()
    if (at >= 0 && lists[key]) lists[key] = names(value)
    else if (at >= 0 && key === 'error') {
      const given = goBool(value)
      if (given === undefined)
        throw new SlipwayError('invalid', `failed to parse check option ${JSON.stringify(part)}: ${notBool(value)}`)
      error = given
    } else throw new SlipwayError('invalid', `invalid check option ${JSON.stringify(at < 0 ? part : key)}`)
  }
  const { skip = [], experimental = [] } = lists
  return {
    skip: new Set(skip),
    skipAll: skip[0] === 'all' && skip.length === 1,
    experimental: new Set(experimental),
    experimentalAll: experimental[0] === 'all' && experimental.length === 1,
    error,
  }
}

/** The `# check=` among the comments above an instruction; what follows the first blank of its value says why. */
export const localCheck = (comments: readonly string[]): CheckConfig | undefined => {
  for (const comment of comments) {
    const [, name = '', value = ''] = pattern.exec(`#${comment}`) ?? []
    if (name.toLowerCase() !== 'check') continue
    try {
      return parseCheck(value.split(' ')[0]!)
    } catch {
      // A comment above an instruction may say anything.
      return undefined
    }
  }
  return undefined
}
