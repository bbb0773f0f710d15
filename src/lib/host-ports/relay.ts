import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram'
import { connect, type Socket } from 'node:net'
import type { Target } from './hold.ts'

/** Joins a paused client to `target`, half-closes included; a failed or broken side resets the other. Returns what cuts it. */
export const relayStream = (client: Socket, target: Target): (() => void) => {
  const upstream = connect({ host: target.address, port: target.port, allowHalfOpen: true })
  const cut = (): void => {
    client.resetAndDestroy()
    upstream.destroy()
  }
  client.once('error', cut)
  upstream.once('error', cut)
  client.once('close', () => upstream.destroy())
  upstream.once('close', () => client.destroySoon())
  upstream.once('connect', () => {
    client.setNoDelay(true)
    upstream.setNoDelay(true)
    client.pipe(upstream)
    upstream.pipe(client)
  })
  return cut
}

const idleMs = 90_000
const mostClients = 1024

/** Datagrams of many clients of one socket; each client has a socket of its own towards the target, until it is idle. */
export const relayDatagrams = (front: UdpSocket) => {
  const clients = new Map<string, { socket: UdpSocket; timer: NodeJS.Timeout }>()
  const drop = (key: string): void => {
    const client = clients.get(key)
    if (!client) return
    clients.delete(key)
    clearTimeout(client.timer)
    client.socket.close()
  }
  const open = (key: string, from: RemoteInfo, target: Target) => {
    if (clients.size >= mostClients) drop(clients.keys().next().value!)
    const socket = createSocket(target.address.includes(':') ? 'udp6' : 'udp4')
    socket.on('error', () => drop(key))
    socket.on('message', (answer) => {
      clients.get(key)?.timer.refresh()
      front.send(answer, from.port, from.address)
    })
    socket.unref()
    const client = { socket, timer: setTimeout(() => drop(key), idleMs).unref() }
    clients.set(key, client)
    return client
  }
  return {
    forward(message: Buffer, from: RemoteInfo, target: Target): void {
      const key = `${from.address} ${from.port} ${target.address} ${target.port}`
      const client = clients.get(key) ?? open(key, from, target)
      client.timer.refresh()
      client.socket.send(message, target.port, target.address)
    },
    close(): void {
      for (const key of [...clients.keys()]) drop(key)
    },
  }
}
