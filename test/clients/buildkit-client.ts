/** A client of BuildKit's API that is none of docker's: all it says goes through `docker buildx dial-stdio`, as buildctl's does. */
import type { ChildProcess } from 'node:child_process'
import * as http2 from 'node:http2'
import { Duplex } from 'node:stream'
import {
  BytesMessage,
  type ControlSolveRequest,
  ControlSolveRequest as Solve,
} from '../../src/doors/docker/buildkit/messages.ts'
import { frameOf, Unframer } from '../../src/doors/docker/buildkit/frames.ts'
import type { Decoded } from '../../src/doors/docker/buildkit/protobuf.ts'

export interface Answer {
  /** gRPC's code. */
  status: number
  message: string
}
export interface BuildkitClient {
  /** Opens a session that serves nothing. */
  session(id: string): void
  solve(request: Partial<Decoded<typeof ControlSolveRequest>>): Promise<Answer>
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

/** What goes through a call as messages of bytes. */
const bytesOf = (stream: http2.ClientHttp2Stream): Duplex => {
  const unframer = new Unframer()
  const duplex = new Duplex({
    read() {},
    write: (chunk: Buffer, _encoding, done) =>
      void stream.write(frameOf(BytesMessage.encode({ data: chunk })), () => done()),
  })
  stream.on('data', (chunk: Buffer) => {
    for (const message of unframer.push(chunk)) duplex.push(Buffer.from(BytesMessage.decode(message).data))
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
    solve: (request) => call('Solve', Solve.encode(request)),
    call,
    close() {
      api.destroy()
      dialled.kill()
    },
  }
}
