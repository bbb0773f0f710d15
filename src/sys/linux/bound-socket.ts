import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import * as libc from './libc.ts'

/** sun_path holds 107 bytes and a zero; longer paths go through the descriptor of their directory. */
const longestPath = 107

const address = (path: string): Buffer => {
  const bytes = Buffer.alloc(2 + longestPath + 1)
  bytes.writeUInt16LE(1, 0) // AF_UNIX
  bytes.write(path, 2)
  return bytes
}

/** Calls `body` with the address of a unix socket, however long its path is. */
export const withAddress = (path: string, body: (address: Buffer) => void): void => {
  if (Buffer.byteLength(path) <= longestPath) {
    body(address(path))
    return
  }
  const dir = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    body(address(`/proc/self/fd/${dir}/${basename(path)}`))
  } finally {
    closeSync(dir)
  }
}

/**
 * A stream socket bound at `path`, which only root may connect to, for a server to listen on. What is at the path is
 * replaced. Unlike one that Node binds, it stays there when the server is closed.
 */
export const bindSocket = (path: string): number => {
  const fd = libc.socket(1, 1 | 0x80000 | 0x800) // AF_UNIX; SOCK_STREAM, close-on-exec, non-blocking
  rmSync(path, { force: true })
  const old = process.umask(0o177)
  try {
    withAddress(path, (at) => libc.bind(fd, at, path))
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  } finally {
    process.umask(old)
  }
}
