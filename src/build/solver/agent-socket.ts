/** An ssh agent as one step sees it: a socket of its own, with the owner and the mode that its mount asks for. */
import { chmodSync, chownSync, closeSync, openSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'

export interface AgentSocket {
  path: string
  /** Cuts all connections. */
  close(): Promise<void>
}

/** Listens in `directory`, which is the step's alone, and joins who connects to the agent at `upstream`. */
export const openAgentSocket = async (
  directory: string,
  upstream: string,
  { mode, uid, gid }: { mode: number; uid: number; gid: number },
): Promise<AgentSocket> => {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const agent = connect({ path: upstream, allowHalfOpen: true })
    for (const [one, other] of [
      [client, agent],
      [agent, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroySoon()
      })
      one.pipe(other)
    }
  })
  // A socket's name may have 107 bytes, which the way to the directory can exceed. The name is used again to take it away.
  const fd = openSync(directory, 'r')
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
    closeSync(fd)
  }
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(`/proc/self/fd/${fd}/socket`, resolve)
    })
    const path = join(directory, 'socket')
    chownSync(path, uid, gid)
    chmodSync(path, mode)
    return { path, close }
  } catch (error) {
    await close()
    throw error
  }
}
