/** Go's filepath.Match on '/'-separated paths: `*` and `?` stay within a segment, `[a-z]` `[^a]` are classes, `\` escapes. */
import { SyntaxFault } from '../dockerfile/source.ts'

const special = /[.+()|{}^$\\/*?[\]-]/g
const literal = (char: string): string => char.replace(special, '\\$&')

/** The pattern as a regular expression for a whole path. Malformed: a SyntaxFault "syntax error in pattern". */
export const globExpression = (pattern: string): RegExp => {
  const bad = new SyntaxFault(`syntax error in pattern: ${pattern}`, { near: pattern })
  let out = ''
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!
    if (char === '*') out += '[^/]*'
    else if (char === '?') out += '[^/]'
    else if (char === '\\') {
      if (++at >= pattern.length) throw bad
      out += literal(pattern[at]!)
    } else if (char === '[') {
      const end = classEnd(pattern, at)
      if (end === undefined) throw bad
      out += classOf(pattern.slice(at + 1, end), bad)
      at = end
    } else out += literal(char)
  }
  return new RegExp(`^${out}$`, 's')
}

const classEnd = (pattern: string, open: number): number | undefined => {
  // A bracket right behind the opening one is a syntax error in Go, unlike in a shell.
  for (let at = open + 1; at < pattern.length; at++) {
    if (pattern[at] === '\\') at++
    else if (pattern[at] === ']') return at
  }
  return undefined
}

const classOf = (body: string, bad: SyntaxFault): string => {
  const negated = body.startsWith('^')
  const chars: string[] = []
  let ranges = ''
  const rest = [...(negated ? body.slice(1) : body)]
  const take = (): string => {
    const char = rest.shift()
    if (char === undefined || char === '-' || char === ']') throw bad
    if (char !== '\\') return char
    const escaped = rest.shift()
    if (escaped === undefined) throw bad
    return escaped
  }
  while (rest.length > 0) {
    const low = take()
    if (rest[0] !== '-') chars.push(low)
    else {
      rest.shift()
      const high = take()
      // Go accepts an empty range such as [z-a]: it matches nothing.
      if (low <= high) ranges += `${literal(low)}-${literal(high)}`
    }
  }
  if (chars.length === 0 && ranges === '' && body.replace('^', '') === '') throw bad
  const inside = chars.map(literal).join('') + ranges
  if (inside === '') return negated ? '[^/]' : '(?!)'
  return negated ? `(?!/)[^${inside}]` : `(?!/)[${inside}]`
}

export const hasWildcards = (path: string): boolean => {
  for (let at = 0; at < path.length; at++) {
    if ('*?['.includes(path[at]!)) return true
    if (path[at] === '\\') at++
  }
  return false
}

/** Takes the backslashes out of a pattern without wildcards. */
export const unescapeGlob = (path: string): string => path.replace(/\\(.)/g, '$1')
