/** The channel protocols over WebSocket: k8s.io/apiserver's wsstream, up to v5.channel.k8s.io. */
import { PassThrough, Writable } from 'node:stream'
import type { WebSocket } from 'ws'
import type { CommandStreams } from './command.ts'

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const

/** Supported subprotocols. `status`: the error channel carries a Status, not text. */
const protocols: Record<string, { base64: boolean; status: boolean }> = {
  'v5.channel.k8s.io': { base64: false, status: true },
  'v4.channel.k8s.io': { base64: false, status: true },
  'v4.base64.channel.k8s.io': { base64: true, status: true },
  'channel.k8s.io': { base64: false, status: false },
  'base64.channel.k8s.io': { base64: true, status: false },
}
export const channelProtocols: readonly string[] = Object.keys(protocols)

/** How often a client whose input is held back is asked whether it is still there, in ms. */
const probeInterval = 5000

const size = (data: Buffer): { width: number; height: number } | undefined => {
  try {
    const { Width, Height } = JSON.parse(data.toString('utf8')) as { Width: number; Height: number }
    return Number.isInteger(Width) && Number.isInteger(Height) ? { width: Width, height: Height } : undefined
  } catch {
    return undefined
  }
}

/** A writable whose chunks go out as messages of one channel; waits until each is on its way. */
const channelWriter = (socket: WebSocket, number: number, base64: boolean): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (socket.readyState !== socket.OPEN) return done(new Error('the client has gone'))
      if (base64) socket.send(`${number}${chunk.toString('base64')}`, done)
      else socket.send(Buffer.concat([Buffer.from([number]), chunk]), { binary: true }, done)
    },
  }).on('error', () => {})

/** The streams of exec or attach over one WebSocket. */
export const webSocketCommand = (
  socket: WebSocket,
  protocol: string,
  wants: { stdin: boolean; stdout: boolean; stderr: boolean },
): CommandStreams => {
  const { base64, status: structured } = protocols[protocol] ?? { base64: false, status: false }
  const gone = new AbortController()
  const stdin = wants.stdin ? new PassThrough() : undefined
  const writer = (number: number): Writable => channelWriter(socket, number, base64)
  let onResize: (size: { width: number; height: number }) => void = () => {}
  socket.once('close', () => gone.abort(new Error('the client has gone')))
  socket.on('error', () => socket.terminate())
  socket.on('message', (message: Buffer) => {
    if (message.length === 0) return
    const number = base64 ? message[0]! - 0x30 : message[0]!
    const data = base64 ? Buffer.from(message.subarray(1).toString('latin1'), 'base64') : message.subarray(1)
    if (number === channel.close && data[0] === channel.stdin) stdin?.end()
    else if (number === channel.resize) {
      const wanted = size(data)
      if (wanted) onResize(wanted)
    } else if (number === channel.stdin && stdin?.writable && data.length && !stdin.write(data)) {
      socket.pause()
      // A paused socket does not hear that its client has gone; writing to it does.
      const probe = setInterval(() => socket.ping(), probeInterval)
      const release = (): void => {
        clearInterval(probe)
        stdin.off('drain', release)
        socket.off('close', release)
        socket.resume()
      }
      stdin.once('drain', release)
      socket.once('close', release)
    }
  })
  // Kubernetes begins with an empty message on the first channel it writes to; clients may wait for it.
  const first = wants.stdout ? channel.stdout : wants.stderr ? channel.stderr : channel.error
  socket.send(base64 ? String(first) : Buffer.from([first]))
  return {
    stdin,
    stdout: wants.stdout ? writer(channel.stdout) : undefined,
    stderr: wants.stderr ? writer(channel.stderr) : undefined,
    onResize: (listener) => {
      onResize = listener
    },
    finish: async ({ succeeded, status, text }) => {
      const said = structured ? JSON.stringify(status) : text
      if (socket.readyState !== socket.OPEN) return
      socket.resume() // the client's answer to our close must be read
      if (structured || !succeeded) await new Promise((sent) => writer(channel.error).write(Buffer.from(said), sent))
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.close(1000)
      await closed // ws gives up on its own after 30 s
    },
    signal: gone.signal,
  }
}
