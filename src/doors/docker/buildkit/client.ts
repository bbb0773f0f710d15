/** A gRPC client on a connection that was taken over: the other side serves what only it has (files, credentials, secrets …). */
import * as http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import { SlipwayError } from '../../../errors.ts'
import { frameOf, Unframer } from './frames.ts'
import { Empty } from './messages.ts'
import type { Message } from './protobuf.ts'
import { StatusError, statusFrom } from './status.ts'

/** The defaults (64 KiB) make a transfer wait for its acknowledgements. */
export const windows = { settings: { initialWindowSize: 4 * 1024 * 1024 }, connection: 16 * 1024 * 1024 }

/** Values of one name are sent as several headers. */
export type Metadata = Record<string, string | string[]>

/** What Node does not offer for a socket that HTTP/2 reads: to leave for a while what comes where it is. */
interface Handle {
  readStart?(): unknown
  readStop?(): unknown
}

export class GrpcClient {
  readonly #session: http2.ClientHttp2Session
  readonly #socket: Duplex & { _handle?: Handle | null }
  #resting = false

  constructor(socket: Duplex) {
    this.#socket = socket
    this.#session = http2.connect('http://localhost', {
      createConnection: () => socket as never,
      settings: windows.settings,
    })
    socket.on('end', () => this.#session.destroy())
    this.#session.on('error', () => {}) // 'close' follows, and every call ends
    this.#session.on('connect', () => this.#session.setLocalWindowSize(windows.connection))
  }

  /**
   * Reads nothing for `ms`. A client that sends very many small messages wakes both sides up for each of them, which takes
   * longer than all that is done with them; so they are left to gather.
   */
  rest(ms: number): void {
    const handle = this.#socket._handle
    if (this.#resting || !handle?.readStop || !handle.readStart) return
    this.#resting = true
    handle.readStop()
    setTimeout(() => {
      this.#resting = false
      if (this.#socket._handle === handle && !this.#socket.destroyed) handle.readStart?.()
    }, ms)
  }

  get closed(): boolean {
    return this.#session.closed || this.#session.destroyed
  }
  onClose(listener: () => void): void {
    if (this.closed) listener()
    else this.#session.once('close', listener)
  }
  close(): void {
    this.#session.destroy()
  }

  /** Anything but status 0 is a StatusError. */
  async unary<A, B>(
    path: string,
    [request, reply]: readonly [Message<A>, Message<B>],
    value: Partial<A>,
    signal: AbortSignal,
    metadata: Metadata = {},
  ): Promise<B> {
    const stream = this.open(path, metadata, signal)
    await stream.send(request.encode(value))
    stream.end()
    let found: B | undefined
    for await (const message of stream.messages()) found ??= reply.decode(message)
    return found ?? reply.decode(Empty.encode({}))
  }

  open(path: string, metadata: Metadata, signal: AbortSignal): GrpcStream {
    signal.throwIfAborted()
    if (this.closed) throw new SlipwayError('unavailable', 'no active session: the client has gone')
    return new GrpcStream(
      this.#session.request(
        {
          ':method': 'POST',
          ':path': path,
          ':scheme': 'http',
          ':authority': 'localhost',
          'content-type': 'application/grpc',
          te: 'trailers',
          ...metadata,
        },
        { endStream: false },
      ),
      signal,
    )
  }
}

export class GrpcStream {
  readonly #stream: http2.ClientHttp2Stream
  readonly #signal: AbortSignal
  #trailers: Record<string, unknown> = {}
  #error: Error | undefined

  constructor(stream: http2.ClientHttp2Stream, signal: AbortSignal) {
    this.#stream = stream
    this.#signal = signal
    const abort = (): void => stream.close(http2.constants.NGHTTP2_CANCEL)
    signal.addEventListener('abort', abort, { once: true })
    stream.once('close', () => signal.removeEventListener('abort', abort))
    stream.on('error', (error) => {
      this.#error = error
    })
    // An answer without messages has its status in the headers.
    stream.once('response', (headers) => Object.assign(this.#trailers, headers))
    stream.once('trailers', (trailers) => Object.assign(this.#trailers, trailers))
  }

  /** Resolves when there is room for more. */
  async send(payload: Uint8Array): Promise<void> {
    this.#signal.throwIfAborted()
    const stream = this.#stream
    if (stream.destroyed || stream.writableEnded) return // messages() tells why
    if (stream.write(frameOf(payload))) return
    await new Promise<void>((go) => {
      const done = (): void => {
        stream.off('drain', done)
        stream.off('close', done)
        go()
      }
      stream.once('drain', done)
      stream.once('close', done)
    })
  }

  end(): void {
    this.#stream.end()
  }

  cancel(): void {
    this.#stream.close(http2.constants.NGHTTP2_CANCEL)
  }

  /** The messages of the call; throws its status where that is not OK. */
  async *messages(): AsyncGenerator<Buffer> {
    const unframer = new Unframer()
    try {
      for await (const chunk of this.#stream) yield* unframer.push(chunk as Buffer)
    } catch (error) {
      this.#signal.throwIfAborted()
      this.#error ??= error as Error
    }
    this.#checkEnd()
  }

  /**
   * Gives the call's bytes to `take` as they come, until it returns true. Without an iterator's steps for each of very many
   * small frames. Where the call ends before: its status is thrown.
   */
  async receive(take: (chunk: Buffer) => boolean): Promise<void> {
    const stream = this.#stream
    const enough = await new Promise<boolean>((resolve, reject) => {
      const onData = (chunk: Buffer): void => {
        try {
          if (!take(chunk)) return
          resolve(true)
        } catch (error) {
          reject(error as Error)
        }
        stream.off('data', onData)
        stream.resume()
      }
      stream.on('data', onData)
      for (const end of ['end', 'close']) stream.once(end, () => resolve(false))
    })
    if (!enough) this.#checkEnd()
  }

  #checkEnd(): void {
    this.#signal.throwIfAborted()
    const status = statusFrom(this.#trailers)
    if (status && status.code !== 0) throw new StatusError(status)
    if (!status) {
      const reason = this.#error ? `: ${this.#error.message}` : ''
      throw new SlipwayError('unavailable', `the client's session was closed${reason}`, { cause: this.#error })
    }
  }
}
