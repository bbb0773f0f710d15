/** exec, attach (WebSocket) and port-forward (SPDY) from the client's side. */
import type { IncomingMessage } from 'node:http'
import { Duplex, PassThrough, Writable } from 'node:stream'
import type { WebSocket } from 'ws'
import { messageOf, SlipwayError } from '../../errors.ts'
import { SpdySession } from '../../lib/spdy/index.ts'
import type { ExecSession, PodExecOptions } from '../../spec/kube/client.ts'
import { errorOfStatus, type Status } from '../../spec/kube/status.ts'
import { errorOf, type Transport } from './transport.ts'

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const
/** v5 can close single channels, which v4 (servers before 1.30) cannot. */
const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io']

const connect = async (
  transport: Transport,
  path: string,
  query: Record<string, string | string[]>,
): Promise<WebSocket> => {
  const { WebSocket } = await import('ws')
  const { headers, tls } = await transport.connection()
  const socket = new WebSocket(transport.webSocketUrl + transport.pathOf(path, query), protocols, {
    headers: headers as Record<string, string>,
    perMessageDeflate: false,
    maxPayload: 32 * 1024 * 1024,
    ...tls,
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('unexpected-response', (_request, response: IncomingMessage) => {
      errorOf(response).then(reject, reject)
    })
    socket.once('error', (error) =>
      reject(new SlipwayError('unavailable', `Unable to connect to the server: ${messageOf(error)}`, { cause: error })),
    )
  })
  return socket
}

/** The exit a Status on the error channel tells of. */
const exitOf = (text: string): { exitCode: number; message?: string } => {
  const status = JSON.parse(text) as Status
  if (status.status === 'Success') return { exitCode: 0 }
  if (status.reason === 'NonZeroExitCode') {
    const cause = status.details?.causes?.find((c) => c.reason === 'ExitCode')
    return { exitCode: Number(cause?.message ?? 1), message: status.message }
  }
  throw errorOfStatus(status)
}

/** Output of one channel: a reader that is slow stops the socket. */
const reader = (socket: WebSocket): PassThrough => {
  const stream = new PassThrough()
  stream.on('drain', () => socket.resume())
  return stream
}

const stdinOf = (socket: WebSocket): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (socket.readyState !== socket.OPEN)
        done() // it has ended meanwhile; what is typed goes nowhere
      else socket.send(Buffer.concat([Buffer.from([channel.stdin]), chunk]), () => done())
    },
    final(done) {
      if (socket.readyState === socket.OPEN && socket.protocol === protocols[0]) {
        socket.send(Buffer.from([channel.close, channel.stdin]))
      }
      done()
    },
  })

/** Opens exec (with a command) or attach. Rejects when the pod or container cannot be had. */
export const openCommand = async (
  transport: Transport,
  path: string,
  options: PodExecOptions,
): Promise<ExecSession> => {
  const flags = (['stdin', 'stdout', 'stderr', 'tty'] as const).filter(
    (f) => options[f] && !(f === 'stderr' && options.tty),
  )
  const query = {
    command: options.command,
    ...(options.container && { container: options.container }),
    ...Object.fromEntries(flags.map((f) => [f, 'true'])),
  }
  const socket = await connect(transport, path, query)
  const outputs = {
    [channel.stdout]: options.stdout ? reader(socket) : undefined,
    [channel.stderr]: flags.includes('stderr') ? reader(socket) : undefined,
  }
  const exited = new Promise<{ exitCode: number; message?: string }>((resolve, reject) => {
    let told = ''
    socket.on('message', (message: Buffer) => {
      const data = message.subarray(1)
      const number = message[0] as keyof typeof outputs | 3
      if (number === channel.error) told += data.toString('utf8')
      else if (data.length && outputs[number] && !outputs[number].write(data)) socket.pause()
    })
    socket.on('error', () => socket.terminate())
    socket.once('close', () => {
      for (const stream of Object.values(outputs)) stream?.end()
      try {
        if (told) resolve(exitOf(told))
        else reject(new SlipwayError('unavailable', 'the connection to the container was lost'))
      } catch (error) {
        reject(error)
      }
    })
  })
  exited.catch(() => {}) // callers that only close need not ask
  return {
    stdin: options.stdin ? stdinOf(socket) : undefined,
    stdout: outputs[channel.stdout],
    stderr: outputs[channel.stderr],
    resize: ({ width, height }) => {
      if (socket.readyState !== socket.OPEN) return
      const size = JSON.stringify({ Width: width, Height: height })
      socket.send(Buffer.concat([Buffer.from([channel.resize]), Buffer.from(size)]))
    },
    exited,
    close: () => socket.terminate(),
  }
}

/**
 * One connection to a port of a pod. SPDY by POST, which every server since 1.4 has; the WebSocket tunnel came with 1.30.
 * When the port does not answer the stream is destroyed with the server's words.
 */
export const openPortForward = async (transport: Transport, path: string, port: number): Promise<Duplex> => {
  const socket = await transport.upgradeToSpdy(path, 'portforward.k8s.io')
  const session = new SpdySession(socket, { server: false })
  const pair = { port: String(port), requestid: '0' }
  const error = session.open({ streamtype: 'error', ...pair })
  const data = session.open({ streamtype: 'data', ...pair })
  error.end()
  let said = ''
  error.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
  })
  error.on('error', () => {}) // the data stream breaks as well
  // Reading and writing are two halves: the caller may end one while the other goes on.
  const outside = Duplex.from({ readable: withFailure(data, error, () => said), writable: data })
  outside.once('close', () => session.close())
  return outside
}

/** The bytes of `data`; fails at the end when the error stream has something to say. */
async function* withFailure(data: Duplex, error: Duplex, said: () => string): AsyncGenerator<Buffer> {
  yield* data as AsyncIterable<Buffer>
  if (!error.readableEnded && !error.destroyed)
    await new Promise((resolve) => error.once('close', resolve).once('end', resolve))
  if (said()) throw new SlipwayError('unavailable', said())
}
