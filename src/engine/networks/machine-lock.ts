import { createServer } from 'node:net'
import type { Clock } from '../../lib/clock.ts'

const retryMs = 10
const patienceMs = 5000

/**
 * One at a time among all instances on the machine: an abstract unix socket is the lock, so the kernel lets go of it however
 * its holder ends. After a while it goes on without: a clash of subnets is then noticed by the next start.
 */
export const withMachineLock = async <T>(clock: Clock, task: () => Promise<T>): Promise<T> => {
  const lock = createServer()
  lock.unref()
  const locked = (): Promise<boolean> =>
    new Promise((resolve) => {
      lock.removeAllListeners()
      lock.once('error', () => resolve(false))
      lock.once('listening', () => resolve(true))
      lock.listen('\0slipway-subnets')
    })
  const until = clock.now() + patienceMs
  let held = await locked()
  while (!held && clock.now() < until) {
    await new Promise((go) => setTimeout(go, retryMs))
    held = await locked()
  }
  try {
    return await task()
  } finally {
    if (held) lock.close()
  }
}
