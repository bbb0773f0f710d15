import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { messageOf, SlipwayError } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { EngineDeps } from '../deps.ts'
import type { Attachment, Endpoint, Network, NetworkSpec, Networks } from '../types.ts'
import { createRulesKeeper, elementsOfNetwork, type RulesKeeper } from './firewall.ts'
import { anchorName, bridgeName, macOf, networkLines, vethName } from './links.ts'
import { withMachineLock } from './machine-lock.ts'
import { defaultMtu } from './mtu.ts'
import { createRecords, type StoredNetwork } from './records.ts'
import {
  candidates,
  defaultGateway,
  firstFree,
  formatBlock,
  freeAddress,
  isIn,
  parseBlock,
  takenByHost,
  uniqueLocal,
} from './subnets.ts'
import { checkWanted, validateSpec } from './validate.ts'

/** What sandboxes need of networks besides what everybody sees. */
export interface NetworkRoom extends Networks {
  rules: RulesKeeper
  must(reference: string): Network
  /** Makes the network's interfaces if they are missing (after a reboot, or deleted by hand). */
  bringUp(networkId: string): Promise<Network>
  /** Records an endpoint with addresses of its own. 'conflict' when an address asked for is in use. */
  reserve(
    sandboxId: string,
    name: string,
    attachment: Attachment,
    ifname: string,
  ): { network: Network; endpoint: Endpoint }
  release(networkId: string, sandboxId: string): void
  rename(sandboxId: string, name: string): void
  endpointsOf(sandboxId: string): { network: Network; endpoint: Endpoint }[]
  mtu(network: Network): number
  /** Links with our prefix that may stay. */
  ownLinks(): Set<string>
  recover(): Promise<void>
}

/** The three that are always there, as docker has them. */
const predefined: NetworkSpec[] = (['bridge', 'host', 'none'] as const).map((name) => ({
  name,
  driver: name === 'none' ? 'null' : name,
  internal: false,
  attachable: false,
  ipv6: false,
  ipam: [],
  options: {},
  labels: {},
  dns: false,
}))

