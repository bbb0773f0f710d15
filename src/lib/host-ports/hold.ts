/**
 * Ports of this machine that the kernel forwards elsewhere, held by a socket of ours: nobody else can take them, and a
 * taken one is noticed by the only test that cannot lie. What the kernel does not translate (IPv6 loopback, IPv6 clients of
 * an IPv4 target) arrives at the held socket and is forwarded from here.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, isIPv4, type Server } from 'node:net'
import { relayDatagrams, relayStream } from './relay.ts'

export type Protocol = 'tcp' | 'udp'
export interface Target {
  address: string
  port: number
}
export interface HeldPort {
  port: number
  /** Where to forward what arrives here; asked for each connection. undefined: refused. */
  target: (() => Target | undefined) | undefined
  /** Called when an IPv4 client arrived that the kernel should have translated. */
  onStray: (() => void) | undefined
  close(): void
}

/** errno of a bind that failed, e.g. EADDRINUSE. */
export class BindError extends Error {
  readonly errno: string
  constructor(errno: string, what: string, cause: unknown) {
    super(`bind ${what}: ${errno}`, { cause })
    this.errno = errno
  }
}

/** '' is every address, '::' and '0.0.0.0' every one of their family. `port` 0 takes a free one. Rejects with a BindError. */
export const holdPort = async (hostIp: string, port: number, protocol: Protocol): Promise<HeldPort> => {
  const hold = protocol === 'tcp' ? holdTcp : holdUdp
  if (hostIp !== '') return await hold(hostIp, port)
  try {
    return await hold('', port)
  } catch (error) {
    const noIpv6 = error instanceof BindError && (error.errno === 'EAFNOSUPPORT' || error.errno === 'EADDRNOTAVAIL')
    if (!noIpv6) throw error
    return await hold('0.0.0.0', port)
  }
}

const isStray = (client: string | undefined): boolean =>
  client !== undefined && (isIPv4(client) || client.startsWith('::ffff:'))

const bindError = (host: string, port: number, error: unknown): BindError =>
  new BindError((error as NodeJS.ErrnoException).code ?? 'EIO', `${host}:${port}`, error)

const holdTcp = async (host: string, port: number): Promise<HeldPort> => {
  const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(bindError(host, port, error)))
    server.listen({ host: host || '::', port, ipv6Only: host === '::', exclusive: true, backlog: 128 }, resolve)
  })
  server.removeAllListeners('error')
  server.on('error', () => {}) // accept failing for want of descriptors: the next connection tries again
  const open = new Set<() => void>()
  const held: HeldPort = {
    port: (server.address() as { port: number }).port,
    target: undefined,
    onStray: undefined,
    close() {
      server.close()
      for (const end of open) end()
    },
  }
  server.on('connection', (client) => {
    if (isStray(client.remoteAddress)) held.onStray?.()
    const target = held.target?.()
    if (!target) return void client.resetAndDestroy()
    const end = relayStream(client, target)
    open.add(end)
    client.once('close', () => open.delete(end))
  })
  server.unref()
  return held
}

const holdUdp = async (host: string, port: number): Promise<HeldPort> => {
  const type = host === '' || host.includes(':') ? 'udp6' : 'udp4'
  const socket: UdpSocket = createSocket({ type, ipv6Only: host === '::' })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(bindError(host, port, error)))
    socket.bind({ address: host || '::', port, exclusive: true }, resolve)
  })
  socket.removeAllListeners('error')
  socket.on('error', () => {})
  socket.unref()
  const relay = relayDatagrams(socket)
  const held: HeldPort = {
    port: socket.address().port,
    target: undefined,
    onStray: undefined,
    close() {
      relay.close()
      socket.close()
    },
  }
  socket.on('message', (message, from) => {
    if (isStray(from.address)) held.onStray?.()
    const target = held.target?.()
    if (target) relay.forward(message, from, target)
  })
  return held
}
