/**
 * A SPDY/3.1 session over any duplex, as Kubernetes uses it for exec, attach and port-forward: streams with headers, either
 * side opens them. There is no flow control (Go's spdystream neither sends nor honours window updates): a stream that is
 * not read holds back the connection.
 */
import { Duplex } from 'node:stream'
import {
  controlFrame,
  dataFrameHead,
  type Frame,
  FrameParser,
  flagFin,
  frameType,
  HeaderReader,
  type Headers,
  HeaderWriter,
  uint32s,
} from './frames.ts'

/** Data is cut into frames of at most this. */
const chunkSize = 32 * 1024

/** How often a peer whose data is held back is asked whether it is still there, in ms. */
const probeInterval = 5000

/** The peer gave a stream up. */
export class SpdyReset extends Error {
  constructor() {
    super('stream reset by peer')
  }
}

/** One stream. 'end' is the peer's FIN, end() sends ours, destroy() resets. */
export class SpdyStream extends Duplex {
  readonly id: number
  readonly headers: Headers
  readonly #session: SpdySession
  #sentFin = false
  #reset = false

  constructor(session: SpdySession, id: number, headers: Headers) {
    super({ allowHalfOpen: true, emitClose: true })
    this.#session = session
    this.id = id
    this.headers = headers
  }

  /** Called by the session. */
  receive(data: Buffer | null): void {
    if (this.destroyed || this.readableEnded) return
    if (data === null) {
      this.push(null)
      // Nobody may be reading a stream that only writes; its end must still be noticed.
      if (!this.readableFlowing && this.readableLength === 0) this.read(0)
    } else if (!this.push(data)) this.#session.hold(this)
  }
  /** Called by the session: the peer has reset the stream, or the connection is gone. */
  broken(error?: Error): void {
    this.#reset = true
    this.destroy(error)
  }

  override _read(): void {
    this.#session.release(this)
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#session.sendData(this.id, chunk, false, done)
  }
  override _final(done: (error?: Error | null) => void): void {
    this.#sentFin = true
    this.#session.sendData(this.id, Buffer.alloc(0), true, done)
  }
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#session.forget(this, !this.#reset && !(this.#sentFin && this.readableEnded))
    done(error)
  }
}

interface SpdyOptions {
  /** Servers open even, clients odd streams. */
  server: boolean
  /** A stream the peer has opened; it is accepted unless destroyed at once. */
  onStream?: ((stream: SpdyStream) => void) | undefined
}

export class SpdySession {
  readonly #transport: Duplex
  readonly #options: SpdyOptions
  readonly #parser = new FrameParser()
  readonly #headerWriter = new HeaderWriter()
  readonly #headerReader = new HeaderReader()
  readonly #streams = new Map<number, SpdyStream>()
  readonly #held = new Set<SpdyStream>()
  #next: number
  #closed = false
  /** Resolves when the connection is gone; never rejects. */
  readonly closed: Promise<void>

  constructor(transport: Duplex, options: SpdyOptions) {
    this.#transport = transport
    this.#options = options
    this.#next = options.server ? 2 : 1
    this.closed = this.#run()
  }

