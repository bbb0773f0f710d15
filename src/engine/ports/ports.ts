import { networkInterfaces } from 'node:os'
import { messageOf, SlipwayError } from '../../errors.ts'
import { BindError, type HeldPort, holdPort, portOwner } from '../../lib/host-ports/index.ts'
import type { Log } from '../../lib/log.ts'
import type { Firewall } from '../../sys/sys.ts'
import { type Element, elementsOfPublication, type RulesKeeper } from '../networks/index.ts'
import type { PublishedPort } from '../types.ts'

/** Where a sandbox's published ports lead. */
export interface PortTargets {
  ipv4?: string | undefined
  ipv6?: string | undefined
  /** On a bridge, as opposed to a route of its own. */
  bridged: boolean
}
export interface Ports {
  /** All of them or none. Returns them as bound. A taken port: 'conflict', naming the port and its owner. */
  publish(sandboxId: string, ports: readonly PublishedPort[], targets: PortTargets): Promise<PublishedPort[]>
  /** After a restart of ours: what was promised stays, even where somebody took the port meanwhile. */
  adopt(sandboxId: string, ports: readonly PublishedPort[], targets: PortTargets): Promise<void>
  withdraw(sandboxId: string): Promise<void>
  /** Lets go of the sockets; the kernel's rules stay. */
  close(): void
}

interface Published {
  held: HeldPort[]
  elements: Element[]
}

const shown = (hostIp: string, port: number): string =>
  `${hostIp === '' ? '0.0.0.0' : hostIp.includes(':') ? `[${hostIp}]` : hostIp}:${port}`

export const createPorts = (rules: RulesKeeper, firewall: Firewall, log: Log): Ports => {
  const published = new Map<string, Published>()
  /** Who of ours has a port: for messages, and for SCTP, which no socket holds. */
  const owners = new Map<string, string>()
  const ownerKey = (protocol: string, port: number): string => `${protocol} ${port}`

  const taken = (port: PublishedPort, number: number): SlipwayError => {
    const ours = owners.get(ownerKey(port.protocol, number))
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

  const holdOne = async (port: PublishedPort, number: number): Promise<HeldPort | undefined> => {
    if (port.protocol === 'sctp') {
      if (number === 0)
        throw new SlipwayError('unsupported', 'a free SCTP port cannot be picked', { hint: 'Name one.' })
      if (owners.has(ownerKey('sctp', number))) throw taken(port, number)
      return undefined
    }
    try {
      return await holdPort(port.hostIp === '0.0.0.0' ? '0.0.0.0' : port.hostIp, number, port.protocol)
    } catch (error) {
      if (!(error instanceof BindError)) throw error
      if (error.errno === 'EADDRINUSE') throw taken(port, number)
      throw new SlipwayError('invalid', `Bind for ${shown(port.hostIp, number)} failed: ${error.errno}`, {
        hint: error.errno === 'EADDRNOTAVAIL' ? `${port.hostIp} is not an address of this machine.` : undefined,
        cause: error,
      })
    }
  }

  /** The first free one of the range. */
  const hold = async (port: PublishedPort): Promise<{ port: PublishedPort; held: HeldPort | undefined }> => {
    const last = Math.max(port.hostPort, port.hostPortEnd ?? port.hostPort)
    for (let number = port.hostPort; ; number++) {
      try {
        const held = await holdOne(port, number)
        const { hostPortEnd: _, ...rest } = port
        return { port: { ...rest, hostPort: held?.port ?? number }, held }
      } catch (error) {
        if (number >= last) throw error
      }
    }
  }

  const connect = (held: HeldPort, port: PublishedPort, targets: PortTargets): void => {
    const address = targets.ipv4 ?? targets.ipv6
    held.target = () => (address === undefined ? undefined : { address, port: port.containerPort })
    // An IPv4 client here means that the kernel has lost our rules.
    held.onStray = () => void rules.check().catch((error: unknown) => log.warn('rules', { error: messageOf(error) }))
  }

  const elementsOf = (port: PublishedPort, targets: PortTargets): Element[] =>
    [targets.ipv4, targets.ipv6].flatMap((target) => {
      if (target === undefined) return []
      const { hostIp, hostPort, protocol, containerPort } = port
      const publication = { hostIp, hostPort, protocol, target, targetPort: containerPort }
      return elementsOfPublication(publication, { bridged: targets.bridged })
    })

  /** UDP flows the kernel remembers go on to where the port led before, or nowhere. */
  const forgetFlows = async (ports: readonly PublishedPort[]): Promise<void> => {
    const udp = ports.filter(({ protocol }) => protocol === 'udp')
    if (udp.length === 0) return
    const local = Object.values(networkInterfaces())
      .flatMap((links) => links ?? [])
      .filter(({ family }) => family === 'IPv4')
      .map(({ address }) => address)
    for (const { hostIp, hostPort } of udp)
      for (const address of hostIp === '' || hostIp === '0.0.0.0' ? local : hostIp.includes(':') ? [] : [hostIp])
        await firewall.forget(['-p', 'udp', '-d', address, '--orig-port-dst', String(hostPort)])
  }

  const remember = (
    sandboxId: string,
    ports: readonly PublishedPort[],
    held: HeldPort[],
    elements: Element[],
  ): void => {
    published.set(sandboxId, { held, elements })
    for (const port of ports) owners.set(ownerKey(port.protocol, port.hostPort), sandboxId)
  }

  return {
    async publish(sandboxId, ports, targets) {
      if (ports.length === 0) return []
      const done: Awaited<ReturnType<typeof hold>>[] = []
      try {
        for (const port of ports) done.push(await hold(port))
        const bound = done.map(({ port }) => port)
        for (const { held, port } of done) if (held) connect(held, port, targets)
        const elements = bound.flatMap((port) => elementsOf(port, targets))
        await rules.change({ add: elements })
        const held = done.flatMap(({ held }) => held ?? [])
        remember(sandboxId, bound, held, elements)
        await forgetFlows(bound)
        return bound
      } catch (error) {
        for (const { held } of done) held?.close()
        throw error
      }
    },
    async adopt(sandboxId, ports, targets) {
      if (ports.length === 0) return
      const held: HeldPort[] = []
      for (const port of ports) {
        try {
          const one = await holdOne(port, port.hostPort)
          if (one) connect(one, port, targets)
          if (one) held.push(one)
        } catch (error) {
          log.warn('published port is no longer ours to hold', { sandbox: sandboxId, error: messageOf(error) })
        }
      }
      const elements = ports.flatMap((port) => elementsOf(port, targets))
      await rules.change({ add: elements })
      remember(sandboxId, ports, held, elements)
    },
    async withdraw(sandboxId) {
      const mine = published.get(sandboxId)
      if (!mine) return
      published.delete(sandboxId)
      for (const [key, owner] of owners) if (owner === sandboxId) owners.delete(key)
      try {
        await rules.change({ remove: mine.elements })
      } finally {
        for (const held of mine.held) held.close()
      }
    },
    close() {
      for (const { held } of published.values()) for (const one of held) one.close()
    },
  }
}
