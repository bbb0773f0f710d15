/** Errors about what a user wrote: they say where, and show it. */
import { type ErrorCode, SlipwayError, type SourcePosition } from '../../errors.ts'

/** Texts of the files read so far, by name: what excerpts are cut from. */
export class Sources {
  #texts = new Map<string, string>()

  add(file: string, text: string): void {
    this.#texts.set(file, text)
  }

  /** The line with one before and one after, numbered, and a caret under the column. */
  excerpt({ file, line, column }: SourcePosition): string | undefined {
    const text = this.#texts.get(file)
    if (text === undefined || line === undefined) return undefined
    const lines = text.split(/\r?\n/)
    const shown: string[] = []
    for (let n = Math.max(1, line - 1); n <= Math.min(lines.length, line + 1); n++) {
      const content = (lines[n - 1] ?? '').slice(0, 160)
      shown.push(`${n === line ? '>' : ' '} ${String(n).padStart(4)} | ${content}`)
      if (n === line && column !== undefined) {
        const before = content.slice(0, column - 1).replace(/[^\t]/g, ' ')
        shown.push(`       | ${before}^`)
      }
    }
    return shown.join('\n')
  }
}

/** Makes errors that carry position and excerpt (`details.source`). */
export const problems =
  (sources: Sources) =>
  (at: SourcePosition | undefined, message: string, hint?: string, code: ErrorCode = 'invalid'): SlipwayError => {
    const source = at && sources.excerpt(at)
    return new SlipwayError(code, message, {
      ...(at && { at }),
      ...(hint !== undefined && { hint }),
      ...(source !== undefined && { details: { source } }),
    })
  }
export type Problem = ReturnType<typeof problems>
