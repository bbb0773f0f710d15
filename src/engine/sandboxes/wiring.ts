import { isError, messageOf, SlipwayError } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Sys } from '../../sys/sys.ts'
import { defaultRouteLines, endpointLines, isOnParent, kernelReason, type NetworkRoom } from '../networks/index.ts'
import type { Endpoint, Network } from '../types.ts'

export interface Wire {
  network: Network
  endpoint: Endpoint
}

/** What has to be so before the first interface appears in a new namespace. */
const prepare = (sys: Sys, netns: string): void => {
  for (const [key, value] of [
    ['net/ipv4/ping_group_range', '0 2147483647'],
    ['net/ipv4/ip_unprivileged_port_start', '0'],
    ['net/ipv6/conf/default/disable_ipv6', '1'],
  ] as const) {
    try {
      sys.links.sysctl(key, value, { netns })
    } catch (error) {
      if (!isError(error, 'not-found')) throw error // a kernel without IPv6
    }
  }
}

/** A link that a parent refuses, in docker's words. */
const portError = (error: unknown, wires: readonly Wire[]): unknown => {
  const wire = wires.find(({ network }) => isOnParent(network.spec))
  if (!wire || !isError(error, 'internal') || !error.message.includes(` type ${wire.network.spec.driver}`)) return error
  return new SlipwayError('internal', `failed to create the ${wire.network.spec.driver} port: ${kernelReason(error)}`, {
    details: { network: wire.network.spec.name },
    cause: error,
  })
}

/** Interfaces of sandboxes: makes and deletes them. */
export const createWiring = (sys: Sys, networks: NetworkRoom, log: Log) => {
  const doomed = new Set<string>()
  let deleting: Promise<void> | undefined

  /** Deleting a link waits for the kernel's readers (20 ms each); many go in one batch, and nobody waits for it. */
  const deleteDoomed = async (): Promise<void> => {
    while (doomed.size > 0) {
      const present = sys.links.names()
      const names = [...doomed].filter((name) => present.has(name))
      doomed.clear()
      try {
        await sys.links.batch(
          names.map((name) => `link del dev ${name}`),
          { force: true },
        )
      } catch (error) {
        log.warn('links stay until the next start', { names, error: messageOf(error) })
      }
    }
  }

  return {
    prepare: (netns: string): void => prepare(sys, netns),
    /** Makes the endpoints `fresh`; `all` decide on the default route. */
    async connect(netns: string, fresh: readonly Wire[], all: readonly Wire[]): Promise<void> {
      const plans = fresh.map(({ network, endpoint }) =>
        endpointLines(network, endpoint, { netns, mtu: networks.mtu(network), parent: networks.linkName(network) }),
      )
      await sys.links.batch(plans.flatMap(({ outside }) => outside)).catch((error: unknown) => {
        throw portError(error, fresh)
      })
      for (const { network, endpoint } of fresh) {
        if (network.spec.driver === 'routed') {
          // 127.0.0.1:PORT leads to a routed sandbox over its own link.
          sys.links.sysctl(`net/ipv4/conf/${endpoint.hostIfname}/route_localnet`, '1')
          // One clock for all connections, whatever address they were made to: docs/decisions/0006-one-clock-for-pods.md
          sys.links.sysctl('net/ipv4/tcp_timestamps', '2', { netns })
        }
        const six = [endpoint.ipv6, ...(endpoint.linkLocal ?? [])].some((address) => address?.includes(':'))
        if (six) sys.links.sysctl(`net/ipv6/conf/${endpoint.ifname}/disable_ipv6`, '0', { netns })
      }
      await sys.links.batch([...plans.flatMap(({ inside }) => inside), ...defaultRouteLines(all)], { netns })
      for (const { endpoint } of fresh)
        for (const [key, value] of Object.entries(endpoint.sysctls ?? {}))
          sys.links.sysctl(key.replaceAll('.', '/').replace('IFNAME', endpoint.ifname), value, { netns })
    },
    /** Takes one interface out of a running sandbox. */
    async disconnect(netns: string, gone: Endpoint, rest: readonly Wire[]): Promise<void> {
      await sys.links.batch([`link del dev ${gone.ifname}`], { netns })
      await sys.links.batch(defaultRouteLines(rest), { netns })
    },
    /** What sits on a parent is gone with it, and has no interface on our side. */
    exists: (netns: string, { endpoint }: Wire): boolean =>
      endpoint.hostIfname === ''
        ? sys.links.names({ netns }).has(endpoint.ifname)
        : sys.links.names().has(endpoint.hostIfname),
    /** Deletes links of ours in the background. */
    discard(names: readonly string[]): void {
      for (const name of names) if (name !== '') doomed.add(name)
      if (doomed.size === 0) return
      deleting ??= deleteDoomed().finally(() => (deleting = undefined))
    },
    /** Resolves when nothing is left to delete. */
    settled: async (): Promise<void> => await deleting,
  }
}
export type Wiring = ReturnType<typeof createWiring>
