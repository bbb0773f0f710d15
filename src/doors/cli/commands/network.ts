/** `slipway network …`: docker's network commands for machines without a docker client. */
import { isError } from '../../../errors.ts'
import { out, table } from '../framework/command.ts'
import { openEngine } from '../framework/engine.ts'
import { list, text, toggle } from '../framework/flags.ts'
import { type Call, family, filtersOf, forEach, inspectEach, many, pairs, shortId } from '../framework/subcommands.ts'

interface Network {
  Id: string
  Name: string
  Driver: string
  Scope: string
}
const path = (name: string, rest = ''): string => `/networks/${encodeURIComponent(name)}${rest}`

const ls = async ({ shell, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const networks = await engine.json<Network[]>('/networks', { query: { filters: filtersOf(flags.filter) } })
  networks.sort((a, b) => (a.Name < b.Name ? -1 : 1))
  const id = (n: Network): string => (flags['no-trunc'] === true ? n.Id : shortId(n.Id))
  if (flags.format === 'json') for (const each of networks) out(shell, JSON.stringify(each))
  else if (flags.quiet === true) for (const each of networks) out(shell, id(each))
  else
    out(
      shell,
      table(
        ['NETWORK ID', 'NAME', 'DRIVER', 'SCOPE'],
        networks.map((n) => [id(n), n.Name, n.Driver, n.Scope]),
      ),
    )
  return 0
}

const create = async ({ shell, args, flags }: Call): Promise<number> => {
  const at = (name: string, i: number): string | undefined => (flags[name] as string[] | undefined)?.[i]
  const subnets = (flags.subnet as string[] | undefined) ?? []
  const body = {
    Name: args[0]!,
    Driver: (flags.driver as string | undefined) ?? 'bridge',
    Internal: flags.internal === true,
    EnableIPv6: flags.ipv6 === true,
    Attachable: flags.attachable === true,
    IPAM: {
      Driver: 'default',
      Config: subnets.map((Subnet, i) => ({ Subnet, Gateway: at('gateway', i), IPRange: at('ip-range', i) })),
    },
    Options: pairs(flags.opt),
    Labels: pairs(flags.label),
  }
  const engine = await openEngine(shell)
  out(shell, (await engine.json<{ Id: string }>('/networks/create', { method: 'POST', body })).Id)
  return 0
}

const connect = async ({ shell, args, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const IPAMConfig = { IPv4Address: flags.ip, IPv6Address: flags.ip6 }
  const body = { Container: args[1], EndpointConfig: { Aliases: flags.alias, IPAMConfig } }
  await engine.json(path(args[0]!, '/connect'), { method: 'POST', body })
  return 0
}

const disconnect = async ({ shell, args, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const body = { Container: args[1], Force: flags.force === true }
  await engine.json(path(args[0]!, '/disconnect'), { method: 'POST', body })
  return 0
}

const rm = async (call: Call): Promise<number> => {
  const engine = await openEngine(call.shell)
  return forEach(call, async (name) => {
    try {
      await engine.json(path(name), { method: 'DELETE' })
    } catch (error) {
      if (call.flags.force !== true || !isError(error, 'not-found')) throw error
    }
    return name
  })
}

const prune = async ({ shell, flags }: Call): Promise<number> => {
  const engine = await openEngine(shell)
  const query = { filters: filtersOf(flags.filter) }
  const { NetworksDeleted } = await engine.json<{ NetworksDeleted: string[] | null }>('/networks/prune', {
    method: 'POST',
    query,
  })
  if (NetworksDeleted?.length) out(shell, ['Deleted Networks:', ...NetworksDeleted].join('\n'))
  return 0
}

const filter = list('--filter', 'NAME=VALUE', 'Only those it fits (driver, id, label, name, type, dangling)')
const force = toggle('-f, --force', 'Say nothing of those that are not there')

export const network = family({
  name: 'network',
  summary: 'Manage networks',
  other: { list: 'ls', remove: 'rm' },
  subcommands: {
    ls: {
      usage: '',
      summary: 'List networks',
      args: [0, 0],
      flags: [
        toggle('-q, --quiet', 'Only ids'),
        toggle('--no-trunc', 'Whole ids'),
        filter,
        text('--format', 'FORMAT', 'table or json', ['table', 'json']),
      ],
      run: ls,
    },
    create: {
      usage: 'NAME',
      summary: 'Make a network',
      args: [1, 1],
      flags: [
        text('-d, --driver', 'NAME', 'bridge, macvlan or ipvlan'),
        list('--subnet', 'CIDR', 'Address range; picked free by default'),
        list('--gateway', 'ADDRESS', 'Gateway of the range'),
        list('--ip-range', 'CIDR', 'Part of the range that containers are given addresses from'),
        toggle('--internal', 'No way out'),
        toggle('--ipv6', 'With IPv6'),
        toggle('--attachable', 'Accepted: every network is'),
        list('-o, --opt', 'KEY=VALUE', 'Of the driver'),
        list('--label', 'KEY=VALUE', 'Labels'),
      ],
      run: create,
    },
    connect: {
      usage: 'NETWORK CONTAINER',
      summary: 'Connect a container to a network',
      args: [2, 2],
      flags: [
        list('--alias', 'NAME', 'Further names of it there'),
        text('--ip', 'ADDRESS', 'IPv4 address'),
        text('--ip6', 'ADDRESS', 'IPv6 address'),
      ],
      run: connect,
    },
    disconnect: {
      usage: 'NETWORK CONTAINER',
      summary: 'Disconnect a container from a network',
      args: [2, 2],
      flags: [toggle('-f, --force', 'Even if the container is not as expected')],
      run: disconnect,
    },
    inspect: {
      usage: 'NETWORK...',
      summary: 'All that is known of networks, as JSON',
      args: [1, many],
      flags: [],
      run: async (call) => {
        const engine = await openEngine(call.shell)
        return inspectEach(call, (name) => engine.json(path(name)))
      },
    },
    rm: { usage: 'NETWORK...', summary: 'Remove networks', args: [1, many], flags: [force], run: rm },
    prune: {
      usage: '',
      summary: 'Remove networks that no container is on',
      args: [0, 0],
      flags: [toggle('-f, --force', 'Accepted for scripts: nothing is asked'), filter],
      run: prune,
    },
  },
})
