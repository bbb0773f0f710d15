/** A container's streams on a taken-over connection: raw with a terminal, else frames of 8 bytes and a payload. */
import type { Duplex, Writable } from 'node:stream'
import type { Io, LogLine } from '../../engine/types.ts'
import { untilDetached } from './detach.ts'

const rawStream = 'application/vnd.docker.raw-stream'
const multiplexedStream = 'application/vnd.docker.multiplexed-stream'

/** Since 1.42 the answer tells which of the two it is. */
export const streamType = (tty: boolean, version: readonly [number, number]): string =>
  tty || version[1] < 42 ? rawStream : multiplexedStream

export const frame = (stream: 'stdin' | 'stdout' | 'stderr', data: Uint8Array): Buffer => {
  const head = Buffer.alloc(8)
  head[0] = stream === 'stderr' ? 2 : stream === 'stdout' ? 1 : 0
  head.writeUInt32BE(data.length, 4)
  return Buffer.concat([head, data])
}

const written = (out: Writable, data: Uint8Array): Promise<void> | undefined => {
  if (out.destroyed || out.write(data)) return undefined
  return new Promise((go) => {
    const done = (): void => {
      out.off('drain', done)
      out.off('close', done)
      go()
    }
    out.once('drain', done)
    out.once('close', done)
  })
}

/** How output is written to the connection, and what of it. */
export interface Joined {
  stdout: boolean
  stderr: boolean
  /** In frames of 8 bytes and a payload; raw otherwise. */
  framed: boolean
  /** Keys that leave a terminal. */
  detachKeys: Buffer
}

/** Joins both directions until the program's output ends, the client goes, or types the keys to leave. */
export const joinStreams = async (socket: Duplex, io: Io, want: Joined): Promise<void> => {
  const { stdin } = io
  if (stdin) {
    stdin.on('error', () => {}) // the program may end first
    const leave = (): void => {
      typed.unpipe(stdin)
      io.close('detached')
      socket.end()
    }
    const typed = io.tty ? socket.pipe(untilDetached(want.detachKeys, leave)) : socket
    typed.pipe(stdin)
    // What is typed then goes nowhere, but the client's end has to be seen.
    stdin.once('close', () => {
      socket.unpipe()
      socket.resume()
    })
  }
  // It was paused where the request's body came by itself.
  socket.resume()
  socket.once('close', () => io.close())
  for await (const { stream, data } of io.output) {
    if (socket.destroyed) break
    if (stream === 'stdout' ? !want.stdout : !want.stderr) continue
    await written(socket, want.framed ? frame(stream, data) : data)
  }
  socket.end()
}

export const sendLogs = async (
  out: Writable,
  lines: AsyncIterable<LogLine>,
  options: { tty: boolean; timestamps: boolean; details: string | undefined },
): Promise<void> => {
  let fresh = true
  for await (const line of lines) {
    if (out.destroyed) break
    const head = `${options.timestamps ? `${line.time} ` : ''}${options.details === undefined ? '' : `${options.details} `}`
    const data = fresh && head !== '' ? Buffer.concat([Buffer.from(head), line.data]) : line.data
    fresh = !line.partial
    await written(out, options.tty ? data : frame(line.stream, data))
  }
  out.end()
}
