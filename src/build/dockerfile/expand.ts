/**
 * Variable expansion of Dockerfile words: `$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p} ${v%%p}
 * ${v/p/r} ${v//p/r}`, with shell quoting (Dockerfile reference, "Environment replacement").
 */
import { type Part, type Wildcards, wildcards } from '../../lib/wildcards.ts'
import { SyntaxFault } from './source.ts'

type Lookup = (name: string) => string | undefined

interface ExpandOptions {
  escape?: string
  /** Keep quotes in the result. */
  rawQuotes?: boolean
  /** Keep escape characters in the result. */
  rawEscapes?: boolean
  /** Quotes are ordinary characters (content of a here-document). */
  skipQuotes?: boolean
  /** Leave references to unset variables as they are written. */
  skipUnset?: boolean
}
interface Expanded {
  text: string
  /** The text split into words at blanks outside quotes; blanks from variables split too. */
  words: string[]
  /** Names that were used and set, and used and not set (without a default). */
  matched: Set<string>
  unmatched: Set<string>
}

/** What the variables of one build may amount to, so that a few lines that double theirs do not take all memory. */
export class Allowance {
  #left = 64 * 1024 * 1024

  /** Looks up in `values`, and in `over` before, at the cost of what is found. */
  lookup(values: ReadonlyMap<string, string>, over?: ReadonlyMap<string, string>): Lookup {
    return (name) => {
      const value = over?.get(name) ?? values.get(name)
      this.#left -= value?.length ?? 0
      if (this.#left < 0) throw new SyntaxFault('variables expand to more than 64MiB')
      return value
    }
  }
}

/** Expands `text`; a SyntaxFault says what is malformed, or which required variable is missing. */
export const expand = (text: string, lookup: Lookup, options: ExpandOptions = {}): Expanded => {
  const expander = new Expander(text, lookup, options)
  const result = expander.until('')
  return { text: result, words: expander.words.list(), matched: expander.matched, unmatched: expander.unmatched }
}

/** Collects words: unquoted blanks separate. */
class Words {
  #done: string[] = []
  #word = ''
  #inWord = false

  char(char: string): void {
    if (/\s/.test(char)) {
      if (this.#inWord) this.#end()
    } else this.raw(char)
  }
  string(text: string): void {
    const [first = '', ...others] = text.split(/\s+/)
    if (first !== '') this.raw(first)
    for (const word of others) {
      if (this.#inWord) this.#end()
      if (word !== '') this.raw(word)
    }
  }
  raw(text: string): void {
    this.#word += text
    this.#inWord = true
  }
  #end(): void {
    // Quotes with nothing in them make no word.
    if (this.#word !== '') this.#done.push(this.#word)
    this.#word = ''
    this.#inWord = false
  }
  list(): string[] {
    if (this.#inWord) this.#end()
    return this.#done
  }
}

class Expander {
  readonly words = new Words()
  readonly matched = new Set<string>()
  readonly unmatched = new Set<string>()
  #text: string
  #at = 0
  #lookup: Lookup
  #options: ExpandOptions
  #escape: string
  #rawEscapes: boolean

  constructor(text: string, lookup: Lookup, options: ExpandOptions) {
    this.#text = text
    this.#lookup = lookup
    this.#options = options
    this.#escape = options.escape ?? '\\'
    this.#rawEscapes = options.rawEscapes ?? false
  }

  get #peek(): string {
    return this.#text[this.#at] ?? ''
  }
  #next(): string {
    return this.#text[this.#at++] ?? ''
  }
  get #ended(): boolean {
    return this.#at >= this.#text.length
  }

  /** Reads up to `stop` ('' is the end of the text) and consumes it. */
  until(stop: string, rawEscapes = this.#rawEscapes): string {
    const outer = this.#rawEscapes
    this.#rawEscapes = rawEscapes
    let result = ''
    while (!this.#ended) {
      const char = this.#peek
      if (stop !== '' && char === stop) {
        this.#at++
        this.#rawEscapes = outer
        return result
      }
      if (char === '$') {
        const value = this.#dollar()
        this.words.string(value)
        result += value
      } else if ((char === "'" || char === '"') && !this.#options.skipQuotes) {
        const value = char === "'" ? this.#single() : this.#double()
        this.words.raw(value)
        result += value
      } else if (char === this.#escape) {
        this.#at++
        if (this.#rawEscapes) {
          this.words.raw(char)
          result += char
        }
        if (this.#ended) break
        const escaped = this.#next()
        this.words.raw(escaped)
        result += escaped
      } else {
        this.#at++
        this.words.char(char)
        result += char
      }
    }
    this.#rawEscapes = outer
    if (stop !== '') throw new SyntaxFault(`unexpected end of statement while looking for matching ${stop}`)
    return result
  }

  #single(): string {
    const open = this.#next()
    const end = this.#text.indexOf("'", this.#at)
    if (end < 0) throw new SyntaxFault('unexpected end of statement while looking for matching single-quote')
    const inside = this.#text.slice(this.#at, end)
    this.#at = end + 1
    return this.#options.rawQuotes ? open + inside + open : inside
  }

