/** Restart backoff of containers: at once, then 10 s doubling to 5 min; a try that ran 10 min starts over (Kubernetes' figures). */
const first = 10_000
const longest = 300_000
const forgetAfter = 600_000

export interface EndedTry {
  startedAt: number
  finishedAt: number
}

/** The time (ms since the epoch) before which the next try must not start, given all ended tries, newest first. */
export const nextStart = (ended: readonly EndedTry[]): number => {
  const newest = ended[0]
  if (!newest) return 0
  let streak = 0
  for (const one of ended) {
    if (one.finishedAt - one.startedAt >= forgetAfter) break
    streak++
  }
  return newest.finishedAt + delay(streak)
}

/** Delay before restart number `streak` (1 = first) of a row of short tries. */
export const delay = (streak: number): number => (streak <= 1 ? 0 : Math.min(first * 2 ** (streak - 2), longest))
