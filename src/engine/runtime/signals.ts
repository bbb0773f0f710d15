import { constants } from 'node:os'
import { SlipwayError } from '../../errors.ts'

/** First and last real-time signal, as libc counts them (two are its own). */
const realTime = { min: 34, max: 64 }

/** "SIGTERM", "term", "15", "SIGRTMIN+3" as a number; unknown: 'bad-request' in docker's words. */
export const signalNumber = (signal: string): number => {
  const name = signal.toUpperCase().replace(/^SIG/, '')
  const known = /^\d+$/.test(signal) ? Number(signal) : constants.signals[`SIG${name}` as NodeJS.Signals]
  if (known !== undefined && known > 0 && known <= realTime.max) return known
  const [, end, offset = '0'] = /^RT(MIN|MAX)([+-]\d+)?$/.exec(name) ?? []
  const number = end === 'MIN' ? realTime.min + Number(offset) : end === 'MAX' ? realTime.max + Number(offset) : 0
  if (number >= realTime.min && number <= realTime.max) return number
  throw new SlipwayError('bad-request', `invalid signal: ${signal}`)
}
