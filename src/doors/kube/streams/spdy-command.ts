/** exec and attach over SPDY/3.1: one stream each for error, stdin, stdout, stderr and resize. */
import type { Duplex } from 'node:stream'
import { SpdySession, type SpdyStream } from '../../../lib/spdy/index.ts'
import type { CommandStreams } from './command.ts'

/** Newest first. v4: the error stream carries a Status; v3: resize; v2: text only. */
export const spdyProtocols = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io']
/** How long the client may take to open its streams, in ms. */
const openTimeout = 30_000

/** The terminal sizes a client writes as a row of JSON objects. */
const readSizes = async (
  stream: SpdyStream,
  listener: (size: { width: number; height: number }) => void,
): Promise<void> => {
  let text = ''
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8')
    for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}')) {
      const { Width, Height } = JSON.parse(text.slice(0, end + 1)) as { Width: number; Height: number }
      text = text.slice(end + 1)
      listener({ width: Width, height: Height })
    }
  }
}

/** Waits for the streams the request announced. Rejects when they do not come in time. */
export const spdyCommand = (
  transport: Duplex,
  protocol: string,
  wants: { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean },
): Promise<CommandStreams> => {
  const version = Math.max(0, 4 - spdyProtocols.indexOf(protocol))
  const expected = ['error', 'stdin', 'stdout', 'stderr', 'resize'].filter((type) => {
    if (type === 'error') return true
    if (type === 'resize') return wants.tty && version >= 3
    if (type === 'stderr') return wants.stderr && !wants.tty
    return wants[type as 'stdin' | 'stdout']
  })
  const streams = new Map<string, SpdyStream>()
  const gone = new AbortController()
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      session.destroy()
      reject(new Error('timed out waiting for client to create streams'))
    }, openTimeout)
    const session = new SpdySession(transport, {
      server: true,
      onStream: (stream) => {
        const type = stream.headers.streamtype ?? ''
        stream.on('error', () => {}) // a reset; the connection's end is what counts
        if (streams.has(type) || !['error', 'stdin', 'stdout', 'stderr', 'resize'].includes(type)) {
          stream.destroy()
          return
        }
        streams.set(type, stream)
        if (!expected.every((t) => streams.has(t))) return
        clearTimeout(timer)
        resolve(commandOf(streams, session, version, gone.signal))
      },
    })
    void session.closed.then(() => {
      clearTimeout(timer)
      gone.abort(new Error('the client has gone'))
      reject(new Error('the client has gone'))
    })
  })
}

const commandOf = (
  streams: Map<string, SpdyStream>,
  session: SpdySession,
  version: number,
  signal: AbortSignal,
): CommandStreams => ({
  stdin: streams.get('stdin'),
  stdout: streams.get('stdout'),
  stderr: streams.get('stderr'),
  onResize: (listener) => {
    const stream = streams.get('resize')
    // What is no size is ignored: the terminal then keeps the size it has.
    if (stream) readSizes(stream, listener).catch(() => stream.resume())
  },
  finish: async ({ succeeded, status, text }) => {
    const flushed = [...streams.values()].map(
      (stream) =>
        new Promise<void>((resolve) => {
          if (stream.destroyed) return resolve()
          stream.once('close', resolve)
          const error = stream.headers.streamtype === 'error'
          if (error && (version >= 4 || !succeeded)) stream.write(version >= 4 ? JSON.stringify(status) : text)
          stream.end(() => resolve())
        }),
    )
    await Promise.all(flushed)
    session.close()
    await session.closed
  },
  signal,
})