  #double(): string {
    this.#at++
    let result = this.#options.rawQuotes ? '"' : ''
    while (!this.#ended) {
      const char = this.#peek
      if (char === '"') {
        this.#at++
        return this.#options.rawQuotes ? result + '"' : result
      }
      if (char === '$') result += this.#dollar()
      else {
        this.#at++
        if (char !== this.#escape) result += char
        else {
          if (this.#rawEscapes) result += char
          if (this.#ended) break
          const escaped = this.#next()
          // Inside double quotes an escape means itself unless it protects one of these.
          if (!this.#rawEscapes && escaped !== '"' && escaped !== '$' && escaped !== this.#escape) result += char
          result += escaped
        }
      }
    }
    throw new SyntaxFault('unexpected end of statement while looking for matching double-quote')
  }

  #name(): string {
    const match = /^(?:[\p{L}_][\p{L}\p{Nd}_]*|\p{Nd}+|[@*#?\-$!])/u.exec(this.#text.slice(this.#at))
    this.#at += match?.[0].length ?? 0
    return match?.[0] ?? ''
  }

  #get(name: string, required = true): string | undefined {
    const value = this.#lookup(name)
    if (value !== undefined) this.matched.add(name)
    else if (required) this.unmatched.add(name)
    return value
  }

  #dollar(): string {
    this.#at++
    if (this.#ended) return '$'
    if (this.#peek !== '{') {
      const name = this.#name()
      if (name === '') return '$'
      return this.#get(name) ?? (this.#options.skipUnset ? `$${name}` : '')
    }
    this.#at++
    if (this.#ended) throw new SyntaxFault("syntax error: missing '}'")
    if ('{}:'.includes(this.#peek)) throw new SyntaxFault('syntax error: bad substitution')
    const name = this.#name()
    const operator = this.#next()
    if (operator === '}') return this.#get(name) ?? (this.#options.skipUnset ? `\${${name}}` : '')
    if (operator === '') throw new SyntaxFault("syntax error: missing '}'")
    if (operator === '/') return this.#replace(name)
    if (operator === ':' || '+-?#%'.includes(operator || ' ')) return this.#modified(name, operator)
    throw new SyntaxFault(`unsupported modifier (${operator}) in substitution`)
  }

  /** The word of a modifier: it must not leak into the split words of the whole text. */
  #word(stop: string, raw: boolean): string {
    const inner = new Expander(this.#text, this.#lookup, this.#options)
    inner.#at = this.#at
    try {
      return inner.until(stop, raw)
    } catch (error) {
      if (error instanceof SyntaxFault && inner.#ended) throw new SyntaxFault("syntax error: missing '}'")
      throw error
    } finally {
      this.#at = inner.#at
      for (const used of inner.matched) this.matched.add(used)
      for (const used of inner.unmatched) this.unmatched.add(used)
    }
  }

  #modified(name: string, first: string): string {
    const orEmpty = first === ':'
    const operator = orEmpty ? this.#next() : first
    const written = orEmpty ? `:${operator}` : operator
    const pattern = operator === '#' || operator === '%'
    if (!'+-?#%'.includes(operator || ' ')) throw new SyntaxFault(`unsupported modifier (${written}) in substitution`)
    let word = this.#word('}', pattern)
    const value = this.#get(name, pattern)
    if (value === undefined && this.#options.skipUnset) return `\${${name}${written}${word}}`
    const missing = value === undefined || (orEmpty && value === '')
    switch (operator) {
      case '-':
        return missing ? word : value
      case '+':
        return missing ? '' : word
      case '?':
        if (!missing) return value
        throw new SyntaxFault(`${name}: ${word || `is not allowed to be ${value === undefined ? 'unset' : 'empty'}`}`, {
          hint: `Give it a value with --build-arg ${name}=…`,
        })
    }
    const longest = word.startsWith(operator)
    if (longest) word = word.slice(1)
    return trim(value ?? '', word, operator === '#' ? 'start' : 'end', longest)
  }

  #replace(name: string): string {
    const all = this.#peek === '/'
    if (all) this.#at++
    const pattern = this.#word('/', true)
    const replacement = this.#word('}', true)
    const value = this.#get(name)
    if (value === undefined && this.#options.skipUnset) return `\${${name}/${all ? '/' : ''}${pattern}/${replacement}}`
    return replaced(value ?? '', wildcards(shellPattern(pattern)), replacement, all)
  }
}

/** A shell pattern: `*`, `?`, escapes. */
const shellPattern = (pattern: string): Part[] => {
  const parts: Part[] = []
  const chars = [...pattern]
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i]!
    if (char === '*') parts.push({ many: () => true })
    else if (char === '?') parts.push({ one: () => true })
    else {
      if (char === '\\' && ++i === chars.length)
        throw new SyntaxFault(`invalid escape '\\' at end of pattern ${pattern}`)
      const literal = chars[i]!
      parts.push({ one: (given) => given === literal })
    }
  }
  return parts
}

const trim = (value: string, pattern: string, side: 'start' | 'end', longest: boolean): string => {
  const parts = shellPattern(pattern)
  const chars = [...value]
  const { ends } =
    side === 'start' ? wildcards(parts).ends(chars) : wildcards(parts.toReversed()).ends(chars.toReversed())
  const length = ends.at(longest ? -1 : 0) ?? 0
  return (side === 'start' ? chars.slice(length) : chars.slice(0, chars.length - length)).join('')
}

/** What matches is taken as long as can be, from the left. Nothing is no match right behind another one. */
const replaced = (value: string, pattern: Wildcards, replacement: string, all: boolean): string => {
  const chars = [...value]
  let out = ''
  let done = 0
  for (let at = 0; at <= chars.length; ) {
    const { ends, open } = pattern.ends(chars, at)
    const end = ends.at(-1)
    if (end === undefined && open) break
    if (end !== undefined) {
      out += chars.slice(done, at).join('') + (end > done || at === 0 ? replacement : '')
      done = end
      if (!all) break
    }
    at = end !== undefined && end > at ? end : at + 1
  }
  return out + chars.slice(done).join('')
}
