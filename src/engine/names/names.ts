import { messageOf } from '../../errors.ts'
import { createForwarder, loadCodec, questionOf, readResolvConf, serveDns } from '../../lib/dns/index.ts'
import type { EngineDeps } from '../deps.ts'
import { bindWithin } from './sockets.ts'
import { createNameTable, type NameTable } from './table.ts'

/** Where containers find their resolver: docker's address, which many configuration files have written out. */
export const resolverAddress = '127.0.0.11'
/**
 * The resolver's real port. 53 itself stays free for a name server in the container; a rule in its namespace leads from 53
 * to here.
 */
const ports = [41053, 42053, 43053, 44053]

export interface Names {
  table: NameTable
  /** Serves the sandbox at 127.0.0.11:53. `servers`: upstream, default the host's. */
  serve(sandboxId: string, netns: string, upstream: Upstream): Promise<void>
  stop(sandboxId: string): void
}
interface Upstream {
  servers: readonly string[]
  /** May it be asked now? While the sandbox has only internal networks nothing may leave, not even as a question. */
  allowed: (server: string) => boolean
}

/** Short, so that a restarted container is found at its new address. */
const ttlSeconds = 5

const redirect = (port: number): string => `table ip slipway_dns {
}
delete table ip slipway_dns
table ip slipway_dns {
  chain output {
    type nat hook output priority -100; policy accept;
    ip daddr ${resolverAddress} meta l4proto { tcp, udp } th dport 53 dnat to ${resolverAddress}:${port}
  }
}
`

/** The host's nameservers now. */
const hostServers = (): string[] => readResolvConf().servers.filter((server) => server !== resolverAddress)

/** DNS for sandboxes on user-defined networks. */
export const createNames = ({ sys, clock, log }: Pick<EngineDeps, 'sys' | 'clock' | 'log'>): Names => {
  const table = createNameTable()
  const forwarder = createForwarder(clock)
  const serving = new Map<string, () => void>()
  let codec: ReturnType<typeof loadCodec> | undefined

  const answer = async (sandboxId: string, upstream: Upstream, query: Buffer): Promise<Buffer> => {
    const { name, type } = questionOf(query)!
    const found = type === 12 ? table.reverse(sandboxId, name) : table.find(sandboxId, name, type === 28 ? 6 : 4)
    if (!found) {
      const servers = upstream.servers.length > 0 ? upstream.servers : hostServers()
      return await forwarder.forward(query, servers.filter(upstream.allowed))
    }
    const { decode, encode } = await (codec ??= loadCodec())
    const decoded = decode(query)
    const asked = decoded.questions![0]!.name
    if (found.kind === 'name')
      return encode(decoded, {
        rcode: 'NOERROR',
        answers: [{ type: 'PTR', name: asked, ttl: ttlSeconds, data: found.name }],
      })
    // The name is there, but other types of it are not: an empty answer, which is no error.
    const addresses = type === 1 || type === 28 ? found.addresses : []
    const answers = addresses.map(
      (data) => ({ type: type === 28 ? 'AAAA' : 'A', name: asked, ttl: ttlSeconds, data }) as const,
    )
    return encode(decoded, { rcode: 'NOERROR', answers })
  }

  const stop = (sandboxId: string): void => {
    serving.get(sandboxId)?.()
    serving.delete(sandboxId)
  }

  return {
    table,
    stop,
    async serve(sandboxId, netns, upstream) {
      stop(sandboxId)
      let last: unknown
      for (const port of ports) {
        try {
          const sockets = bindWithin(sys.namespaces, netns, resolverAddress, port)
          serving.set(
            sandboxId,
            serveDns(sockets, (query) => answer(sandboxId, upstream, query)),
          )
          return await sys.firewall.apply(redirect(port), { netns })
        } catch (error) {
          stop(sandboxId)
          last = error
          log.debug('resolver port is taken in the sandbox', { sandbox: sandboxId, port, error: messageOf(error) })
        }
      }
      throw last
    },
  }
}
