import type { Socket as UdpSocket } from 'node:dgram'
import type { Server, Socket } from 'node:net'
import { emptyAnswer, fitted, isResponse, questionOf } from './wire.ts'

/** One answer to one query, both whole messages. `client` is the asker's address. */
type Answer = (query: Buffer, client: string) => Promise<Buffer>

const idleMs = 10_000
const mostConnections = 64
const mostPending = 1000

/** Serves DNS on bound sockets (RFC 1035 §4.2). A failing `answer` is SERVFAIL; torn queries are dropped. Returns what ends it. */
export const serveDns = (sockets: { udp: UdpSocket; tcp: Server }, answer: Answer): (() => void) => {
  const { udp, tcp } = sockets
  const open = new Set<Socket>()
  let pending = 0
  const answered = async (query: Buffer, client: string): Promise<Buffer | undefined> => {
    if (query.length < 12 || isResponse(query)) return undefined
    if (!questionOf(query)) return emptyAnswer(query, 1)
    // Drop rather than pile up: resolvers ask again.
    if (pending >= mostPending) return undefined
    pending++
    try {
      return await answer(query, client)
    } catch {
      return emptyAnswer(query, 2)
    } finally {
      pending--
    }
  }
  let closed = false
  udp.on('message', (query, from) => {
    void answered(query, from.address).then((response) => {
      if (response && !closed) udp.send(fitted(response, query), from.port, from.address)
    })
  })
  udp.on('error', () => {})
  tcp.maxConnections = mostConnections
  tcp.on('error', () => {})
  tcp.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    serveStream(socket, (query) => answered(query, socket.remoteAddress ?? ''))
  })
  return () => {
    closed = true
    udp.close()
    tcp.close()
    for (const socket of open) socket.destroy()
  }
}

const serveStream = (socket: Socket, answered: (query: Buffer) => Promise<Buffer | undefined>): void => {
  let rest: Buffer = Buffer.alloc(0)
  socket.setTimeout(idleMs, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const end = 2 + rest.readUInt16BE(0)
      const query = Buffer.from(rest.subarray(2, end))
      rest = rest.subarray(end)
      void answered(query).then((response) => {
        if (!response) return void socket.destroy()
        const length = Buffer.alloc(2)
        length.writeUInt16BE(response.length)
        socket.write(Buffer.concat([length, response]))
      })
    }
  })
}
