/** Go's filepath.Match on '/'-separated paths: `*` and `?` stay within a segment, `[a-z]` `[^a]` are classes, `\` escapes. */
import { type Part, wildcards } from '../../lib/wildcards.ts'
import { SyntaxFault } from '../dockerfile/source.ts'

const literal = (char: string): string => char.replace(/[.+()|{}^$\\/*?[\]]/, '\\$&')
const literalInClass = (char: string): string => char.replace(/[\]^\\-]/, '\\$&')

/** A piece of a pattern as the source of a RegExp, with what it means where that is not one certain character. */
interface Piece {
  source: string
  kind: 'one' | 'star' | 'directories' | 'rest'
}

/**
 * The pattern, for a whole path. Malformed: a SyntaxFault "syntax error in pattern". With `deep`, as in .dockerignore, `**` is any
 * number of directories, and everything at the very end.
 */
export const globExpression = (pattern: string, { deep = false } = {}): { test(path: string): boolean } => {
  const pieces = piecesOf(pattern, deep)
  const count = (wanted: Piece['kind']): number => pieces.filter(({ kind }) => kind === wanted).length
  // A RegExp is the fastest, but tries all that several stars can stand for.
  if (count('star') <= 2 && count('directories') <= 1)
    return new RegExp(`^${pieces.map(({ source }) => source).join('')}$`, 'su')
  const { matches } = wildcards(pieces.map(partOf))
  return { test: matches }
}

/** globExpression() for who reads no Dockerfile; undefined: the pattern is malformed. */
export const pathPattern = (pattern: string): { test(path: string): boolean } | undefined => {
  try {
    return globExpression(pattern)
  } catch (error) {
    if (error instanceof SyntaxFault) return undefined
    throw error
  }
}

const piecesOf = (pattern: string, deep: boolean): Piece[] => {
  const bad = new SyntaxFault(`syntax error in pattern: ${pattern}`, { near: pattern })
  const chars = [...pattern]
  const pieces: Piece[] = []
  const add = (kind: Piece['kind'], source: string): unknown => pieces.push({ kind, source })
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at]!
    if (deep && char === '*' && chars[at + 1] === '*') {
      at += chars[at + 2] === '/' ? 2 : 1
      if (at + 1 >= chars.length) add('rest', '.*')
      else add('directories', '(?:.*/)?')
    } else if (char === '*') add('star', '[^/]*')
    else if (char === '?') add('one', '[^/]')
    else if (char === '\\') {
      if (++at >= chars.length) throw bad
      add('one', literal(chars[at]!))
    } else if (char === '[') {
      const end = classEnd(chars, at)
      if (end === undefined) throw bad
      add('one', classOf(chars.slice(at + 1, end), bad))
      at = end
    } else add('one', literal(char))
  }
  return pieces
}

const partOf = ({ kind, source }: Piece): Part => {
  if (kind === 'star') return { many: (char) => char !== '/' }
  if (kind === 'rest') return { many: () => true }
  if (kind === 'directories') return { upTo: '/' }
  const expression = new RegExp(`^${source}$`, 'su')
  return { one: (char) => expression.test(char) }
}

const classEnd = (pattern: readonly string[], open: number): number | undefined => {
  // A bracket right behind the opening one is a syntax error in Go, unlike in a shell.
  for (let at = open + 1; at < pattern.length; at++) {
    if (pattern[at] === '\\') at++
    else if (pattern[at] === ']') return at
  }
  return undefined
}

const classOf = (body: readonly string[], bad: SyntaxFault): string => {
  const negated = body[0] === '^'
  const rest = body.slice(negated ? 1 : 0)
  if (rest.length === 0) throw bad
  const take = (): string => {
    const char = rest.shift()
    if (char === undefined || char === '-' || char === ']') throw bad
    if (char !== '\\') return char
    const escaped = rest.shift()
    if (escaped === undefined) throw bad
    return escaped
  }
  let inside = ''
  while (rest.length > 0) {
    const low = take()
    let high = low
    if (rest[0] === '-') {
      rest.shift()
      high = take()
    }
    // Go accepts an empty range such as [z-a]: it matches nothing.
    if (low.codePointAt(0)! <= high.codePointAt(0)!) inside += `${literalInClass(low)}-${literalInClass(high)}`
  }
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
