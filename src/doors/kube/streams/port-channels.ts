/**
 * Port forwarding over plain WebSocket channels, as Kubernetes' client libraries for Python and JavaScript do it
 * (kubelet streaming/portforward/websocket.go): the ports are in the query, channel 2i carries the data of port i, 2i+1 errors.
 */
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { messageOf } from '../../../errors.ts'
import { badRequest } from '../refusals.ts'

export const portChannelProtocols = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io', 'portforward.k8s.io'] as const

/** The ports asked for, each 1…65535; at most 127 fit into the channel byte. */
export const portsOf = (query: URLSearchParams): number[] => {
  const texts = query.getAll('ports').flatMap((value) => value.split(','))
  const ports = texts.map(Number)
  if (ports.length === 0) throw badRequest('query parameter "port" is required')
  if (ports.length > 127) throw badRequest('too many ports')
  const wrong = ports.findIndex((port) => !Number.isInteger(port) || port < 1 || port > 65535)
  if (wrong >= 0) throw badRequest(`port "${texts[wrong]}" must be between 1 and 65535`)
  return ports
}

export const servePortChannels = async (
  socket: WebSocket,
  protocol: string,
  ports: readonly number[],
  connect: (port: number) => Promise<Duplex>,
): Promise<void> => {
  const base64 = protocol.includes('base64')
  const send = (channel: number, data: Buffer): Promise<void> =>
    new Promise((sent) => {
      if (socket.readyState !== socket.OPEN) return sent()
      // A base64 client reads the channel as one character.
      const message = base64
        ? String.fromCharCode(0x30 + channel) + data.toString('base64')
        : Buffer.concat([Buffer.from([channel]), data])
      socket.send(message, () => sent())
    })
  const targets = new Map<number, Promise<Duplex>>()
  socket.on('error', () => socket.terminate())
  socket.on('message', (message: Buffer) => {
    const channel = base64 ? message[0]! - 0x30 : message[0]!
    const data = base64 ? Buffer.from(message.subarray(1).toString('latin1'), 'base64') : message.subarray(1)
    void targets.get(channel)?.then(
      (target) => {
        if (target.writable && !target.write(data)) {
          socket.pause()
          target.once('drain', () => socket.resume())
        }
      },
      () => {}, // told on the error channel
    )
  })
  const forward = async (port: number, index: number): Promise<void> => {
    const data = index * 2
    const announced = Buffer.from([port & 0xff, port >> 8])
    await send(data, announced)
    await send(data + 1, announced)
    const connecting = connect(port)
    targets.set(data, connecting)
    try {
      for await (const chunk of (await connecting) as AsyncIterable<Buffer>) await send(data, chunk)
    } catch (error) {
      await send(data + 1, Buffer.from(`error forwarding port ${port} to pod: ${messageOf(error)}`))
    }
  }
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  const finished = Promise.all(ports.map(forward))
  await Promise.race([finished, closed])
  socket.close(1000)
  for (const target of targets.values()) void target.then((t) => t.destroy()).catch(() => {}) // it never connected
}