export const createNetworks = (deps: EngineDeps): NetworkRoom => {
  const { instance, sys, events, clock } = deps
  const log = deps.log.room('networks')
  const records = createRecords(deps.db)
  const rules = createRulesKeeper(instance, sys.firewall, log)
  const locks = new KeyedMutex()
  const up = new Set<string>()
  /** The last address given on a routed network: pods get fresh ones, so that nothing meets a predecessor's connections. */
  const lastGiven = new Map<string, string>()

  const get: Networks['get'] = (reference) => {
    const exact = records.networks.get(reference)
    if (exact) return exact
    const all = [...records.networks.values()]
    const named = all.find((network) => network.spec.name === reference)
    if (named) return named
    const matches = reference.length >= 1 ? all.filter((network) => network.id.startsWith(reference)) : []
    return matches.length === 1 ? matches[0] : undefined
  }
  const must = (reference: string): StoredNetwork => {
    const network = get(reference)
    if (!network) throw new SlipwayError('not-found', `network ${reference} not found`)
    return network as StoredNetwork
  }

  const linkName = (network: Pick<Network, 'id' | 'spec'>): string =>
    network.spec.driver === 'routed'
      ? anchorName(instance, network.id)
      : (network.spec.options['com.docker.network.bridge.name'] ?? bridgeName(instance, network.id))

  const mtu = (network: Network): number => {
    const wanted = Number(network.spec.options['com.docker.network.driver.mtu'])
    return wanted >= 68 ? wanted : defaultMtu()
  }

  const pickSubnets = async (spec: NetworkSpec, id: string): Promise<Network['subnets']> => {
    const given = spec.ipam.filter(({ subnet }) => subnet !== undefined)
    const subnets = given.map(({ subnet, gateway }) => {
      const block = parseBlock(subnet!)!
      return { subnet: formatBlock(block), gateway: gateway ?? defaultGateway(block) }
    })
    if (!subnets.some(({ subnet }) => !subnet.includes(':'))) {
      const host = await takenByHost(sys.links, (link) => link === linkName({ id, spec }))
      const known = [...records.networks.values()]
        .filter((network) => network.id !== id)
        .flatMap((network) => network.subnets.map(({ subnet }) => parseBlock(subnet)!))
      const block = firstFree(candidates(spec), [...host, ...known])
      if (!block)
        throw new SlipwayError('unavailable', 'all predefined address pools have been fully subnetted', {
          hint: 'Remove unused networks, or give the network a subnet.',
        })
      subnets.unshift({ subnet: formatBlock(block), gateway: defaultGateway(block) })
    }
    if (spec.ipv6 && !subnets.some(({ subnet }) => subnet.includes(':'))) {
      const block = uniqueLocal(id)
      subnets.push({ subnet: formatBlock(block), gateway: defaultGateway(block) })
    }
    return subnets
  }

  const hasLinks = ({ spec }: Network): boolean => spec.driver === 'bridge' || spec.driver === 'routed'

  /** Forwarding is the one thing we turn on for the whole machine; routers announce themselves still where they did. */
  const allowForwarding = (six: boolean): void => {
    if (readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim() === '0')
      sys.links.sysctl('net/ipv4/ip_forward', '1')
    if (!six || readFileSync('/proc/sys/net/ipv6/conf/all/forwarding', 'utf8').trim() === '1') return
    for (const line of readFileSync('/proc/net/if_inet6', 'utf8').trim().split('\n')) {
      const link = line.trim().split(/\s+/)[5]
      const key = `net/ipv6/conf/${link}/accept_ra`
      if (link !== undefined && readFileSync(`/proc/sys/${key}`, 'utf8').trim() === '1') sys.links.sysctl(key, '2')
    }
    sys.links.sysctl('net/ipv6/conf/all/forwarding', '1')
  }

  const makeLinks = async (network: StoredNetwork): Promise<void> => {
    const name = linkName(network)
    const present = existsSync(`/sys/class/net/${name}`)
    await sys.links.batch(networkLines(network, mtu(network), name, present))
    if (network.spec.driver === 'bridge') {
      // For 127.0.0.1:PORT; the table's raw chain keeps sandboxes from reaching the host's own loopback by it.
      sys.links.sysctl(`net/ipv4/conf/${name}/route_localnet`, '1')
      const six = network.subnets.some(({ subnet }) => subnet.includes(':'))
      if (!six && existsSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`))
        sys.links.sysctl(`net/ipv6/conf/${name}/disable_ipv6`, '1')
    }
    allowForwarding(network.subnets.some(({ subnet }) => subnet.includes(':')))
  }

  const bringUp = async (networkId: string): Promise<Network> => {
    const known = must(networkId)
    if (!hasLinks(known)) return known
    if (up.has(networkId) && existsSync(`/sys/class/net/${linkName(known)}`)) return known
    return await locks.run(networkId, async () => {
      const network = must(networkId)
      // Picked long ago, or by another instance at the same moment: while nobody is on it, it can still move.
      const movable = network.picked && records.endpointsOf(networkId).size === 0
      const made = movable ? await withMachineLock(clock, () => settleSubnets(network)) : network
      if (!movable) await makeLinks(made)
      await rules.change({ add: elementsOfNetwork(made) })
      up.add(networkId)
      return made
    })
  }

  /** Picks again if somebody else has the subnet by now, and takes it. */
  const settleSubnets = async (network: StoredNetwork): Promise<StoredNetwork> => {
    const host = await takenByHost(sys.links, (link) => link === linkName(network))
    const clash = network.subnets.some(({ subnet }) => firstFree([parseBlock(subnet)!], host) === undefined)
    let settled = network
    if (clash || network.subnets.length === 0) {
      await rules.change({ remove: elementsOfNetwork(network) })
      settled = { ...network, subnets: await pickSubnets(network.spec, network.id) }
      records.save(settled)
      const name = linkName(network)
      if (existsSync(`/sys/class/net/${name}`)) await sys.links.batch([`addr flush dev ${name}`])
    }
    await makeLinks(settled)
    return settled
  }

  const add = async (spec: NetworkSpec): Promise<StoredNetwork> => {
    const id = randomBytes(32).toString('hex')
    const addressed = spec.driver !== 'null' && spec.driver !== 'host'
    const network: StoredNetwork = {
      id,
      spec,
      createdAt: clock.now(),
      subnets: addressed ? await pickSubnets(spec, id) : [],
      picked: !spec.ipam.some(({ subnet }) => subnet !== undefined),
      ...(spec.driver === 'bridge' ? { bridge: linkName({ id, spec }) } : {}),
    }
    records.save(network)
    return network
  }

  const create = async (spec: NetworkSpec): Promise<Network> => {
    // One at a time, so that two never pick the same subnet.
    const network = await locks.run('create', async () => {
      validateSpec(spec, records.networks.values())
      const made = await add(spec)
      try {
        return await bringUp(made.id)
      } catch (error) {
        await takeDown(made)
        records.delete(made.id)
        throw error
      }
    })
    events.emit({
      type: 'network',
      action: 'create',
      id: network.id,
      attributes: { name: spec.name, type: spec.driver },
    })
    return network
  }

  const takeDown = async (network: StoredNetwork): Promise<void> => {
    if (!hasLinks(network)) return
    await rules.change({ remove: elementsOfNetwork(network) })
    up.delete(network.id)
    if (existsSync(`/sys/class/net/${linkName(network)}`)) await sys.links.batch([`link del dev ${linkName(network)}`])
  }

  const remove = async (reference: string): Promise<void> => {
    const network = must(reference)
    if (predefined.some(({ name }) => name === network.spec.name))
      throw new SlipwayError('forbidden', `${network.spec.name} is a pre-defined network and cannot be removed`)
    await locks.run(network.id, async () => {
      const active = [...records.endpointsOf(network.id).values()]
      if (active.length > 0)
        throw new SlipwayError(
          'conflict',
          `error while removing network: network ${network.spec.name} has active endpoints (${active.map(({ name, sandboxId }) => `name:"${name}" id:"${sandboxId.slice(0, 12)}"`).join(', ')})`,
          { hint: 'Stop or disconnect them first.' },
        )
      // Gone from the records first: links without a record are removed by the next recover.
      records.delete(network.id)
      await takeDown(network)
    })
    const attributes = { name: network.spec.name, type: network.spec.driver }
    events.emit({ type: 'network', action: 'destroy', id: network.id, attributes })
  }

  const address = (network: StoredNetwork, family: 4 | 6, wanted: string | undefined): string | undefined => {
    const mine = network.subnets.find(({ subnet }) => subnet.includes(':') === (family === 6))
    if (!mine) return undefined
    const pool = network.spec.ipam.find(({ subnet }) => subnet !== undefined && subnet.includes(':') === (family === 6))
    const used = [...records.endpointsOf(network.id).values()].map(({ endpoint }) =>
      family === 4 ? endpoint.ipv4 : endpoint.ipv6,
    )
    const taken = new Set([
      ...used.filter((text) => text !== undefined),
      mine.gateway,
      ...Object.values(pool?.auxAddresses ?? {}),
    ])
    if (wanted !== undefined) {
      checkWanted(wanted, network)
      if (taken.has(wanted))
        throw new SlipwayError('conflict', 'Address already in use', { details: { address: wanted } })
      return wanted
    }
    const range = pool?.ipRange === undefined ? undefined : parseBlock(pool.ipRange)
    const after = network.spec.driver === 'routed' ? lastGiven.get(network.id) : undefined
    const picked = freeAddress({ subnet: parseBlock(mine.subnet)!, range, taken, after })
    if (picked === undefined)
      throw new SlipwayError(
        'no-space',
        `no available IPv${family} addresses on this network's address pools: ${network.spec.name} (${network.id})`,
      )
    if (family === 4) lastGiven.set(network.id, picked)
    return picked
  }

  const reserve: NetworkRoom['reserve'] = (sandboxId, name, attachment, ifname) => {
    const network = must(attachment.network)
    if (records.endpointsOf(network.id).has(sandboxId))
      throw new SlipwayError('forbidden', `endpoint with name ${name} already exists in network ${network.spec.name}`)
    const ipv4 = address(network, 4, attachment.ipv4)
    const ipv6 = address(network, 6, attachment.ipv6)
    const prefixLength = (text: string): number =>
      network.spec.driver === 'routed'
        ? text.includes(':')
          ? 128
          : 32
        : parseBlock(network.subnets.find(({ subnet }) => isIn(parseBlock(subnet)!, text))!.subnet)!.prefix
    const gateway = (family: 4 | 6): string | undefined =>
      network.spec.driver === 'routed'
        ? family === 4
          ? '169.254.1.1'
          : 'fe80::1'
        : network.subnets.find(({ subnet }) => subnet.includes(':') === (family === 6))?.gateway
    const endpoint: Endpoint = {
      networkId: network.id,
      networkName: network.spec.name,
      ifname,
      hostIfname: hasLinks(network) ? vethName(instance, network, sandboxId, randomBytes(4).toString('hex')) : '',
      mac: attachment.mac?.toLowerCase() ?? macOf(ipv4, `${network.id}/${sandboxId}`),
      ...(ipv4 === undefined ? {} : { ipv4, ipv4PrefixLength: prefixLength(ipv4), gateway4: gateway(4) }),
      ...(ipv6 === undefined ? {} : { ipv6, ipv6PrefixLength: prefixLength(ipv6), gateway6: gateway(6) }),
      aliases: attachment.aliases,
    }
    records.saveEndpoint({ sandboxId, name, endpoint })
    return { network, endpoint }
  }

  const endpointsOf: NetworkRoom['endpointsOf'] = (sandboxId) => {
    const found = [...records.networks.values()].flatMap((network) => {
      const stored = records.endpointsOf(network.id).get(sandboxId)
      return stored ? [{ network, endpoint: stored.endpoint }] : []
    })
    return found.sort((a, b) => a.endpoint.ifname.localeCompare(b.endpoint.ifname, 'en', { numeric: true }))
  }

  return {
    create,
    get,
    must,
    list: () => [...records.networks.values()],
    remove,
    endpoints: (reference) => [...records.endpointsOf(must(reference).id).values()],
    rules,
    bringUp,
    reserve,
    release: (networkId, sandboxId) => records.deleteEndpoint(networkId, sandboxId),
    rename(sandboxId, name) {
      for (const { endpoint } of endpointsOf(sandboxId)) records.saveEndpoint({ sandboxId, name, endpoint })
    },
    endpointsOf,
    mtu,
    ownLinks: () => new Set([...records.networks.values()].filter(hasLinks).map(linkName)),
    async recover() {
      for (const spec of predefined) if (!get(spec.name)) await add(spec)
      for (const network of records.networks.values()) {
        // The default bridge is made when somebody first uses it: a cluster alone does not need it.
        if (network.spec.name === 'bridge' && records.endpointsOf(network.id).size === 0) continue
        try {
          await bringUp(network.id)
        } catch (error) {
          // It is tried again when somebody uses it; the others must not wait for that.
          log.error('cannot bring a network up', { network: network.spec.name, error: messageOf(error) })
        }
      }
    },
  }
}
