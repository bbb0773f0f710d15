/** A client of BuildKit's API that is none of docker's: all it says goes through `docker buildx dial-stdio`, as buildctl's does. */
import type { ChildProcess } from 'node:child_process'
import * as http2 from 'node:http2'
import { Duplex } from 'node:stream'

/** A field of a protobuf message that has a length: text, bytes or a message. Of numbers below 16 and lengths below 16384. */
const field = (number: number, value: string | Uint8Array): Buffer => {
  const data = Buffer.from(value as string)
  const length = data.length < 0x80 ? [data.length] : [0x80 | (data.length & 0x7f), data.length >> 7]
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), data])
}
const message = (...fields: Buffer[]): Buffer => Buffer.concat(fields)
const entries = (number: number, map: Record<string, string> = {}): Buffer[] =>
  Object.entries(map).map(([key, value]) => field(number, message(field(1, key), field(2, value))))

/** moby.buildkit.v1.SolveRequest, as far as it is used here. */
export interface Solve {
  ref: string
  session: string
  /** A definition of one operation, which is one source. */
  source?: string
  frontend?: string
  attrs?: Record<string, string>
  /** The exporter "image". */
  name?: string
}
const encoded = ({ ref, session, source, frontend = '', attrs, name }: Solve): Buffer =>
  message(
    field(1, ref),
    ...(source === undefined ? [] : [field(2, field(1, field(3, field(1, source))))]),
    field(5, session),
    field(6, frontend),
    ...entries(7, attrs),
    ...(name === undefined ? [] : [field(13, message(field(1, 'image'), ...entries(2, { name })))]),
  )

const frameOf = (payload: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(payload.length, 1)
  return Buffer.concat([head, payload])
}
export interface Answer {
  /** gRPC's code. */
  status: number
  message: string
}
export interface BuildkitClient {
  /** Opens a session that serves nothing. */
  session(id: string): void
  solve(request: Solve): Promise<Answer>
  call(method: string, body?: Uint8Array): Promise<Answer>
  close(): void
}

const headersOf = (method: string, more: Record<string, string> = {}): http2.OutgoingHttpHeaders => ({
  ':method': 'POST',
  ':path': `/moby.buildkit.v1.Control/${method}`,
  'content-type': 'application/grpc',
  te: 'trailers',
  ...more,
})

/** What goes through a call as messages of bytes. What comes is short. */
const bytesOf = (stream: http2.ClientHttp2Stream): Duplex => {
  let rest: Buffer = Buffer.alloc(0)
  const duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      for (let at = 0; at < chunk.length; at += 8192) stream.write(frameOf(field(1, chunk.subarray(at, at + 8192))))
      done()
    },
  })
  stream.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const payload = rest.subarray(5, 5 + rest.readUInt32BE(1))
      rest = rest.subarray(5 + payload.length)
      // One field: its tag, its length in one byte or more, its bytes.
      duplex.push(payload.subarray(1 + payload.subarray(1).findIndex((byte) => byte < 0x80) + 1))
    }
  })
  stream.once('close', () => duplex.destroy())
  return duplex
}

export const buildkitClient = (dialled: ChildProcess): BuildkitClient => {
  const connection = Duplex.from({ readable: dialled.stdout!, writable: dialled.stdin! })
  const api = http2.connect('http://localhost', { createConnection: () => connection as never })
  api.on('error', () => {}) // the calls end with it
  const call: BuildkitClient['call'] = (method, body = new Uint8Array()) =>
    new Promise((resolve) => {
      const stream = api.request(headersOf(method))
      let told: http2.IncomingHttpHeaders = {}
      stream.on('response', (headers) => Object.assign(told, headers))
      stream.on('trailers', (trailers) => Object.assign(told, trailers))
      stream.on('error', (error) => (told = { 'grpc-status': '-1', 'grpc-message': error.message }))
      stream.on('close', () =>
        resolve({
          status: Number(told['grpc-status'] ?? -1),
          message: decodeURIComponent(String(told['grpc-message'] ?? '')),
        }),
      )
      stream.resume()
      stream.end(frameOf(body))
    })
  return {
    session(id) {
      const stream = api.request(
        headersOf('Session', { 'x-docker-expose-session-uuid': id, 'x-docker-expose-session-name': 'test' }),
      )
      stream.on('error', () => {})
      http2.performServerHandshake(bytesOf(stream))
    },
    solve: (request) => call('Solve', encoded(request)),
    call,
    close() {
      api.destroy()
      dialled.kill()
    },
  }
}
