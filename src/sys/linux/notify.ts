/** Tells systemd how the daemon is (sd_notify(3)): that it serves, that it ends, and time and again that it is alive. */
import { closeSync, writeSync } from 'node:fs'
import { messageOf } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import { withAddress } from './bound-socket.ts'
import * as libc from './libc.ts'

export interface Notifier {
  /** From now on it counts as started, and a word is due every so often if the service asks for one (WatchdogSec=). */
  ready(): void
  stopping(): void
}

/** The kernel's own: "@name" stands for a name that is no path. */
const connectTo = (fd: number, path: string): void => {
  if (path.startsWith('@'))
    libc.connect(fd, Buffer.concat([Buffer.from([1, 0, 0]), Buffer.from(path.slice(1))]), path) // AF_UNIX, then a zero
  else withAddress(path, (at) => libc.connect(fd, at, path))
}

/**
 * Reads what systemd has put into `env` and takes it out: programs started later are not to speak for the daemon (a
 * container's runtime would). Nobody there: does nothing. A word that cannot be said is no reason to end.
 */
export const takeNotifier = (env: NodeJS.ProcessEnv, log: Log): Notifier => {
  const { NOTIFY_SOCKET: path, WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = env
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name]
  // A daemon that a command has started is nobody's service, whatever that command was started by.
  if (!path || env.SLIPWAY_SUPERVISE !== undefined) return { ready: () => {}, stopping: () => {} }
  const fd = libc.socket(1, 2 | 0x80000 | 0x800) // AF_UNIX; SOCK_DGRAM, close-on-exec, non-blocking
  try {
    connectTo(fd, path)
  } catch (error) {
    closeSync(fd)
    log.warn('systemd cannot be told anything', { error: messageOf(error) })
    return { ready: () => {}, stopping: () => {} }
  }
  let failed = false
  const say = (words: string): void => {
    try {
      writeSync(fd, words)
      failed = false
    } catch (error) {
      if (!failed) log.warn('systemd was not told', { words, error: messageOf(error) })
      failed = true
    }
  }
  const mine = pid === undefined || Number(pid) === process.pid
  const limitMs = mine && usec !== undefined ? Number(usec) / 1000 : 0
  return {
    ready() {
      say('READY=1')
      // Half of the time, as the manual advises. A timer is served by the loop that everything else waits for.
      if (limitMs > 0) setInterval(() => say('WATCHDOG=1'), limitMs / 2).unref()
    },
    stopping() {
      say('STOPPING=1')
    },
  }
}
