import { AsyncQueue } from '../../lib/async-queue.ts'
import type { Clock } from '../../lib/clock.ts'
import type { EngineEvent, Events } from '../types.ts'

/** Past events that are kept (docker keeps 256), and how far a subscriber may fall behind. */
const kept = 1024
const behind = 4096

/** Events are remembered in memory; what a daemon saw is history for `since` only while it lives, as with docker. */
export const createEvents = (clock: Clock): Events => {
  const history: EngineEvent[] = []
  const listeners = new Set<(event: EngineEvent) => void>()
  let last = 0n

  const on: Events['on'] = (listener) => {
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }
  return {
    on,
    emit(event) {
      const now = BigInt(clock.now()) * 1_000_000n
      // Strictly increasing: clients resume at the time of the last one they saw.
      last = now > last ? now : last + 1n
      const stamped: EngineEvent = { ...event, timeNs: last }
      history.push(stamped)
      if (history.length > kept * 2) history.splice(0, history.length - kept)
      for (const listener of [...listeners]) listener(stamped)
    },
    subscribe({ since, until, signal }) {
      // Registered before the first read, so that nothing between now and then is missed.
      const queue = new AsyncQueue<EngineEvent>(behind, { onClose: () => over() })
      const untilNs = until === undefined ? undefined : BigInt(until) * 1_000_000n
      const off = on((event) => {
        if (untilNs === undefined || event.timeNs <= untilNs) queue.push(event)
      })
      const close = (): void => queue.close()
      const timer =
        until === undefined ? undefined : setTimeout(close, Math.max(0, Math.min(until - clock.now(), 2 ** 31 - 1)))
      const over = (): void => {
        off()
        clearTimeout(timer)
        signal?.removeEventListener('abort', close)
      }
      signal?.addEventListener('abort', close, { once: true })
      if (since !== undefined || (until !== undefined && until <= clock.now())) {
        const sinceNs = BigInt(Math.floor(since ?? 0)) * 1_000_000n
        for (const event of history)
          if (event.timeNs >= sinceNs && (untilNs === undefined || event.timeNs <= untilNs)) queue.push(event, true)
      }
      if (signal?.aborted) close()
      return queue
    },
  }
}
