import { createServer as createSecureServer } from 'node:https'
import type { Server, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SecureContext } from 'node:tls'
import { portOwner } from '../../lib/host-ports/index.ts'
import { createServer, type IncomingMessage, type ServerResponse } from '../../lib/http/node.ts'
import type { Log } from '../../lib/log.ts'

export interface Handlers {
  request(incoming: IncomingMessage, response: ServerResponse, port: number): void
  upgrade(incoming: IncomingMessage, socket: Duplex, first: Buffer, port: number): void
  certificate(serverName: string): SecureContext
  fallbackCertificate(): { cert: string; key: string }
}
export interface Listener {
  port: number
  /** Finishes what is under way, closes idle connections; cuts what is left after a while. */
  close(): Promise<void>
}

const graceMs = 3000
const limits = { maxHeaderSize: 64 << 10, requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 75_000 }

const listenAt = (server: Server, host: string, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject)
      resolve((server.address() as { port: number }).port)
    })
  })

/** On both families, where the machine has both. */
const listen = async (server: Server, port: number): Promise<number> => {
  try {
    return await listenAt(server, '::', port)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') throw error
    return await listenAt(server, '0.0.0.0', port)
  }
}

/** Listens on the first of `ports` that is free; a warning names who has the ones before. 0 is any. */
export const openListener = async (
  secure: boolean,
  ports: readonly number[],
  handlers: Handlers,
  log: Log,
): Promise<Listener> => {
  const fallback = secure ? handlers.fallbackCertificate() : undefined
  for (const wanted of [...ports, 0]) {
    const server = fallback
      ? createSecureServer({
          ...limits,
          ...fallback,
          ALPNProtocols: ['http/1.1'],
          SNICallback: (name, done) => done(null, handlers.certificate(name)),
        })
      : createServer(limits)
    let port: number
    try {
      port = await listen(server, wanted)
    } catch (error) {
      const owner = portOwner('tcp', wanted)
      log.warn(`ingress port ${wanted} is not free${owner ? `: ${owner.command} (pid ${owner.pid}) has it` : ''}`, {
        error: (error as NodeJS.ErrnoException).code,
      })
      continue
    }
    if (port !== ports[0] && ports[0] !== 0) log.warn(`ingress listens on port ${port} instead of ${ports[0]}`)
    const sockets = new Set<Socket>()
    server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    server.on('tlsClientError', (_error, socket: Socket) => socket.destroy())
    server.on('clientError', (_error, socket: Socket) => socket.destroy())
    server.on('request', (incoming, response) => handlers.request(incoming, response, port))
    server.on('upgrade', (incoming, socket, first) => handlers.upgrade(incoming, socket, first, port))
    server.unref()
    return {
      port,
      close: () =>
        new Promise((resolve) => {
          const timer = setTimeout(() => {
            for (const socket of sockets) socket.destroy()
          }, graceMs)
          server.close(() => {
            clearTimeout(timer)
            resolve()
          })
          server.closeIdleConnections()
        }),
    }
  }
  throw new Error('unreachable: port 0 is always free')
}
