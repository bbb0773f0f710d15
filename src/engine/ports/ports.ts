import { networkInterfaces } from 'node:os'
import { messageOf } from '../../errors.ts'
import type { HeldPort } from '../../lib/host-ports/index.ts'
import type { Log } from '../../lib/log.ts'
import type { Firewall } from '../../sys/sys.ts'
import { type Element, elementsOfPublication, elementsOfRouted, type RulesKeeper } from '../networks/index.ts'
import type { PublishedPort } from '../types.ts'
import { type Held, Holder } from './holder.ts'

/** Where a sandbox's published ports lead. */
export interface PortTargets {
  ipv4?: string | undefined
  ipv6?: string | undefined
  /** On a bridge, as opposed to a route of its own. */
  bridged: boolean
  /** Families whose addresses others have a route to: a published port is open there, and takes none of the machine's. */
  routed: readonly (4 | 6)[]
  /** Where ports go that do not say; '' is everywhere. */
  hostBinding: string
  /** Connections are accepted by the held socket, and so by the machine's input rules, instead of being translated. */
  throughInput: boolean
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

export const createPorts = (rules: RulesKeeper, firewall: Firewall, log: Log): Ports => {
  const published = new Map<string, Published>()
  const holder = new Holder()

  const connect = (held: HeldPort, port: PublishedPort, targets: PortTargets): void => {
    const address = targets.ipv4 ?? targets.ipv6
    held.target = () => (address === undefined ? undefined : { address, port: port.containerPort })
    if (targets.throughInput || targets.ipv4 === undefined) return
    // An IPv4 client here means that the kernel has lost our rules.
    held.onStray = () => void rules.check().catch((error: unknown) => log.warn('rules', { error: messageOf(error) }))
  }

  const remember = (sandboxId: string, ports: readonly PublishedPort[], { held, elements }: Published): void => {
    published.set(sandboxId, { held, elements })
    holder.give(sandboxId, ports)
  }

  return {
    async publish(sandboxId, ports, targets) {
      if (ports.length === 0) return []
      const done: Held[] = []
      try {
        for (const port of ports) done.push(await take(holder, port, targets))
        const bound = done.map(({ port }) => port)
        for (const { held, port } of done) if (held) connect(held, port, targets)
        const elements = bound.flatMap((port) => elementsOf(port, targets))
        await rules.change({ add: elements })
        const held = done.flatMap(({ held }) => held ?? [])
        remember(sandboxId, bound, { held, elements })
        await forgetFlows(firewall, bound)
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
          const one = takesHostPort(targets) ? (await holder.hold(port, targets.ipv4 ?? '')).held : undefined
          if (one) connect(one, port, targets)
          if (one) held.push(one)
        } catch (error) {
          log.warn('published port is no longer ours to hold', { sandbox: sandboxId, error: messageOf(error) })
        }
      }
      const elements = ports.flatMap((port) => elementsOf(port, targets))
      await rules.change({ add: elements })
      remember(sandboxId, ports, { held, elements })
    },
    async withdraw(sandboxId) {
      const mine = published.get(sandboxId)
      if (!mine) return
      published.delete(sandboxId)
      holder.forget(sandboxId)
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

const familyOf = (target: string): 4 | 6 => (target.includes(':') ? 6 : 4)
const targetsIn = ({ ipv4, ipv6 }: PortTargets): string[] => [ipv4, ipv6].filter((target) => target !== undefined)

const takesHostPort = (targets: PortTargets): boolean =>
  targetsIn(targets).some((target) => !targets.routed.includes(familyOf(target)))

const bindingOf = (port: PublishedPort, { hostBinding }: PortTargets): PublishedPort =>
  port.hostIp === '' ? { ...port, hostIp: hostBinding } : port

const take = async (holder: Holder, port: PublishedPort, targets: PortTargets): Promise<Held> => {
  const { hostPortEnd: _, ...rest } = port
  if (!takesHostPort(targets)) return { port: { ...rest, hostPort: 0 }, held: undefined }
  return await holder.first(bindingOf(port, targets), targets.ipv4 ?? targets.ipv6 ?? '')
}

const elementsOf = (port: PublishedPort, targets: PortTargets): Element[] =>
  targetsIn(targets).flatMap((target) => {
    const { hostIp, hostPort, protocol, containerPort } = port
    const publication = { hostIp, hostPort, protocol, target, targetPort: containerPort }
    if (targets.routed.includes(familyOf(target))) return elementsOfRouted(publication)
    return targets.throughInput && protocol !== 'sctp' ? [] : elementsOfPublication(publication, targets)
  })

/** UDP flows the kernel remembers go on to where the port led before, or nowhere. */
const forgetFlows = async (firewall: Firewall, ports: readonly PublishedPort[]): Promise<void> => {
  const udp = ports.filter(({ protocol, hostPort }) => protocol === 'udp' && hostPort !== 0)
  if (udp.length === 0) return
  const local = Object.values(networkInterfaces())
    .flatMap((links) => links ?? [])
    .map(({ address }) => address)
    .filter((address) => !address.startsWith('fe80:'))
  const addresses = (hostIp: string): string[] => {
    if (hostIp === '') return local
    if (hostIp === '0.0.0.0' || hostIp === '::') return local.filter((each) => familyOf(each) === familyOf(hostIp))
    return [hostIp]
  }
  for (const { hostIp, hostPort } of udp)
    for (const address of addresses(hostIp)) {
      const family = familyOf(address) === 6 ? ['-f', 'ipv6'] : []
      await firewall.forget([...family, '-p', 'udp', '-d', address, '--orig-port-dst', String(hostPort)])
    }
}
