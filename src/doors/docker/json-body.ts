/** A request's JSON as dockerd reads it: what its type may be, and its decoder's words for what is not JSON. */
import { SlipwayError } from '../../errors.ts'

const bad = (message: string): SlipwayError => new SlipwayError('bad-request', message)

/** Throws 'bad-request' for a body that is not declared as JSON. Without a body, no type is needed. */
export const checkContentType = (type: string | undefined, length: number): void => {
  if ((type === undefined || type === '') && length === 0) return
  const media = (type ?? '').split(';')[0]!.trim().toLowerCase()
  if (media === 'application/json') return
  if (media === '') throw bad('malformed Content-Type header (): mime: no media type')
  throw bad(`unsupported Content-Type header (${type}): must be 'application/json'`)
}

/** The value of `text`; {} for an empty one. Whatever else is not exactly one JSON value: 'bad-request'. */
export const parseBody = (text: string): unknown => {
  if (text === '') return {}
  if (text.trim() === '') throw bad('invalid JSON: got EOF while reading request body')
  try {
    return JSON.parse(text) ?? {}
  } catch (cause) {
    const scan = new Scan(text)
    try {
      scan.value()
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault
      throw new SlipwayError('bad-request', `invalid JSON: ${fault.message}`, { cause })
    }
    throw new SlipwayError('bad-request', 'unexpected content after JSON', { cause })
  }
}

class Fault extends Error {}

/** Go's quoting of one character. */
const quoted = (c: string): string =>
  c === "'" ? `'\\''` : c === '"' ? `'"'` : `'${JSON.stringify(c).slice(1, -1).replaceAll('\\u00', '\\x')}'`

/** Finds where and why a text stops being JSON. Only run on texts that JSON.parse has refused. */
class Scan {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(): void {
    const c = this.#next()
    if (c === '{') this.#object()
    else if (c === '[') this.#array()
    else if (c === '"') this.#string()
    else if (c === '-' || /\d/.test(c)) this.#number(c)
    else {
      const word = { t: 'true', f: 'false', n: 'null' }[c]
      if (word === undefined) throw this.#wrong(c, 'looking for beginning of value')
      for (const wanted of word.slice(1)) {
        const got = this.#take()
        if (got !== wanted) throw this.#wrong(got, `in literal ${word} (expecting ${quoted(wanted)})`)
      }
    }
  }

  #object(): void {
    for (let first = true; ; first = false) {
      const key = this.#next()
      if (first && key === '}') return
      if (key !== '"') throw this.#wrong(key, 'looking for beginning of object key string')
      this.#string()
      const colon = this.#next()
      if (colon !== ':') throw this.#wrong(colon, 'after object key')
      this.value()
      const after = this.#next()
      if (after === '}') return
      if (after !== ',') throw this.#wrong(after, 'after object key:value pair')
    }
  }

  #array(): void {
    if (this.#peek() === ']') {
      this.#next()
      return
    }
    for (;;) {
      this.value()
      const after = this.#next()
      if (after === ']') return
      if (after !== ',') throw this.#wrong(after, 'after array element')
    }
  }

  #string(): void {
    for (;;) {
      const c = this.#take()
      if (c === '"') return
      if (c < ' ') throw this.#wrong(c, 'in string literal')
      if (c !== '\\') continue
      const letter = this.#take()
      if (letter === 'u') {
        for (let i = 0; i < 4; i++) {
          const digit = this.#take()
          if (!/[\da-fA-F]/.test(digit)) throw this.#wrong(digit, 'in \\u hexadecimal character escape')
        }
      } else if (!'bfnrt\\/"'.includes(letter)) throw this.#wrong(letter, 'in string escape code')
    }
  }

  #number(first: string): void {
    const digits = (context: string): void => {
      const c = this.#take()
      if (!/\d/.test(c)) throw this.#wrong(c, context)
      while (/\d/.test(this.#text[this.#at] ?? '')) this.#at++
    }
    let lead = first
    if (first === '-') {
      lead = this.#take()
      if (!/\d/.test(lead)) throw this.#wrong(lead, 'in numeric literal')
    }
    if (lead !== '0') while (/\d/.test(this.#text[this.#at] ?? '')) this.#at++
    if (this.#text[this.#at] === '.') {
      this.#at++
      digits('after decimal point in numeric literal')
    }
    if (/[eE]/.test(this.#text[this.#at] ?? '')) {
      this.#at++
      if (/[+-]/.test(this.#text[this.#at] ?? '')) this.#at++
      digits('in exponent of numeric literal')
    }
  }

  /** The next character that is no white space. */
  #next(): string {
    this.#peek()
    return this.#take()
  }
  #peek(): string | undefined {
    while (' \t\r\n'.includes(this.#text[this.#at] ?? '?')) this.#at++
    return this.#text[this.#at]
  }
  #take(): string {
    const c = this.#text[this.#at++]
    if (c === undefined) throw new Fault('unexpected EOF')
    return c
  }
  #wrong(c: string, context: string): Fault {
    return new Fault(`invalid character ${quoted(c)} ${context}`)
  }
}
