import { type ErrorCode, messageOf, SlipwayError } from '../../../errors.ts'
import type { WireError } from './protocol.ts'

const codes: Record<string, ErrorCode> = { ENOSPC: 'no-space', EDQUOT: 'no-space' }

/** An error as it travels between threads, where classes are lost. Damaged compressed data is the archive's fault. */
export const wireError = (error: unknown): WireError => {
  if (error instanceof SlipwayError) return { code: error.code, message: error.message, hint: error.hint }
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (/^(Z_|ZSTD_)/.test(code)) return { code: 'invalid', message: `cannot decompress: ${messageOf(error)}` }
  return { code: codes[code] ?? 'internal', message: messageOf(error) }
}

export const fromWire = (error: WireError): SlipwayError =>
  new SlipwayError(error.code, error.message, { hint: error.hint })
