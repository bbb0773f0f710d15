import { closeSync, openSync } from 'node:fs'
import { tryLock } from './libc.ts'

/** A lock that the kernel lets go of when this process dies, however it dies. undefined: another process has it. */
export const takeLock = (path: string): { close(): void } | undefined => {
  const fd = openSync(path, 'a', 0o600)
  if (tryLock(fd)) return { close: () => closeSync(fd) }
  closeSync(fd)
  return undefined
}
