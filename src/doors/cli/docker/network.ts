/** `slipway network …`. */
import { BlockList, isIP } from 'node:net'
import { err, out } from '../framework/command.ts'
import { isError } from '../../../errors.ts'
import { Exit } from '../framework/failure.ts'
import { type Flags, text, toggle } from '../framework/flags.ts'
import { many, type Subcommand } from '../framework/subcommands.ts'
import { confirm, withEngine } from './calls.ts'
import { configValue } from './client-config.ts'
import { labelField, labelsText } from './container-list.ts'
import { formatList, type Listing } from './format.ts'
import { inspect } from './inspect.ts'
import {
  filterFlag,
  filtersOf,
  force,
  formatFlag,
  integer,
  labelFlag,
  noTrunc,
  parsedList,
  quiet,
  strings,
  inspectFormat,
} from './option.ts'
import { localTime, shortId } from './units.ts'
import { link, pairsOf } from './value.ts'

interface ListedNetwork {
  Id: string
  Name: string
  Driver: string
  Scope: string
  Created: string
  EnableIPv4?: boolean
  EnableIPv6: boolean
  Internal: boolean
  Labels: Record<string, string> | null
}
const path = (name: string, rest = ''): string => `/networks/${encodeURIComponent(name)}${rest}`

const networks = (cut: boolean): Listing<ListedNetwork> => ({
  type: 'network.networkContext',
  headers: {
    ID: 'NETWORK ID',
    Name: 'NAME',
    Driver: 'DRIVER',
    Scope: 'SCOPE',
    IPv4: 'IPV4',
    IPv6: 'IPV6',
    Internal: 'INTERNAL',
    Labels: 'LABELS',
    CreatedAt: 'CREATED AT',
  },
  fields: (n) => ({
    ID: () => (cut ? shortId(n.Id) : n.Id),
    Name: () => n.Name,
    Driver: () => n.Driver,
    Scope: () => n.Scope,
    IPv4: () => String(n.EnableIPv4 ?? true),
    IPv6: () => String(n.EnableIPv6),
    Internal: () => String(n.Internal),
    Labels: () => labelsText(n.Labels),
    Label: labelField(n.Labels),
    CreatedAt: () => localTime(Date.parse(n.Created), /\.(\d+)/.exec(n.Created)?.[1]),
  }),
})

const ls = withEngine(async ({ engine, shell, flags }) => {
  const found = await engine.json<ListedNetwork[]>('/networks', { query: { filters: filtersOf(flags.filter) } })
  const quietly = flags.quiet === true
  const given =
    (flags.format as string | undefined) ?? (quietly ? '' : (configValue(shell.env, 'networksFormat') ?? ''))
  const format = { given, table: 'table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}', quiet: quietly }
  found.sort((a, b) => (a.Name < b.Name ? -1 : 1))
  shell.stdout.write(formatList(networks(flags['no-trunc'] !== true), found, format))
  return 0
})

const several = (flags: Flags, name: string): string[] => (flags[name] as string[] | undefined) ?? []

interface Pool {
  Subnet: string
  IPRange?: string
  Gateway?: string
  AuxiliaryAddresses?: Record<string, string>
}

const within = (subnet: string, given: string): boolean => {
  const [base = '', bits = ''] = subnet.split('/')
  const address = given.split('/')[0]!
  const family = isIP(base) === 6 ? 'ipv6' : 'ipv4'
  if (isIP(base) === 0 || isIP(base) !== isIP(address)) return false
  const list = new BlockList()
  list.addSubnet(base, Number(bits), family)
  return list.check(address, family)
}

