/** How an error reaches the user, and the exit code that goes with it (docker compose's). */
import { type ErrorCode, SlipwayError } from '../../../errors.ts'

/** An end with a code of its own: `text` is all that is said, '' for nothing. */
export class Exit extends Error {
  readonly code: number
  constructor(code: number, text = '') {
    super(text)
    this.code = code
  }
}

const codes: Partial<Record<ErrorCode, number>> = { cancelled: 130, 'bad-request': 1, internal: 1 }

export const exitCodeOf = (error: unknown): number => {
  if (error instanceof Exit) return error.code
  return error instanceof SlipwayError ? (codes[error.code] ?? 1) : 1
}

/** The message, where it is, the excerpt if there is one, and what to do. Unexpected errors show their stack. */
export const failureText = (error: unknown): string => {
  if (error instanceof Exit) return error.message
  if (!(error instanceof SlipwayError))
    return `slipway: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
  const where = error.at
    ? `${error.at.file}${error.at.line ? `:${error.at.line}${error.at.column ? `:${error.at.column}` : ''}` : ''}: `
    : ''
  const lines = [`${where && !error.message.startsWith(where) ? where : ''}${error.message}`]
  const source = (error.details as { source?: unknown } | undefined)?.source
  if (typeof source === 'string' && source !== '') lines.push(source)
  if (error.hint) lines.push(error.hint)
  return lines.join('\n')
}