  /** Opens a stream. */
  open(headers: Headers): SpdyStream {
    const stream = new SpdyStream(this, this.#next, headers)
    this.#next += 2
    this.#streams.set(stream.id, stream)
    this.#send(
      controlFrame(
        frameType.synStream,
        0,
        Buffer.concat([uint32s(stream.id, 0), Buffer.from([0, 0]), this.#headerWriter.encode(headers)]),
      ),
    )
    return stream
  }

  /** Says goodbye and ends the connection once all is sent. */
  close(): void {
    if (this.#closed) return
    this.#send(controlFrame(frameType.goAway, 0, uint32s(this.#next, 0)))
    this.#transport.end()
  }
  destroy(error?: Error): void {
    this.#transport.destroy(error)
  }

  async #run(): Promise<void> {
    this.#transport.on('error', () => {}) // shows as the end of the iteration below
    this.#transport.once('close', () => {
      this.#held.clear()
      this.#resume()
    })
    let failure: Error | undefined
    try {
      for await (const chunk of this.#transport as AsyncIterable<Buffer>) {
        for (const frame of this.#parser.push(chunk)) await this.#frame(frame)
        if (this.#held.size > 0) await this.#unheld()
      }
    } catch (error) {
      failure = error as Error
    }
    this.#closed = true
    this.#headerReader.close()
    for (const stream of [...this.#streams.values()]) stream.broken(failure && new Error('connection lost'))
    this.#transport.destroy()
  }
  #resume: () => void = () => {}

  /** Waits until nobody holds the connection. What is not read cannot tell of its end, so the peer is pinged meanwhile. */
  async #unheld(): Promise<void> {
    const probe = setInterval(
      () => this.#send(controlFrame(frameType.ping, 0, uint32s(this.#nextPing()))),
      probeInterval,
    )
    try {
      while (this.#held.size > 0) await new Promise<void>((resume) => (this.#resume = resume))
    } finally {
      clearInterval(probe)
    }
  }
  #pings = 0
  #nextPing(): number {
    this.#pings += 2
    return this.#options.server ? this.#pings : this.#pings - 1
  }

  hold(stream: SpdyStream): void {
    this.#held.add(stream)
  }
  release(stream: SpdyStream): void {
    if (this.#held.delete(stream) && this.#held.size === 0) this.#resume()
  }
  forget(stream: SpdyStream, reset: boolean): void {
    if (this.#streams.get(stream.id) === stream) this.#streams.delete(stream.id)
    if (reset && !this.#closed) this.#send(controlFrame(frameType.rstStream, 0, uint32s(stream.id, 5))) // CANCEL
    this.release(stream)
  }

  sendData(stream: number, data: Buffer, fin: boolean, done: (error?: Error | null) => void): void {
    if (this.#closed || this.#transport.destroyed || this.#transport.writableEnded) {
      done(new Error('connection closed'))
      return
    }
    let at = 0
    do {
      const part = data.subarray(at, at + chunkSize)
      at += part.length
      const last = at >= data.length
      this.#transport.write(dataFrameHead(stream, fin && last, part.length))
      if (last) {
        if (part.length) this.#transport.write(part, done)
        else done()
      } else this.#transport.write(part)
    } while (at < data.length)
  }
  #send(bytes: Buffer): void {
    if (!this.#closed && !this.#transport.destroyed && !this.#transport.writableEnded) this.#transport.write(bytes)
  }

  async #frame(frame: Frame): Promise<void> {
    if (frame.kind === 'data') {
      const stream = this.#streams.get(frame.stream)
      if (frame.data.length) stream?.receive(frame.data)
      if (frame.fin) stream?.receive(null)
      return
    }
    const { type, flags, payload } = frame
    if (type === frameType.synStream) await this.#opened(payload, flags)
    // Blocks we do not care for must be read all the same: they are part of one zlib stream.
    else if (type === frameType.synReply || type === frameType.headers)
      await this.#headerReader.decode(payload.subarray(4))
    else if (type === frameType.rstStream) {
      this.#streams.get(payload.readUInt32BE(0) & 0x7fffffff)?.broken(new SpdyReset())
    } else if (type === frameType.ping) {
      const id = payload.readUInt32BE(0)
      if ((id % 2 === 1) === this.#options.server) this.#send(controlFrame(frameType.ping, 0, payload))
    }
  }

  async #opened(payload: Buffer, flags: number): Promise<void> {
    const id = payload.readUInt32BE(0) & 0x7fffffff
    const headers = await this.#headerReader.decode(payload.subarray(10))
    const stream = new SpdyStream(this, id, headers)
    this.#streams.set(id, stream)
    this.#options.onStream?.(stream)
    if (stream.destroyed) return
    this.#send(controlFrame(frameType.synReply, 0, Buffer.concat([uint32s(id), this.#headerWriter.encode({})])))
    if (flags & flagFin) stream.receive(null)
  }
}