/** Ranges, gateways and reserved addresses go to the subnet that they are in. */
const poolsOf = (flags: Flags): Pool[] => {
  const subnets = several(flags, 'subnet')
  const ranges = several(flags, 'ip-range')
  const gateways = several(flags, 'gateway')
  if (subnets.length < ranges.length || subnets.length < gateways.length)
    throw new Exit(1, 'every ip-range or gateway must have a corresponding subnet')
  const pools = subnets.map((Subnet): Pool => ({ Subnet }))
  for (const [i, { Subnet }] of pools.entries())
    for (const other of pools.slice(i + 1))
      if (within(Subnet, other.Subnet) || within(other.Subnet, Subnet))
        throw new Exit(1, 'multiple overlapping subnet configuration is not supported')
  const poolOf = (what: string, value: string): Pool => {
    const pool = pools.find(({ Subnet }) => within(Subnet, value))
    if (!pool) throw new Exit(1, `no matching subnet for ${what} ${value}`)
    return pool
  }
  const one = (what: string, value: string, key: 'IPRange' | 'Gateway'): void => {
    const pool = poolOf(what, value)
    if (pool[key] !== undefined)
      throw new Exit(
        1,
        `cannot configure multiple ${what}s (${value}, ${pool[key]}) on the same subnet (${pool.Subnet})`,
      )
    pool[key] = value
  }
  for (const range of ranges) one('range', range, 'IPRange')
  for (const gateway of gateways) one('gateway', gateway, 'Gateway')
  for (const [name, value] of Object.entries(pairsOf(flags['aux-address']))) {
    const pool = poolOf('aux-address', value)
    pool.AuxiliaryAddresses = { ...pool.AuxiliaryAddresses, [name]: value }
  }
  return pools
}

const create = withEngine(async ({ engine, shell, args, flags }) => {
  const from = (flags['config-from'] as string | undefined) ?? ''
  const body = {
    Name: args[0]!,
    Driver: (flags.driver as string | undefined) ?? 'bridge',
    Scope: (flags.scope as string | undefined) ?? '',
    Internal: flags.internal === true,
    Attachable: flags.attachable === true,
    Ingress: flags.ingress === true,
    ConfigOnly: flags['config-only'] === true,
    ...(from !== '' && { ConfigFrom: { Network: from } }),
    ...(flags.ipv4 !== undefined && { EnableIPv4: flags.ipv4 }),
    ...(flags.ipv6 !== undefined && { EnableIPv6: flags.ipv6 }),
    IPAM: {
      Driver: (flags['ipam-driver'] as string | undefined) ?? 'default',
      Options: pairsOf(flags['ipam-opt']),
      Config: poolsOf(flags),
    },
    Options: pairsOf(flags.opt),
    Labels: pairsOf(flags.label),
  }
  out(shell, (await engine.json<{ Id: string }>('/networks/create', { method: 'POST', body })).Id)
  return 0
})

const connect = withEngine(async ({ engine, args, flags }) => {
  const addresses = {
    IPv4Address: (flags.ip as string | undefined) ?? '',
    IPv6Address: (flags.ip6 as string | undefined) ?? '',
    LinkLocalIPs: several(flags, 'link-local-ip'),
  }
  const addressed = Object.values(addresses).some((value) => value.length > 0)
  const EndpointConfig = {
    ...(addressed && { IPAMConfig: addresses }),
    Links: several(flags, 'link'),
    Aliases: several(flags, 'alias'),
    DriverOpts: pairsOf(flags['driver-opt']),
    GwPriority: (flags['gw-priority'] as number | undefined) ?? 0,
  }
  await engine.json(path(args[0]!, '/connect'), { method: 'POST', body: { Container: args[1], EndpointConfig } })
  return 0
})

const disconnect = withEngine(async ({ engine, args, flags }) => {
  const body = { Container: args[1], Force: flags.force === true }
  await engine.json(path(args[0]!, '/disconnect'), { method: 'POST', body })
  return 0
})

const rm = withEngine(async ({ engine, shell, args, flags }) => {
  let code = 0
  for (const name of args)
    try {
      await engine.json(path(name), { method: 'DELETE' })
      out(shell, name)
    } catch (error) {
      if (!isError(error)) throw error
      if (flags.force === true && error.code === 'not-found') continue
      err(shell, error.message)
      code = 1
    }
  if (code !== 0) throw new Exit(1, 'exit status 1')
  return 0
})

