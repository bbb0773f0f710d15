import { SlipwayError } from '../errors.ts'

/** A TOML table, its keys in the order of the file. */
export type TomlTable = { [key: string]: TomlValue }
export type TomlValue = string | number | boolean | TomlValue[] | TomlTable

/**
 * TOML 1.0 without dates, inline multi-line strings and hexadecimal numbers: what configuration files of container tools
 * use. `file` is for messages. 'invalid' with the line otherwise.
 */
export const parseToml = (text: string, file: string): TomlTable => new Reader(text, file).document()

const bare = /[A-Za-z0-9_-]+/y
const number = /[+-]?\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const escapes: Record<string, string> = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', '"': '"', '\\': '\\' }

class Reader {
  readonly #text: string
  readonly #file: string
  #at = 0

  constructor(text: string, file: string) {
    this.#text = text.replace(/\r\n/g, '\n')
    this.#file = file
  }

  document(): TomlTable {
    const root: TomlTable = {}
    let table = root
    for (;;) {
      this.#blank()
      if (this.#at >= this.#text.length) return root
      if (this.#take('[[')) {
        const key = this.#key()
        this.#expect(']]')
        const last = key.pop()!
        const owner = this.#descend(root, key)
        const list = (owner[last] ??= [])
        if (!Array.isArray(list)) throw this.#invalid(`"${last}" is no list of tables`)
        table = {}
        list.push(table)
      } else if (this.#take('[')) {
        const key = this.#key()
        this.#expect(']')
        table = this.#descend(root, key)
      } else this.#pair(table)
      this.#lineEnd()
    }
  }

  #pair(table: TomlTable): void {
    const key = this.#key()
    const last = key.pop()!
    const owner = this.#descend(table, key)
    this.#expect('=')
    this.#space()
    if (Object.hasOwn(owner, last)) throw this.#invalid(`"${last}" is given twice`)
    set(owner, last, this.#value())
  }

  #descend(from: TomlTable, path: string[]): TomlTable {
    let table = from
    for (const name of path) {
      if (!Object.hasOwn(table, name)) set(table, name, {})
      const value = table[name]!
      const next = Array.isArray(value) ? value.at(-1) : value
      if (typeof next !== 'object' || Array.isArray(next)) throw this.#invalid(`"${name}" is no table`)
      table = next
    }
    return table
  }

  #key(): string[] {
    const parts: string[] = []
    do {
      this.#space()
      const quote = this.#text[this.#at]
      if (quote === '"' || quote === "'") parts.push(this.#string(quote))
      else parts.push(this.#match(bare) ?? this.#fail('a key is missing'))
      this.#space()
    } while (this.#take('.'))
    return parts
  }

  #value(): TomlValue {
    const first = this.#text[this.#at]
    if (first === '"' || first === "'") return this.#string(first)
    if (this.#take('[')) return this.#list()
    if (this.#take('{')) return this.#inline()
    for (const [word, value] of [['true', true] as const, ['false', false] as const]) if (this.#take(word)) return value
    const digits = this.#match(number)
    if (digits === undefined) throw this.#invalid('a value is missing')
    return Number(digits.replaceAll('_', ''))
  }

  #list(): TomlValue[] {
    const values: TomlValue[] = []
    for (;;) {
      this.#blank()
      if (this.#take(']')) return values
      values.push(this.#value())
      this.#blank()
      if (!this.#take(',')) {
        this.#expect(']')
        return values
      }
    }
  }

  #inline(): TomlTable {
    const table: TomlTable = {}
    this.#space()
    if (this.#take('}')) return table
    for (let more = true; more; more = this.#take(',')) {
      this.#pair(table)
      this.#space()
    }
    this.#expect('}')
    return table
  }

  #string(quote: string): string {
    if (this.#text.startsWith(quote.repeat(3), this.#at)) throw this.#invalid('multi-line strings are not read here')
    let value = ''
    for (this.#at++; ; this.#at++) {
      const letter = this.#text[this.#at]
      if (letter === undefined || letter === '\n') throw this.#invalid('a string does not end')
      if (letter === quote) break
      if (letter !== '\\' || quote === "'") {
        value += letter
        continue
      }
      const code = this.#text[++this.#at] ?? ''
      const digits = code === 'u' ? 4 : code === 'U' ? 8 : 0
      if (digits > 0) {
        const hex = this.#text.slice(this.#at + 1, this.#at + 1 + digits)
        const point = /^[0-9a-fA-F]+$/.test(hex) ? Number.parseInt(hex, 16) : Number.NaN
        if (!(point <= 0x10ffff)) throw this.#invalid(`\\${code}${hex} is no character`)
        value += String.fromCodePoint(point)
        this.#at += digits
      } else value += escapes[code] ?? this.#fail(`\\${code} is no escape`)
    }
    this.#at++
    return value
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #expect(text: string): void {
    this.#space()
    if (!this.#take(text)) throw this.#invalid(`"${text}" is missing`)
  }

  #space(): void {
    this.#match(/[ \t]*/y)
  }

  /** Spaces, line ends and comments. */
  #blank(): void {
    this.#match(/(?:[ \t\n]+|#[^\n]*)*/y)
  }

  #lineEnd(): void {
    this.#match(/[ \t]*(?:#[^\n]*)?/y)
    if (this.#at < this.#text.length && !this.#take('\n')) throw this.#invalid('more than one thing in a line')
  }

  #invalid(what: string): SlipwayError {
    const line = this.#text.slice(0, this.#at).split('\n').length
    return new SlipwayError('invalid', `${this.#file}:${line}: ${what}`, { at: { file: this.#file, line } })
  }

  #fail(what: string): never {
    throw this.#invalid(what)
  }
}

/** `__proto__` is a key like any other. */
const set = (table: TomlTable, key: string, value: TomlValue): void => {
  Object.defineProperty(table, key, { value, enumerable: true, writable: true, configurable: true })
}
