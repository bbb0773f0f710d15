/** Lines of many sources on one stream, each with the name of its source before it, coloured by service. */
import type { Writable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

export interface PrintWish {
  /** Lines come with a timestamp whenever `until` is set; they are shown with it only if this is. */
  timestamps: boolean
  /** Milliseconds since the epoch; later lines are left out. */
  until: number | undefined
  prefix: boolean
  color: boolean
  /** Width of the prefix column at least; names known beforehand keep the lines straight. */
  width?: number
}

const colors = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94]

export class Printer {
  #out: Writable
  #wish: PrintWish
  #width: number
  #colors = new Map<string, number>()

  constructor(out: Writable, wish: PrintWish) {
    this.#out = out
    this.#wish = wish
    this.#width = wish.width ?? 0
  }

  note(name: string, text: string): void {
    this.#out.write(`${this.#prefix(name)}${text}\n`)
  }

  /** Whole lines only, so that the lines of several sources never mix. */
  source(name: string): { write(chunk: Buffer): void; end(): void } {
    let rest = ''
    const decoder = new StringDecoder('utf8')
    this.#width = Math.max(this.#width, name.length)
    const line = (text: string): void => {
      const kept = this.#until(text)
      if (kept !== undefined) this.#out.write(`${this.#prefix(name)}${kept}\n`)
    }
    return {
      write: (chunk) => {
        const lines = (rest + decoder.write(chunk)).split('\n')
        rest = lines.pop()!
        for (const l of lines) line(l)
      },
      end: () => {
        rest += decoder.end()
        if (rest !== '') line(rest)
        rest = ''
      },
    }
  }

  #until(text: string): string | undefined {
    const { until, timestamps } = this.#wish
    if (until === undefined) return text
    const space = text.indexOf(' ')
    if (Date.parse(text.slice(0, space)) > until) return undefined
    return timestamps ? text : text.slice(space + 1)
  }

  #prefix(name: string): string {
    if (!this.#wish.prefix) return ''
    const text = `${name.padEnd(this.#width)}  | `
    if (!this.#wish.color) return text
    const service = name.replace(/-\d+$/, '')
    if (!this.#colors.has(service)) this.#colors.set(service, colors[this.#colors.size % colors.length]!)
    return `\u001b[${this.#colors.get(service)}m${text}\u001b[0m`
  }
}
