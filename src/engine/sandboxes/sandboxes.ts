import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, SlipwayError } from '../../errors.ts'
import { isLoopback, parseResolvConf } from '../../lib/dns/index.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { NamespaceKind } from '../../sys/sys.ts'
import type { EngineDeps } from '../deps.ts'
import { createNames, resolverAddress } from '../names/index.ts'
import type { NetworkRoom } from '../networks/index.ts'
import { createPorts, type PortTargets } from '../ports/index.ts'
import type { Attachment, Endpoint, PublishedPort, Sandbox, Sandboxes, SandboxSpec } from '../types.ts'
import { hostsLine, renderHosts, renderResolvConf, withoutAddress } from './files.ts'
import { createSandboxRecords, type StoredSandbox } from './records.ts'
import { createWiring, type Wire } from './wiring.ts'

export interface SandboxRoom extends Sandboxes {
  /** After the networks' own: takes over live sandboxes, marks dead ones stopped, deletes what nobody owns. */
  recover(): Promise<void>
  /** Lets go of sockets and timers; sandboxes and their rules stay. Resolves when links being deleted are gone. */
  close(): Promise<void>
}

const NSFS_MAGIC = 0x6e736673
const checkEveryMs = 30_000
const defaultShmSize = 64 << 20

const hostResolvConf = () => {
  try {
    return parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'))
  } catch {
    return { servers: [], searches: [], options: [] }
  }
}
const isPinned = (path: string): boolean => {
  try {
    return statfsSync(path).type === NSFS_MAGIC
  } catch {
    return false
  }
}
const ownKinds = ({ network, hostIpc }: SandboxSpec): NamespaceKind[] => [
  ...(network.mode === 'none' || network.mode === 'attached' ? (['net'] as const) : []),
  ...(hostIpc ? [] : (['ipc'] as const)),
  'uts',
]
const addressesOf = ({ ipv4, ipv6 }: Endpoint): string[] => [ipv4, ipv6].filter((address) => address !== undefined)

