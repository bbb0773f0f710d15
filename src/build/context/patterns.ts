/** Patterns of .dockerignore, --exclude and --parents (Docker's pattern matcher): the last one that matches decides. */
import { posix } from 'node:path'
import { SyntaxFault } from '../dockerfile/source.ts'
import { globExpression } from './glob.ts'

interface Pattern {
  /** Written with `!`. */
  exception: boolean
  text: string
  matches(path: string): boolean
  /** Text before the first wildcard: nothing below another directory can match. */
  literal: string
}

export interface Patterns {
  /** Does the list select `path` (relative, without a leading slash), itself or through a directory above it? */
  matches(path: string): boolean
  /** May an exception (`!`) select something below the directory `path`? Then a matched directory has to be walked. */
  mayExceptBelow(path: string): boolean
  /** May anything at or below the directory `path` be selected? */
  mayMatchBelow(path: string): boolean
  readonly empty: boolean
  /** Is everything selected, whatever there is? */
  readonly selectsAll: boolean
  /** What it was made of. */
  readonly lines: readonly string[]
}

export const compilePatterns = (lines: readonly string[]): Patterns => {
  const patterns = lines
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map(compile)
  const none = patterns.map(() => false)
  // Paths in one directory are asked for one after the other.
  let latest = { directory: '', above: none }
  const above = (directory: string): boolean[] => {
    if (directory === '') return none
    if (directory !== latest.directory) {
      const all = [...parentsOf(directory), directory]
      latest = { directory, above: patterns.map((pattern) => all.some(pattern.matches)) }
    }
    return latest.above
  }
  const matches = (path: string): boolean => {
    const slash = path.lastIndexOf('/')
    const selectedAbove = above(slash < 0 ? '' : path.slice(0, slash))
    let selected = false
    for (let i = 0; i < patterns.length; i++) {
      const pattern = patterns[i]!
      // It could only repeat what is decided already.
      if (pattern.exception === selected && (selectedAbove[i] || pattern.matches(path))) selected = !pattern.exception
    }
    return selected
  }
  const touches = ({ text, literal }: Pattern, path: string): boolean =>
    (literal === text ? `${path}/`.startsWith(`${text}/`) : `${path}/`.startsWith(literal)) ||
    literal.startsWith(`${path}/`)
  return {
    matches,
    mayExceptBelow(path) {
      // Exceptions before the last pattern that takes the whole directory count for nothing in it.
      const all = [...parentsOf(path), path]
      const last = patterns.findLastIndex((pattern) => !pattern.exception && all.some(pattern.matches))
      return patterns.some((pattern, at) => at > last && pattern.exception && touches(pattern, path))
    },
    mayMatchBelow: (path) => patterns.some((pattern) => !pattern.exception && touches(pattern, path)),
    empty: patterns.length === 0,
    selectsAll:
      patterns.some(({ text, exception }) => !exception && ['*', '**', '**/*'].includes(text)) &&
      !patterns.some(({ exception }) => exception),
    lines,
  }
}

const parentsOf = (path: string): string[] => {
  const parts = path.split('/')
  return parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join('/'))
}

const compile = (line: string): Pattern => {
  const exception = line.startsWith('!')
  const raw = exception ? line.slice(1).trim() : line
  if (raw === '') throw new SyntaxFault('illegal exclusion pattern: "!"')
  const cleaned = posix.normalize(raw).replace(/(.)\/$/, '$1')
  const text = cleaned.length > 1 ? cleaned.replace(/^\//, '') : cleaned
  const literal = /^[^*?[\\]*/.exec(text)![0]
  return { exception, text, literal, matches: matcher(text) }
}

/** `**` at the very start is any beginning, so `**.md` is a suffix; elsewhere it is any number of directories. */
const matcher = (text: string): ((path: string) => boolean) => {
  const expression = globExpression(text, { deep: true })
  if (!/[*?[\\]/.test(text)) return (path) => path === text
  const rest = text.slice(2)
  if (text.startsWith('**') && !/[*?[\\]/.test(rest)) {
    if (rest === '') return () => true
    return (path) => path.endsWith(rest) || (rest.startsWith('/') && path === rest.slice(1))
  }
  return (path) => expression.test(path)
}
