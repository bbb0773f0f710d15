import type { Clock } from '../../lib/clock.ts'
import type { HttpAnswer } from './http.ts'

const maxTries = 5
const longestWaitMs = 60_000
/** What a server stumbles over may be gone a moment later; it is not worth as much patience as what it asks for itself. */
const triesAfterFailure = 3

interface Patience {
  clock: Clock
  signal?: AbortSignal | undefined
  /** Is a 500, 502 or 504 worth another try, too? */
  persists?: boolean | undefined
}

/** Waits and asks again on 408, 429 and 503, as long as the server says. */
export const patiently = async (
  ask: () => Promise<HttpAnswer>,
  { clock, signal, persists = false }: Patience,
): Promise<HttpAnswer> => {
  for (let tries = 1; ; tries++) {
    const answer = await ask()
    const busy = [408, 429, 503].includes(answer.status)
    const stumbled = persists && [500, 502, 504].includes(answer.status)
    if (!(busy && tries < maxTries) && !(stumbled && tries < triesAfterFailure)) return answer
    const wait = retryAfter(answer.headers['retry-after'], clock.now()) ?? 500 * 2 ** tries
    if (wait > longestWaitMs) return answer
    answer.body.resume()
    await clock.sleep(wait, signal)
  }
}

/** Seconds or an HTTP date, as milliseconds from now. */
export const retryAfter = (value: string | undefined, now: number): number | undefined => {
  if (value === undefined) return undefined
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
