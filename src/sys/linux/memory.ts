import koffi from 'koffi'

const libc = koffi.load('libc.so.6')
const trim = libc.func('int malloc_trim(size_t pad)')

const intervalMs = 5000
/** Share of one processor, within an interval, up to which a process counts as quiet. */
const quiet = 0.05
/** A process that is never quiet gives back after this many intervals. */
const patience = 24
/** What a quiet process may gather before it gives back, in bytes. */
const growth = 8 << 20

/**
 * Gives memory that is free back to the system once the process has been quiet for a few seconds: libc keeps what large
 * buffers have left (after a build, some hundred megabytes) for good otherwise, and V8 what objects have left. Takes some ten
 * milliseconds then, and nothing in between. Returns how to stop.
 */
export const returnFreeMemory = (): (() => void) => {
  let before = process.cpuUsage()
  /** Busy intervals since it last gave back; starting was one. */
  let busy = 1
  let resident = 0
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(before)
    before = process.cpuUsage()
    const isQuiet = (user + system) / 1000 < quiet * intervalMs
    if (!isQuiet) busy++
    const due = isQuiet ? busy > 0 || process.memoryUsage.rss() > resident + growth : busy >= patience
    if (!due) return
    // V8 would keep what a build has used until it needs more: it collects when it allocates, and a quiet process does not.
    if (isQuiet) globalThis.gc?.()
    trim(0)
    busy = 0
    resident = process.memoryUsage.rss()
  }, intervalMs)
  timer.unref()
  return () => clearInterval(timer)
}