const prune = withEngine(async ({ engine, shell, flags }) => {
  if (flags.force !== true)
    await confirm(shell, 'WARNING! This will remove all custom networks not used by at least one container.\n')
  const query = { filters: filtersOf(flags.filter) }
  const call = { method: 'POST', query } as const
  const { NetworksDeleted } = await engine.json<{ NetworksDeleted: string[] | null }>('/networks/prune', call)
  if (NetworksDeleted?.length) out(shell, ['Deleted Networks:', ...NetworksDeleted, ''].join('\n'))
  return 0
})

export const networkCommands = {
  connect: {
    usage: 'NETWORK CONTAINER',
    summary: 'Connect a container to a network',
    args: [2, 2],
    flags: [
      strings('--alias', 'Further names of it there'),
      strings('--driver-opt', 'Options of the driver: NAME=VALUE'),
      integer('--gw-priority', 'The network with the highest has the default route'),
      text('--ip', 'string', 'IPv4 address'),
      text('--ip6', 'string', 'IPv6 address'),
      parsedList('--link', 'Other containers by name: CONTAINER[:ALIAS]', link),
      strings('--link-local-ip', 'Link-local addresses'),
    ],
    run: connect,
  },
  create: {
    usage: 'NETWORK',
    summary: 'Make a network',
    args: [1, 1],
    flags: [
      toggle('--attachable', 'Accepted: every network is'),
      parsedList('--aux-address', 'Addresses that are not given to containers: NAME=ADDRESS', String, 'map'),
      text('--config-from', 'string', 'Network whose configuration it takes'),
      toggle('--config-only', 'Only a configuration for others'),
      text('-d, --driver', 'string', 'bridge, macvlan or ipvlan'),
      strings('--gateway', 'Gateways of the subnets'),
      toggle('--ingress', "Swarm's; the daemon refuses"),
      toggle('--internal', 'No way out'),
      strings('--ip-range', 'Parts of the subnets that containers are given addresses from'),
      text('--ipam-driver', 'string', 'default or null'),
      parsedList('--ipam-opt', 'Options of it: NAME=VALUE', String, 'map'),
      toggle('--ipv4', 'With IPv4; default: true'),
      toggle('--ipv6', 'With IPv6'),
      labelFlag('--label', 'Labels: NAME=VALUE'),
      parsedList('-o, --opt', 'Options of the driver: NAME=VALUE', String, 'map'),
      text('--scope', 'string', 'Only local'),
      strings('--subnet', 'Address ranges; picked free by default'),
    ],
    run: create,
  },
  disconnect: {
    usage: 'NETWORK CONTAINER',
    summary: 'Disconnect a container from a network',
    args: [2, 2],
    flags: [toggle('-f, --force', 'Even if the container is not as expected')],
    run: disconnect,
  },
  inspect: {
    usage: 'NETWORK [NETWORK...]',
    summary: 'All that is known of networks',
    args: [1, many],
    flags: [inspectFormat, toggle('-v, --verbose', 'With what tells why something does not work')],
    run: withEngine(({ engine, ...call }) =>
      inspect(call, (name) =>
        engine.json(path(name), { query: { verbose: call.flags.verbose === true ? 'true' : undefined } }),
      ),
    ),
  },
  ls: {
    usage: '',
    summary: 'List networks',
    args: [0, 0],
    flags: [
      filterFlag('-f, --filter', 'NAME=VALUE: driver, id, label, name, scope, type, dangling'),
      formatFlag(),
      noTrunc,
      quiet('Only ids'),
    ],
    run: ls,
  },
  prune: {
    usage: '',
    summary: 'Remove networks that no container is on',
    args: [0, 0],
    flags: [filterFlag('--filter', 'NAME=VALUE: label, until'), force],
    run: prune,
  },
  rm: {
    usage: 'NETWORK [NETWORK...]',
    summary: 'Remove networks',
    args: [1, many],
    flags: [toggle('-f, --force', 'Those that are not there are fine')],
    run: rm,
  },
} satisfies Record<string, Subcommand>
