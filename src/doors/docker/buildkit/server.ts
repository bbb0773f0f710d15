/** A gRPC server on a connection that was taken over. */
import * as http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import { messageOf, SlipwayError } from '../../../errors.ts'
import type { Log } from '../../../lib/log.ts'
import { windows } from './client.ts'
import { frameOf, Unframer } from './frames.ts'
import type { Message } from './protobuf.ts'
import { StatusError, statusOf, trailersOf } from './status.ts'

export interface Call {
  /** 'buildkit-controlapi-buildid' and other metadata. */
  metadata(name: string): string | undefined
  /** Aborted when the client gives up. */
  signal: AbortSignal
  /** Answers with this metadata, before any message. */
  begin(metadata: Record<string, string>): void
}
interface Method {
  /** `send` resolves when there is room for more. */
  handle(call: Call, request: Buffer, send: (reply: Uint8Array) => Promise<void>): Promise<void>
}
/** A call whose messages go both ways as they come. */
interface Conversation {
  /** Resolves when it is over. `begin` answers, before any message of ours. */
  converse(headers: http2.IncomingHttpHeaders, stream: http2.ServerHttp2Stream, begin: () => void): Promise<void>
}
/** By '/package.Service/Method'. */
export type Methods = Record<string, Method | Conversation>

export const unary = <A, B>(
  request: Message<A>,
  reply: Message<B>,
  handler: (value: A, call: Call) => Promise<Partial<B>> | Partial<B>,
): Method => ({
  handle: async (call, bytes, send) => send(reply.encode(await handler(request.decode(bytes), call))),
})

export const streaming = <A, B>(
  request: Message<A>,
  reply: Message<B>,
  handler: (value: A, call: Call, send: (value: Partial<B>) => Promise<void>) => Promise<void>,
): Method => ({
  handle: (call, bytes, send) => handler(request.decode(bytes), call, (value) => send(reply.encode(value))),
})

/** Serves until the client hangs up; `closed` then resolves. */
export const serveGrpc = (socket: Duplex, methods: Methods, log: Log): Promise<void> =>
  new Promise((closed) => {
    const session = http2.performServerHandshake(socket, { settings: windows.settings })
    session.on('error', (error) => log.debug('gRPC connection failed', { error: messageOf(error) }))
    session.on('close', () => closed())
    // The HTTP server's sockets stay half open: a client that was killed says no more than this.
    socket.on('end', () => session.destroy())
    session.setLocalWindowSize?.(windows.connection)
    session.on('stream', (stream, headers) => {
      stream.on('error', () => {}) // 'close' follows
      serve(stream, headers, methods, log).catch((error: unknown) =>
        log.warn('gRPC call not answered', { error: messageOf(error) }),
      )
    })
  })

const serve = async (
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  methods: Methods,
  log: Log,
): Promise<void> => {
  const gone = new AbortController()
  stream.once('close', () => gone.abort(new SlipwayError('cancelled', 'context canceled')))
  const path = String(headers[':path'])
  log.debug('gRPC call', { path })
  let trailers: Record<string, string> = { 'grpc-status': '0' }
  try {
    const method = methods[path]
    if (!method) throw new StatusError({ code: 12, message: `unknown method ${path}`, details: [] })
    if ('converse' in method) {
      await method.converse(headers, stream, () => respond(stream))
      if (!stream.destroyed) stream.once('wantTrailers', () => stream.sendTrailers(trailers)).end()
      return
    }
    const request = await onlyMessage(stream)
    const call: Call = {
      metadata: (name) => {
        const value = headers[name]
        return Array.isArray(value) ? value[0] : value
      },
      signal: gone.signal,
      begin: (given) => respond(stream, given),
    }
    await method.handle(call, request, (reply) => {
      respond(stream)
      return written(stream, frameOf(reply), gone.signal)
    })
  } catch (error) {
    if (gone.signal.aborted) return
    const status = statusOf(error)
    if (status.code !== 12) log.debug('gRPC call failed', { path, error: status.message })
    trailers = trailersOf(status)
  }
  if (stream.destroyed) return
  respond(stream)
  stream.once('wantTrailers', () => stream.sendTrailers(trailers))
  stream.end()
}

const respond = (stream: http2.ServerHttp2Stream, metadata: Record<string, string> = {}): void => {
  if (!stream.headersSent && !stream.destroyed)
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...metadata }, { waitForTrailers: true })
}

/** What is called here takes one message. */
const onlyMessage = async (stream: http2.ServerHttp2Stream): Promise<Buffer> => {
  const unframer = new Unframer()
  let found: Buffer | undefined
  for await (const chunk of stream) for (const message of unframer.push(chunk as Buffer)) found ??= message
  if (!found) throw new SlipwayError('bad-request', 'no message in the request')
  return found
}

const written = (out: http2.Http2Stream, data: Uint8Array, signal: AbortSignal): Promise<void> => {
  signal.throwIfAborted()
  if (out.destroyed) throw new SlipwayError('cancelled', 'the stream is closed')
  if (out.write(data)) return Promise.resolve()
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
