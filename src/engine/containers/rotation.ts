import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../errors.ts'
import { shiftFiles, sizeOf } from '../logs/index.ts'
import type { Context } from './context.ts'
import type { ContainerRecord } from './records.ts'

/** Logs never fill the disk: 20 MB a file and five files, unless the container says otherwise. */
const defaultMaxSize = 20_000_000
const defaultMaxFiles = 5
const checkEveryMs = 2000

/** One message to a monitor's control pipe: "1 HEIGHT WIDTH" resizes the terminal, "2 0 0" reopens the log. */
export const controlMonitor = (bundle: string, message: string): void => {
  // Without a reader this fails at once instead of waiting for one.
  const fd = openSync(join(bundle, 'ctl'), constants.O_WRONLY | constants.O_NONBLOCK)
  try {
    writeSync(fd, `${message}\n`)
  } finally {
    closeSync(fd)
  }
}

const rotateIfLarge = (record: ContainerRecord): boolean => {
  const { log } = record.spec
  if (log.driver === 'none' || sizeOf(record.paths.log) < (log.maxSize || defaultMaxSize)) return false
  shiftFiles(record.paths.log, log.maxFiles || defaultMaxFiles)
  controlMonitor(record.paths.bundle, '2 0 0')
  return true
}

const watched = new WeakMap<Context, { records: Map<string, ContainerRecord>; timer: NodeJS.Timeout }>()

/** Watches the size of one log until `signal`. All logs of an engine share one timer. */
export const rotateWhileRunning = (ctx: Context, record: ContainerRecord, signal: AbortSignal): void => {
  if (record.spec.log.driver === 'none') return
  let mine = watched.get(ctx)
  if (!mine) {
    const records = new Map<string, ContainerRecord>()
    const timer = setInterval(() => {
      for (const each of records.values()) {
        try {
          rotateIfLarge(each)
        } catch (error) {
          ctx.log.warn('log could not be rotated', { id: each.id, error: messageOf(error) })
        }
      }
    }, checkEveryMs)
    timer.unref()
    watched.set(ctx, (mine = { records, timer }))
    ctx.closing.signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  }
  const { records } = mine
  records.set(record.id, record)
  signal.addEventListener('abort', () => records.delete(record.id), { once: true })
}
