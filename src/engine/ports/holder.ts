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

const ownerKey = (protocol: string, port: number): string => `${protocol} ${port}`

/** Takes ports of this machine, and knows who of ours has which. */
export class Holder {
  /** For messages, and for SCTP, which no socket holds. */
  readonly #owners = new Map<string, string>()

  give(sandboxId: string, ports: readonly PublishedPort[]): void {
    for (const port of ports) this.#owners.set(ownerKey(port.protocol, port.hostPort), sandboxId)
  }
  forget(sandboxId: string): void {
    for (const [key, owner] of this.#owners) if (owner === sandboxId) this.#owners.delete(key)
  }

  #taken(port: PublishedPort, number: number): SlipwayError {
    const ours = this.#owners.get(ownerKey(port.protocol, number))
    const other = port.protocol === 'sctp' ? undefined : portOwner(port.protocol, number)
    const who =
      ours !== undefined
        ? ` (published by ${ours.slice(0, 12)})`
        : other && other.pid !== process.pid
          ? ` (in use by ${other.command}, pid ${other.pid})`
          : ''
    return new SlipwayError(
      'conflict',
      `Bind for ${shown(port.hostIp, number)} failed: port is already allocated${who}`,
      {
        hint: 'Stop what uses the port, or publish another one.',
        details: { port: number, protocol: port.protocol, owner: other },
      },
    )
  }

  /** SCTP is held by our word alone. A taken port: 'conflict', naming its owner. */
  async hold(port: PublishedPort, number: number): Promise<HeldPort | undefined> {
    if (port.protocol === 'sctp') {
      if (number === 0)
        throw new SlipwayError('unsupported', 'a free SCTP port cannot be picked', { hint: 'Name one.' })
      if (this.#owners.has(ownerKey('sctp', number))) throw this.#taken(port, number)
      return undefined
    }
    try {
      return await holdPort(port.hostIp === '0.0.0.0' ? '0.0.0.0' : port.hostIp, number, port.protocol)
    } catch (error) {
      if (!(error instanceof BindError)) throw error
      if (error.errno === 'EADDRINUSE') throw this.#taken(port, number)
      throw new SlipwayError('invalid', `Bind for ${shown(port.hostIp, number)} failed: ${error.errno}`, {
        hint: error.errno === 'EADDRNOTAVAIL' ? `${port.hostIp} is not an address of this machine.` : undefined,
        cause: error,
      })
    }
  }

  /** The first free one of the range. */
  async first(port: PublishedPort): Promise<Held> {
    const last = Math.max(port.hostPort, port.hostPortEnd ?? port.hostPort)
    for (let number = port.hostPort; ; number++) {
      try {
        const held = await this.hold(port, number)
        const { hostPortEnd: _, ...rest } = port
        return { port: { ...rest, hostPort: held?.port ?? number }, held }
      } catch (error) {
        if (number >= last) throw error
      }
    }
  }
}
