import type { ErrorCode } from '../../errors.ts'
import { messageOf, SlipwayError } from '../../errors.ts'
import type { Range, Source } from '../dockerfile/source.ts'
import { faultAt, SyntaxFault } from '../dockerfile/source.ts'
import { StepFailure } from './exec-run.ts'
import { cancelled } from './flights.ts'

/** Gives an error of a step its place in the Dockerfile. */
export const locate = (source: Source, range: Range, stage: string, error: unknown): unknown => {
  if (error instanceof StepFailure) {
    const { exitCode, output, message, hint } = error
    return faultAt(source, range, {
      message,
      hint,
      near: undefined,
      details: { stage, exitCode, output },
      cause: error,
    })
  }
  if (error instanceof SyntaxFault) {
    return faultAt(source, range, { message: error.message, hint: error.hint, near: error.near, details: { stage } })
  }
  if (error instanceof SlipwayError) {
    if (error.at || error.code === 'cancelled') return error
    const { code, message, hint, details } = error
    const more = typeof details === 'object' && details !== null ? details : {}
    return faultAt(source, range, { code, message, hint, near: undefined, details: { stage, ...more }, cause: error })
  }
  if (error instanceof Error && error.name === 'AbortError') return cancelled()
  return faultAt(source, range, {
    code: codeOf(error),
    message: messageOf(error),
    hint: undefined,
    near: undefined,
    details: { stage },
    cause: error,
  })
}

/** For errors of the file system. */
export const codeOf = (error: unknown): ErrorCode => {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (code === 'ENAMETOOLONG') return 'invalid' // a context's
  return code === 'ENOSPC' || code === 'EDQUOT' ? 'no-space' : 'internal'
}
