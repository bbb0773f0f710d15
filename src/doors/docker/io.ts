/** A container's streams on a taken-over connection: raw with a terminal, else frames of 8 bytes and a payload. */
import type { Duplex, Writable } from 'node:stream'
import type { Io, LogLine } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import { untilDetached } from './detach.ts'
import type { Exchange } from './server.ts'

const rawStream = 'application/vnd.docker.raw-stream'
const multiplexedStream = 'application/vnd.docker.multiplexed-stream'

/** Since 1.42 the answer tells which of the two it is. */
export const streamType = (tty: boolean, version: readonly [number, number]): string =>
  tty || version[1] < 42 ? rawStream : multiplexedStream

type StreamName = 'stdin' | 'stdout' | 'stderr'

/** Returns where it ends. */
const writeFrameHead = (into: Buffer, at: number, stream: StreamName, length: number): number => {
  into.writeUInt32BE((stream === 'stderr' ? 2 : stream === 'stdout' ? 1 : 0) << 24, at)
  return into.writeUInt32BE(length, at + 4)
}

export const frame = (stream: StreamName, data: Uint8Array): Buffer => {
  const framed = Buffer.allocUnsafe(8 + data.length)
  framed.set(data, writeFrameHead(framed, 0, stream, data.length))
  return framed
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
  logs: AsyncIterable<LogLine[]>,
  options: { tty: boolean; timestamps: boolean; details: string | undefined },
): Promise<void> => {
  let fresh = true
  for await (const lines of logs) {
    if (out.destroyed) break
    // All of them in one piece: there may be millions.
    const heads: string[] = []
    let size = 0
    for (const line of lines) {
      const time = fresh && options.timestamps ? `${line.time} ` : ''
      const head = fresh && options.details !== undefined ? `${time}${options.details} ` : time
      fresh = !line.partial
      heads.push(head)
      size += (options.tty ? 0 : 8) + (head === '' ? 0 : Buffer.byteLength(head)) + line.data.length
    }
    const piece = Buffer.allocUnsafe(size)
    let at = 0
    for (const [i, { stream, data }] of lines.entries()) {
      const head = heads[i]!
      const headSize = head === '' ? 0 : Buffer.byteLength(head)
      if (!options.tty) at = writeFrameHead(piece, at, stream, headSize + data.length)
      if (headSize > 0) at += piece.write(head, at)
      at += data.copy(piece, at)
    }
    await written(out, piece)
  }
  out.end()
}

/** Of a resize request. */
export const terminalSize = (x: Exchange): { width: number; height: number } => {
  const [width, height] = [Number(x.query.get('w')), Number(x.query.get('h'))]
  if (!Number.isInteger(width) || !Number.isInteger(height))
    throw new SlipwayError('bad-request', 'invalid terminal size')
  return { width, height }
}