export const createSandboxes = (deps: EngineDeps, networks: NetworkRoom): SandboxRoom => {
  const { instance, sys, events } = deps
  const log = deps.log.room('sandboxes')
  const records = createSandboxRecords(deps.db)
  const wiring = createWiring(sys, networks, log)
  const names = createNames({ sys, clock: deps.clock, log })
  const ports = createPorts(networks.rules, sys.firewall, log)
  const locks = new KeyedMutex()
  const root = join(instance.runDir, 'sandboxes')
  let checking: NodeJS.Timeout | undefined

  const dirOf = (id: string): string => join(root, id)
  const must = (id: string): StoredSandbox => {
    const record = records.all.get(id)
    if (!record) throw new SlipwayError('not-found', `no such sandbox: ${id}`)
    return record
  }
  /** The sandbox whose network namespace and files this one uses. */
  const ownerOf = (spec: SandboxSpec): string => (spec.network.mode === 'sandbox' ? spec.network.id : spec.id)

  const describe = (record: StoredSandbox): Sandbox => {
    const { spec, state } = record
    const dir = dirOf(spec.id)
    const shared = dirOf(ownerOf(spec))
    const kinds = ownKinds(spec)
    const mode = spec.network.mode
    return {
      spec,
      state,
      endpoints: networks.endpointsOf(spec.id).map(({ endpoint }) => endpoint),
      ports: record.ports,
      namespaces: {
        net: mode === 'host' ? undefined : join(shared, 'net'),
        ipc: kinds.includes('ipc') ? join(dir, 'ipc') : undefined,
        uts: join(dir, 'uts'),
      },
      files: {
        hosts: join(shared, 'hosts'),
        resolvConf: join(shared, 'resolv.conf'),
        hostname: join(shared, 'hostname'),
        shm: spec.hostIpc ? '/dev/shm' : join(dir, 'shm'),
      },
    }
  }

  const eachOf = (record: StoredSandbox): string[] => {
    const { spec } = record
    return [...record.names, spec.hostname, spec.id.slice(0, 12)]
  }
  const join_ = (record: StoredSandbox, { network, endpoint }: Wire): void => {
    if (!network.spec.dns) return
    const all = [...eachOf(record), ...endpoint.aliases].filter((name) => name !== '').map((name) => name.toLowerCase())
    names.table.join({
      networkId: network.id,
      networkName: network.spec.name,
      sandboxId: record.spec.id,
      names: [...new Set(all)],
      ipv4: endpoint.ipv4,
      ipv6: endpoint.ipv6,
    })
  }

  /** Does our resolver serve it? On networks with names, and where the host's own servers cannot be reached from inside. */
  const needsResolver = (spec: SandboxSpec, wires: readonly Wire[]): boolean =>
    wires.some(({ network }) => network.spec.dns) ||
    (spec.network.mode === 'attached' &&
      spec.dns.servers.length === 0 &&
      wires.length > 0 &&
      hostResolvConf().servers.every(isLoopback))

  const serveNames = async (spec: SandboxSpec): Promise<void> => {
    await names.serve(spec.id, join(dirOf(spec.id), 'net'), {
      servers: spec.dns.servers,
      allowed: () => networks.endpointsOf(spec.id).some(({ network }) => !network.spec.internal),
    })
  }

  const targetsOf = (wires: readonly Wire[]): (PortTargets & { networkId: string }) | undefined => {
    const wire = wires.find(
      ({ network }) => !network.spec.internal && network.spec.driver !== 'macvlan' && network.spec.driver !== 'ipvlan',
    )
    if (!wire) return undefined
    const { ipv4, ipv6 } = wire.endpoint
    return { ipv4, ipv6, bridged: wire.network.spec.driver === 'bridge', networkId: wire.network.id }
  }

  /** 'sandbox:ID' is the first address of another one; a line for one without addresses is left out. */
  const linked = (spec: SandboxSpec): SandboxSpec => ({
    ...spec,
    hosts: spec.hosts.flatMap(({ name, address }) => {
      if (!address.startsWith('sandbox:')) return [{ name, address }]
      const [wire] = networks.endpointsOf(address.slice('sandbox:'.length))
      return wire
        ? addressesOf(wire.endpoint)
            .slice(0, 1)
            .map((found) => ({ name, address: found }))
        : []
    }),
  })

  const writeFiles = (spec: SandboxSpec, wires: readonly Wire[]): void => {
    const dir = dirOf(spec.id)
    const host = spec.network.mode === 'host'
    const gateway = wires[0]?.network.subnets[0]?.gateway ?? '127.0.0.1'
    const base = host ? readFileSync('/etc/hosts', 'utf8') : undefined
    const addresses = wires.flatMap(({ endpoint }) => addressesOf(endpoint))
    const resolver = needsResolver(spec, wires) ? resolverAddress : undefined
    const question = { spec, host: hostResolvConf(), resolver, hostNetwork: host }
    writeFileSync(join(dir, 'hosts'), renderHosts(linked(spec), addresses, gateway, base))
    writeFileSync(join(dir, 'resolv.conf'), renderResolvConf(question))
    writeFileSync(join(dir, 'hostname'), `${spec.hostname}\n`)
  }

  const emit = (action: 'connect' | 'disconnect', sandboxId: string, { network }: Wire): void =>
    events.emit({
      type: 'network',
      action,
      id: network.id,
      attributes: { container: sandboxId, name: network.spec.name, type: network.spec.driver },
    })

  /** Removes everything a start makes, whether or not all of it is there. */
  const takeDown = async (spec: SandboxSpec): Promise<void> => {
    const wires = networks.endpointsOf(spec.id)
    names.stop(spec.id)
    for (const { network } of wires) names.table.leave(network.id, spec.id)
    await ports.withdraw(spec.id)
    sys.namespaces.remove(dirOf(spec.id))
    wiring.discard(wires.map(({ endpoint }) => endpoint.hostIfname))
    sys.mounts.unmount(join(dirOf(spec.id), 'shm'), { detach: true })
    rmSync(dirOf(spec.id), { recursive: true, force: true })
    for (const { network } of wires) networks.release(network.id, spec.id)
  }

  const nextIfname = (used: readonly string[]): string => {
    for (let i = 0; ; i++) if (!used.includes(`eth${i}`)) return `eth${i}`
  }

  const reserveAll = async (record: StoredSandbox): Promise<Wire[]> => {
    const { spec } = record
    if (spec.network.mode !== 'attached') return []
    const wires: Wire[] = []
    for (const attachment of spec.network.attachments) {
      await networks.bringUp(networks.must(attachment.network).id)
      const ifname = attachment.ifname ?? nextIfname(wires.map(({ endpoint }) => endpoint.ifname))
      wires.push(networks.reserve(spec.id, record.names[0] ?? spec.hostname, attachment, ifname))
    }
    return wires
  }

  const applySysctls = (spec: SandboxSpec, netns: string): void => {
    // Those of the IPC namespace are for whoever starts processes in it.
    for (const [key, value] of Object.entries(spec.sysctls))
      if (key.startsWith('net.')) sys.links.sysctl(key.replaceAll('.', '/'), value, { netns })
  }

  const build = async (record: StoredSandbox): Promise<void> => {
    const { spec } = record
    const dir = dirOf(spec.id)
    mkdirSync(dir, { recursive: true, mode: 0o711 })
    if (spec.network.mode === 'sandbox' && records.all.get(spec.network.id)?.state !== 'ready')
      throw new SlipwayError('conflict', `cannot join network of a non running container: ${spec.network.id}`)
    const kinds = ownKinds(spec)
    sys.namespaces.create(dir, kinds, { hostname: spec.hostname })
    if (!spec.hostIpc) {
      mkdirSync(join(dir, 'shm'), { mode: 0o1777 })
      const size = spec.shmSize ?? defaultShmSize
      const options = ['nosuid', 'nodev', 'noexec', 'mode=1777', `size=${size}`]
      sys.mounts.mount({ type: 'tmpfs', source: 'shm', target: join(dir, 'shm'), options })
    }
    if (spec.network.mode === 'sandbox') return
    const netns = join(dir, 'net')
    if (kinds.includes('net')) wiring.prepare(netns)
    const wires = await reserveAll(record)
    writeFiles(spec, wires)
    const targets = targetsOf(wires)
    const [bound] = await allDone([
      targets ? ports.publish(spec.id, spec.ports, targets) : Promise.resolve<PublishedPort[]>([]),
      wires.length > 0 ? wiring.connect(netns, wires, wires) : undefined,
      needsResolver(spec, wires) ? serveNames(spec) : undefined,
    ] as const)
    if (kinds.includes('net')) applySysctls(spec, netns)
    for (const wire of wires) join_(record, wire)
    records.save({ ...record, state: 'ready', ports: bound })
    for (const wire of wires) emit('connect', spec.id, wire)
  }

  const start = async (id: string): Promise<Sandbox> =>
    await locks.run(id, async () => {
      const record = must(id)
      if (record.state === 'ready') return describe(record)
      try {
        await takeDown(record.spec) // what a start that was killed has left
        await build(record)
        if (must(id).state !== 'ready') records.save({ ...record, state: 'ready' })
      } catch (error) {
        await takeDown(record.spec)
        throw error
      }
      return describe(must(id))
    })

  const stopLocked = async (id: string): Promise<void> => {
    const record = must(id)
    if (record.state === 'stopped') return
    const wires = networks.endpointsOf(id)
    await takeDown(record.spec)
    records.save({ ...record, state: 'stopped', ports: [] })
    for (const wire of wires) emit('disconnect', id, wire)
  }

  /** Moves published ports to the endpoint that leads out now. */
  const republish = async (record: StoredSandbox, before: string | undefined): Promise<PublishedPort[]> => {
    const targets = targetsOf(networks.endpointsOf(record.spec.id))
    if (targets?.networkId === before) return record.ports
    await ports.withdraw(record.spec.id)
    if (!targets) return []
    return await ports.publish(record.spec.id, record.ports.length > 0 ? record.ports : record.spec.ports, targets)
  }

  const connectLive = async (record: StoredSandbox, attachment: Attachment): Promise<Wire> => {
    const { spec } = record
    const netns = join(dirOf(spec.id), 'net')
    const before = networks.endpointsOf(spec.id)
    const network = await networks.bringUp(networks.must(attachment.network).id)
    const ifname = attachment.ifname ?? nextIfname(before.map(({ endpoint }) => endpoint.ifname))
    const wire = networks.reserve(spec.id, record.names[0] ?? spec.hostname, attachment, ifname)
    try {
      await wiring.connect(netns, [wire], [...before, wire])
      if (network.spec.dns && !needsResolver(spec, before)) await serveNames(spec)
    } catch (error) {
      wiring.discard([wire.endpoint.hostIfname])
      networks.release(network.id, spec.id)
      throw error
    }
    join_(record, wire)
    const dir = dirOf(spec.id)
    if (network.spec.dns && !needsResolver(spec, before)) {
      const question = { spec, host: hostResolvConf(), resolver: resolverAddress, hostNetwork: false }
      writeFileSync(join(dir, 'resolv.conf'), renderResolvConf(question))
    }
    // Written in place: the file is bind-mounted, and the user may have edited it.
    for (const address of addressesOf(wire.endpoint))
      writeFileSync(join(dir, 'hosts'), hostsLine(spec, address), { flag: 'a' })
    const bound = await republish(record, targetsOf(before)?.networkId)
    records.save({ ...record, ports: bound })
    return wire
  }

  const disconnectLive = async (record: StoredSandbox, wire: Wire): Promise<void> => {
    const { spec } = record
    const { network, endpoint } = wire
    const before = targetsOf(networks.endpointsOf(spec.id))?.networkId
    const rest = networks.endpointsOf(spec.id).filter((other) => other.network.id !== network.id)
    await wiring.disconnect(join(dirOf(spec.id), 'net'), endpoint, rest)
    names.table.leave(network.id, spec.id)
    networks.release(network.id, spec.id)
    const hosts = join(dirOf(spec.id), 'hosts')
    let text = readFileSync(hosts, 'utf8')
    for (const address of addressesOf(endpoint)) text = withoutAddress(text, address)
    writeFileSync(hosts, text)
    const bound = await republish(record, before)
    records.save({ ...must(spec.id), ports: bound })
  }

  const attachmentsOf = (spec: SandboxSpec): Attachment[] => {
    if (spec.network.mode === 'attached') return spec.network.attachments
    throw new SlipwayError(
      'forbidden',
      spec.network.mode === 'none'
        ? 'container cannot be connected to multiple networks with one of the networks in private (none) mode'
        : 'container sharing network namespace with another container or host cannot be connected to any other network',
    )
  }
  const withAttachments = (record: StoredSandbox, attachments: Attachment[]): StoredSandbox => ({
    ...record,
    spec: { ...record.spec, network: { mode: 'attached', attachments } },
  })

  const isAlive = ({ spec }: StoredSandbox): boolean =>
    ownKinds(spec).every((kind) => isPinned(join(dirOf(spec.id), kind)))

  const adopt = async (record: StoredSandbox): Promise<void> => {
    const { spec } = record
    const wires = networks.endpointsOf(spec.id)
    const netns = join(dirOf(spec.id), 'net')
    const lost = wires.filter((wire) => !wiring.exists(wire))
    if (lost.length > 0) {
      log.warn('links of a running sandbox are gone; making them again', { sandbox: spec.id })
      await wiring.connect(netns, lost, wires)
    }
    for (const wire of wires) join_(record, wire)
    if (needsResolver(spec, wires)) await serveNames(spec)
    const targets = targetsOf(wires)
    if (targets) await ports.adopt(spec.id, record.ports, targets)
  }

  const sweep = (): void => {
    const present = (path: string): string[] => {
      try {
        return readdirSync(path)
      } catch {
        return []
      }
    }
    for (const id of present(root)) {
      if (records.all.get(id)?.state === 'ready') continue
      sys.namespaces.remove(dirOf(id))
      sys.mounts.unmount(join(dirOf(id), 'shm'), { detach: true })
      rmSync(dirOf(id), { recursive: true, force: true })
    }
    const used = networks.ownLinks()
    for (const id of records.all.keys())
      for (const { endpoint } of networks.endpointsOf(id)) used.add(endpoint.hostIfname)
    const ours = new RegExp(`^${instance.linkPrefix}[bvpr][0-9a-f]{8}$`)
    wiring.discard(present('/sys/class/net').filter((name) => ours.test(name) && !used.has(name)))
  }

  return {
    async create(spec) {
      if (records.all.has(spec.id)) throw new SlipwayError('already-exists', `sandbox ${spec.id} already exists`)
      if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(spec.id))
        throw new SlipwayError('invalid', `invalid sandbox id "${spec.id}"`)
      if (spec.network.mode === 'attached') for (const { network } of spec.network.attachments) networks.must(network)
      const record: StoredSandbox = { spec, names: spec.names ?? [], state: 'stopped', ports: [] }
      records.save(record)
      return describe(record)
    },
    get: (id) => {
      const record = records.all.get(id)
      return record && describe(record)
    },
    list: () => [...records.all.values()].map(describe),
    start,
    stop: async (id) => await locks.run(id, () => stopLocked(id)),
    remove: async (id) =>
      await locks.run(id, async () => {
        if (!records.all.has(id)) return
        await stopLocked(id)
        records.delete(id)
      }),
    connect: async (id, attachment) =>
      await locks.run(id, async () => {
        const record = must(id)
        const attachments = attachmentsOf(record.spec)
        const network = networks.must(attachment.network)
        if (attachments.some((other) => networks.get(other.network)?.id === network.id))
          throw new SlipwayError(
            'forbidden',
            `endpoint with name ${record.names[0] ?? record.spec.hostname} already exists in network ${network.spec.name}`,
          )
        if (record.state === 'stopped') {
          records.save(withAttachments(record, [...attachments, attachment]))
          // Addresses are given at the start.
          return {
            networkId: network.id,
            networkName: network.spec.name,
            ifname: '',
            hostIfname: '',
            mac: '',
            aliases: attachment.aliases,
          }
        }
        const wire = await connectLive(record, attachment)
        records.save(withAttachments(must(id), [...attachments, attachment]))
        emit('connect', id, wire)
        return wire.endpoint
      }),
    disconnect: async (id, reference, options = {}) =>
      await locks.run(id, async () => {
        const record = must(id)
        const attachments = attachmentsOf(record.spec)
        const network = networks.must(reference)
        const rest = attachments.filter((other) => networks.get(other.network)?.id !== network.id)
        if (rest.length === attachments.length) {
          if (options.force) return
          throw new SlipwayError('forbidden', `container ${id} is not connected to network ${network.spec.name}`)
        }
        const wire = networks.endpointsOf(id).find((other) => other.network.id === network.id)
        if (wire) await disconnectLive(record, wire)
        records.save(withAttachments(must(id), rest))
        if (wire) emit('disconnect', id, wire)
      }),
    rename: async (id, renamed) =>
      await locks.run(id, async () => {
        const old = must(id)
        const spec = { ...old.spec, hostname: renamed.hostname ?? old.spec.hostname, names: renamed.names }
        const record = { ...old, names: renamed.names, spec }
        records.save(record)
        if (renamed.names[0] !== undefined) networks.rename(id, renamed.names[0])
        if (record.state === 'ready') for (const wire of networks.endpointsOf(id)) join_(record, wire)
      }),
    async recover() {
      for (const record of [...records.all.values()]) {
        try {
          if (record.state === 'ready' && isAlive(record)) await adopt(record)
          else {
            await takeDown(record.spec)
            if (record.state === 'ready') records.save({ ...record, state: 'stopped', ports: [] })
          }
        } catch (error) {
          log.error('cannot take over a sandbox', { sandbox: record.spec.id, error: messageOf(error) })
        }
      }
      sweep()
      await networks.rules.restore()
      checking ??= setInterval(() => {
        networks.rules.check().catch((error: unknown) => log.warn('firewall', { error: messageOf(error) }))
      }, checkEveryMs).unref()
    },
    async close() {
      clearInterval(checking)
      ports.close()
      for (const id of records.all.keys()) names.stop(id)
      await wiring.settled()
    },
  }
}

/** Like Promise.all, but waits for all of them also when one fails, so that nothing is still being made while it is undone. */
const allDone = async <T extends readonly unknown[]>(
  tasks: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> => {
  const results = await Promise.allSettled(tasks)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as never
}
