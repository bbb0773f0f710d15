/**
 * Tables of instances that are gone: whose home was deleted without a reset. Their rules come before ours and would lead a
 * port that we publish to where theirs led. A daemon that runs holds its name as an abstract unix socket, which the kernel
 * keeps for the network namespace it is in and lets go of however the daemon ends; one that does not run but whose containers
 * do has their links.
 */
import { connect, createServer } from 'node:net'
import { messageOf } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Sys } from '../../sys/sys.ts'
import type { Instance } from '../types.ts'

const nameOf = (id: string): string => `\0slipway-${id}`

const retryMs = 1000

/** Says to the others that this instance is alive, until the process ends. A predecessor may still be on its way out. */
export const announce = ({ id }: Pick<Instance, 'id'>): void => {
  const server = createServer((socket) => socket.destroy())
  server.unref()
  server.on('error', () => void setTimeout(listen, retryMs).unref())
  const listen = (): void => void server.listen(nameOf(id))
  listen()
}

const isAlive = (id: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(nameOf(id))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

/** The ids of instances that have tables: "table inet slipway_1a2b". */
const idsIn = (tables: string): Set<string> =>
  new Set([...tables.matchAll(/^table inet slipway_([0-9a-f]{4})$/gm)].map((match) => match[1]!))

export const sweepOrphans = async (sys: Pick<Sys, 'firewall' | 'links' | 'processes'>, own: string, log: Log) => {
  try {
    const { stdout } = await sys.processes.must(['nft', 'list', 'tables'])
    for (const id of idsIn(stdout)) {
      const links = [...sys.links.names()].filter((name) => name.startsWith(`sw${id}`))
      if (id === own || links.some((name) => /^[vp]/.test(name.slice(6))) || (await isAlive(id))) continue
      log.warn('removing the firewall table of an instance that is gone', { table: `slipway_${id}` })
      // Added first, for another daemon may have removed it meanwhile.
      await sys.firewall.apply(`add table inet slipway_${id}\ndelete table inet slipway_${id}\n`)
    }
  } catch (error) {
    log.warn('tables of other instances', { error: messageOf(error) })
  }
}
