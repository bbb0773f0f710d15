/** Port forwarding: pairs of SPDY streams (data and error) per connection, direct or tunnelled through a WebSocket. */
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { messageOf } from '../../../errors.ts'
import { SpdyReset, SpdySession, type SpdyStream } from '../../../lib/spdy/index.ts'

export const portForwardProtocol = 'portforward.k8s.io'
/** A client that opens one stream of a pair has this long for the other, in ms. */
const pairTimeout = 30_000

type Connect = (port: number) => Promise<Duplex>

/** After the port has said all, the client may go on talking to it for this long, in ms. */
const lingerTimeout = 10_000

/** Whether it was the client that broke the connection off, as kubectl does with every one it has done with. */
const resetByClient = (data: SpdyStream): boolean => data.errored instanceof SpdyReset

const forward = async (data: SpdyStream, error: SpdyStream, connect: Connect): Promise<void> => {
  const text = data.headers.port ?? ''
  const port = Number(text)
  let target: Duplex | undefined
  try {
    if (!/^\d+$/.test(text) || port < 1 || port > 65535) throw new Error(`unable to parse "${text}" as a port`)
    target = await connect(port)
    const inward = pipeline(data, target).catch(() => {}) // shows in the other direction
    // All is said when the port has ended; kubectl waits for the end of the error stream and only then lets go of data.
    await pipeline(target, data)
    const timer = setTimeout(() => target?.destroy(), lingerTimeout)
    void inward.then(() => clearTimeout(timer))
  } catch (failure) {
    if (!error.destroyed && !resetByClient(data)) {
      error.write(`error forwarding port ${text} to pod: ${messageOf(failure)}`)
    }
    target?.destroy()
    if (!data.destroyed) data.end()
    data.resume()
  } finally {
    error.end()
    error.resume()
  }
}

/** Serves one client until it goes. */
export const servePortForward = (transport: Duplex, connect: Connect, signal: AbortSignal): Promise<void> => {
  const waiting = new Map<string, { data?: SpdyStream; error?: SpdyStream; timer: NodeJS.Timeout }>()
  const session = new SpdySession(transport, {
    server: true,
    onStream: (stream) => {
      stream.on('error', () => {}) // resets show as the end of the pipeline
      const type = stream.headers.streamtype
      if (type !== 'data' && type !== 'error') {
        stream.destroy()
        return
      }
      // Old clients send no request id; they open the error stream first, then data, one pair at a time.
      const id = stream.headers.requestid ?? stream.headers.port ?? ''
      let pair = waiting.get(id)
      if (!pair) {
        const timer = setTimeout(() => {
          waiting.delete(id)
          stream.destroy()
        }, pairTimeout)
        pair = { timer }
        waiting.set(id, pair)
      }
      pair[type] = stream
      if (!pair.data || !pair.error) return
      clearTimeout(pair.timer)
      waiting.delete(id)
      void forward(pair.data, pair.error, connect)
    },
  })
  const stop = (): void => session.destroy()
  signal.addEventListener('abort', stop, { once: true })
  return session.closed.then(() => {
    signal.removeEventListener('abort', stop)
    for (const { timer } of waiting.values()) clearTimeout(timer)
  })
}
