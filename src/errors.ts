/** The closed list of what can go wrong. Doors map a code to their protocol; nothing ever matches on error text. */
export type ErrorCode =
  | 'not-found'
  | 'already-exists'
  | 'conflict' // the state does not allow it now (409)
  | 'invalid' // the request is well formed but says something impossible (422, or 400 on the docker door)
  | 'bad-request' // the request itself cannot be read (400)
  | 'precondition'
  | 'unauthorized'
  | 'forbidden'
  | 'expired' // a resourceVersion or continue token that is too old (410)
  | 'too-many-requests'
  | 'unsupported' // known, but not possible here; the hint says what to do instead (501, 405, 406, 415)
  | 'unavailable' // network, registry or daemon cannot be reached; trying again may help
  | 'no-space'
  | 'timeout'
  | 'cancelled'
  | 'internal'

/** Where in a user's file. Lines and columns count from 1. */
export interface SourcePosition {
  file: string
  line?: number | undefined
  column?: number | undefined
}

export interface ErrorDetails {
  /** What the user can do next; a sentence or two. */
  hint?: string | undefined
  at?: SourcePosition | undefined
  cause?: unknown
  /** Protocol-shaped extras, e.g. the causes of a Kubernetes Status. */
  details?: unknown
}

/** The only error class that crosses a room's border. The message uses the wording of the protocol concerned. */
export class SlipwayError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly at: SourcePosition | undefined
  readonly details: unknown

  constructor(code: ErrorCode, message: string, more: ErrorDetails = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.name = 'SlipwayError'
    this.code = code
    this.hint = more.hint
    this.at = more.at
    this.details = more.details
  }
}

/** True when `error` is a SlipwayError, of one of `codes` if any are given. */
export const isError = (error: unknown, ...codes: ErrorCode[]): error is SlipwayError =>
  error instanceof SlipwayError && (codes.length === 0 || codes.includes(error.code))

/** The message of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
