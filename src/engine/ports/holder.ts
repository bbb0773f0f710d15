import { SlipwayError } from '../../errors.ts'
import { BindError, type HeldPort, holdPort, portOwner } from '../../lib/host-ports/index.ts'
import type { PublishedPort } from '../types.ts'

export interface Held {
  /** With the port of the machine it got. */
  port: PublishedPort
  held: HeldPort | undefined
}

const shown = (hostIp: string, port: number): string =>
  `${hostIp === '' ? '0.0.0.0' : hostIp.includes(':') ? `[${hostIp}]` : hostIp}:${port}`

/** Where nothing says otherwise, the kernel picks ports from here (net.ipv4.ip_local_port_range). */
const ephemeral = { first: 32768, last: 60999 }

interface Owned {
  sandboxId: string
  port: PublishedPort
}

const isEvery = (hostIp: string): boolean => hostIp === '' || hostIp === '0.0.0.0' || hostIp === '::'
const meets = (a: PublishedPort, b: PublishedPort): boolean =>
  a.protocol === b.protocol &&
  a.hostPort === b.hostPort &&
  (a.hostIp === b.hostIp || isEvery(a.hostIp) || isEvery(b.hostIp))

/** Takes ports of this machine, and knows who of ours has which. */
export class Holder {
  /** For messages, and for SCTP, which no socket holds. */
  #owned: Owned[] = []

  give(sandboxId: string, ports: readonly PublishedPort[]): void {
    this.#owned.push(...ports.map((port) => ({ sandboxId, port })))
  }
  forget(sandboxId: string): void {
    this.#owned = this.#owned.filter((owned) => owned.sandboxId !== sandboxId)
  }

  #ownerOf(port: PublishedPort): string | undefined {
    return this.#owned.find((owned) => meets(owned.port, port))?.sandboxId
  }

  /** In docker's words: another for what its own containers hold than for what other programs do. */
  #taken(port: PublishedPort, target: string): SlipwayError {
    const { hostIp, hostPort, containerPort, protocol } = port
    const ours = this.#ownerOf(port)
    const other = protocol === 'sctp' || ours !== undefined ? undefined : portOwner(protocol, hostPort)
    const details = { port: hostPort, protocol, owner: other }
    if (ours !== undefined || other === undefined || other.pid === process.pid)
      return new SlipwayError('conflict', `Bind for ${shown(hostIp, hostPort)} failed: port is already allocated`, {
        hint:
          ours === undefined ? 'Another socket of this machine has it.' : `It is published by ${ours.slice(0, 12)}.`,
        details,
      })
    return new SlipwayError(
      'conflict',
      `failed to bind host port for ${shown(hostIp, hostPort)}:${target}:${containerPort}/${protocol}: address already in use`,
      { hint: `It is in use by ${other.command}, pid ${other.pid}.`, details },
    )
  }

  /** The kernel has no say: any that none of ours has. */
  #holdByWord(port: PublishedPort, target: string): PublishedPort {
    if (port.hostPort !== 0) {
      if (this.#ownerOf(port) !== undefined) throw this.#taken(port, target)
      return port
    }
    for (let hostPort = ephemeral.first; hostPort <= ephemeral.last; hostPort++)
      if (this.#ownerOf({ ...port, hostPort }) === undefined) return { ...port, hostPort }
    throw this.#taken(port, target)
  }

  /** A taken port: 'conflict', naming its owner. `target` is for the message. */
  async hold(port: PublishedPort, target: string): Promise<Held> {
    if (port.protocol === 'sctp') return { port: this.#holdByWord(port, target), held: undefined }
    const { hostIp, hostPort } = port
    try {
      const held = await holdPort(hostIp, hostPort, port.protocol)
      return { port: { ...port, hostPort: held.port }, held }
    } catch (error) {
      if (!(error instanceof BindError)) throw error
      if (error.errno === 'EADDRINUSE') throw this.#taken(port, target)
      const why = error.errno === 'EADDRNOTAVAIL' ? 'cannot assign requested address' : error.errno
      throw new SlipwayError(
        'invalid',
        `failed to bind host port for ${shown(hostIp, hostPort)}:${target}:${port.containerPort}/${port.protocol}: ${why}`,
        {
          hint: error.errno === 'EADDRNOTAVAIL' ? `${hostIp} is not an address of this machine.` : undefined,
          details: { port: hostPort, protocol: port.protocol },
          cause: error,
        },
      )
    }
  }

  /** The first free one of the range. */
  async first({ hostPortEnd = 0, ...port }: PublishedPort, target: string): Promise<Held> {
    const last = Math.max(port.hostPort, hostPortEnd)
    for (let hostPort = port.hostPort; ; hostPort++) {
      try {
        return await this.hold({ ...port, hostPort }, target)
      } catch (error) {
        if (hostPort >= last) throw error
      }
    }
  }
}
