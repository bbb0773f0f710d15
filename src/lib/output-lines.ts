/** Text that a program writes, in lines as a terminal would show them in the end. */
import { StringDecoder } from 'node:string_decoder'

/** A line that goes on and on is told in pieces (characters): nothing is kept that grows without end. */
const longest = 32 * 1024

export class OutputLines {
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''

  /** What has come since the last end of a line. */
  get rest(): string {
    return shown(this.#rest)
  }

  /** The lines that end in `data`, which may begin and end in the middle of one, and of a character. */
  push(data: Buffer): string[] {
    const pieces = (this.#rest + this.#decoder.write(data)).split('\n')
    let rest = pieces.pop()!
    const lines = pieces.map(shown)
    // A progress bar that redraws its line.
    const drawn = rest.lastIndexOf('\r', rest.length - 2)
    if (drawn >= 0) rest = rest.slice(drawn + 1)
    while (rest.length > longest) {
      const end = /[\ud800-\udbff]/.test(rest[longest - 1]!) ? longest - 1 : longest
      lines.push(rest.slice(0, end))
      rest = rest.slice(end)
    }
    this.#rest = rest
    return lines
  }

  /** The last line, where it had no end. */
  end(): string[] {
    const rest = shown(this.#rest + this.#decoder.end())
    this.#rest = ''
    return rest === '' ? [] : [rest]
  }
}

const shown = (line: string): string => line.replace(/\r$/, '').split('\r').at(-1)!
