import { closeSync, existsSync, fstatSync, openSync } from 'node:fs'
import { preallocate } from './libc.ts'

/** Lets a file grow by `bytes` without new room on the disk, where the file system knows how. No file: nothing to do. */
export const reserveRoom = (path: string, bytes: number): void => {
  if (!existsSync(path)) return
  const fd = openSync(path, 'r+')
  try {
    preallocate(fd, fstatSync(fd).size, bytes)
  } finally {
    closeSync(fd)
  }
}
