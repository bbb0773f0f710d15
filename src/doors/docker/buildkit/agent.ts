/** The client's ssh agent, as a socket on this machine: moby.sshforward.v1.SSH. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { messageOf } from '../../../errors.ts'
import type { Log } from '../../../lib/log.ts'
import { BytesMessage, CheckAgentRequest, Empty } from './messages.ts'
import type { Session } from './session.ts'
import { StatusError } from './status.ts'

export interface ForwardedAgents {
  /** Path of a socket; undefined where the client does not offer this agent. */
  find(id: string): Promise<string | undefined>
  close(): void
}

export const forwardedAgents = (
  session: Session,
  directory: string,
  log: Log,
  signal: AbortSignal,
): ForwardedAgents => {
  const open = new Map<string, Promise<string | undefined>>()
  const closers: (() => void)[] = []
  const forward = async (id: string): Promise<string | undefined> => {
    if (!session.serves('/moby.sshforward.v1.SSH/ForwardAgent')) return undefined
    try {
      await session.client.unary('/moby.sshforward.v1.SSH/CheckAgent', [CheckAgentRequest, Empty], { ID: id }, signal)
    } catch (error) {
      if (error instanceof StatusError) return undefined // it has agents, but not this one
      throw error
    }
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const path = join(directory, randomUUID().slice(0, 13))
    const sockets = new Set<Socket>()
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      connectAgent(session, id, socket, signal).catch((error: unknown) => {
        log.debug('agent connection failed', { error: messageOf(error) })
        socket.destroy()
      })
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, resolve)
    })
    closers.push(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
      rmSync(path, { force: true })
    })
    return path
  }
  return {
    find(id) {
      let found = open.get(id)
      if (!found) {
        found = forward(id)
        found.catch(() => {})
        open.set(id, found)
      }
      return found
    },
    close() {
      for (const close of closers.splice(0)) close()
    },
  }
}

const connectAgent = async (session: Session, id: string, socket: Socket, signal: AbortSignal): Promise<void> => {
  const stream = session.client.open('/moby.sshforward.v1.SSH/ForwardAgent', { 'buildkit.ssh.id': id }, signal)
  socket.on('error', () => {}) // 'close' follows
  socket.on('close', () => stream.cancel())
  const outgoing = async (): Promise<void> => {
    for await (const chunk of socket) await stream.send(BytesMessage.encode({ data: chunk as Buffer }))
    stream.end()
  }
  outgoing().catch(() => stream.cancel())
  for await (const message of stream.messages()) socket.write(BytesMessage.decode(message).data)
  socket.end()
}
