/** When a file's times can be relied on. */

/** Clocks of file systems stand still for some milliseconds (a tick of the kernel's), and some only count whole seconds, or every other one. */
const [ticking, counting] = [50, 2_000]

/** The longest that is worth waiting for, in ms. */
export const soonSettled = ticking

/**
 * From this time on (ms since 1970) a change of a file shows in its time of change, which is `seconds` and `nanoseconds` at
 * `now`: before, it could change again within the same tick. A time of the future is that of a clock that was set back: what
 * changes now gets another one.
 */
export const settlesAt = (seconds: number, nanoseconds: number, now: number): number => {
  const changed = seconds * 1000 + nanoseconds / 1e6
  return changed > now + counting ? 0 : changed + (nanoseconds === 0 ? counting : ticking)
}
