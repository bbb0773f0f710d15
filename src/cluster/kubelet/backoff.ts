/**
 * Restart backoff of containers: the first restart at once, then 10 s doubling to 5 min; a try that ran 10 min starts over
 * (Kubernetes' figures). How many short tries came in a row is kept on the container itself, so that it outlives the daemon.
 */
const first = 10_000
const longest = 300_000
const forgetAfter = 600_000

export interface EndedTry {
  startedAt: number
  finishedAt: number
  /** Short tries in a row before this one. */
  streak: number
}

/** Short tries in a row, this one included. */
export const streakAfter = (ended: EndedTry): number =>
  ended.finishedAt - ended.startedAt >= forgetAfter ? 0 : ended.streak + 1

/** The time (ms since the epoch) before which the next try must not start. */
export const nextStart = (ended: EndedTry): number => ended.finishedAt + delay(streakAfter(ended))

/** Delay before the restart that follows `streak` short tries in a row. */
export const delay = (streak: number): number => (streak <= 1 ? 0 : Math.min(first * 2 ** (streak - 2), longest))

/** As Go prints a duration of whole seconds: "10s", "1m20s", "5m0s". */
export const goDuration = (ms: number): string => {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`
}
