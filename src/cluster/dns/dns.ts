import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import type { DecodedPacket, Answer as ResourceRecord } from 'dns-packet'
import type { Clock } from '../../lib/clock.ts'
import {
  type Codec,
  createForwarder,
  emptyAnswer,
  loadCodec,
  questionOf,
  readResolvConf,
  serveDns,
} from '../../lib/dns/index.ts'
import type { Log } from '../../lib/log.ts'
import type { Sys } from '../../sys/sys.ts'
import type { ClusterDns, Informers } from '../types.ts'
import { createView } from './view.ts'
import { answerZone } from './zone.ts'

interface ClusterDnsOptions {
  instance: { linkPrefix: string }
  sys: Pick<Sys, 'links'>
  informers: Informers
  domain: string
  /** Ours alone: put on a link of our own. */
  address: string
  log: Log
  clock: Clock
  /** Where other names are asked for; default: the host's servers. "10.0.0.1#5353" names a port. */
  upstream?: (() => readonly string[]) | undefined
}
interface RunningClusterDns extends ClusterDns {
  /** Resolves when it answers. */
  start(): Promise<void>
  close(): Promise<void>
}

const reloadMs = 5000

/** The host's nameservers, looked up again every few seconds, without ourselves. */
const hostServers = (clock: Clock, self: string): (() => readonly string[]) => {
  let known: { at: number; servers: string[] } | undefined
  return () => {
    if (known && clock.now() - known.at < reloadMs) return known.servers
    known = { at: clock.now(), servers: readResolvConf().servers.filter((server) => server !== self) }
    return known.servers
  }
}

export const createClusterDns = (options: ClusterDnsOptions): RunningClusterDns => {
  const { informers, domain, address, sys, clock, log } = options
  const view = createView(informers, domain)
  const upstream = options.upstream ?? hostServers(clock, address)
  const answerer = createAnswerer(view, domain, createForwarder(clock), upstream)
  let end: (() => void) | undefined

  return {
    address,
    domain,
    async start() {
      const link = `${options.instance.linkPrefix}dns`
      // A bridge without ports: the dummy driver is not in every kernel.
      const make = existsSync(`/sys/class/net/${link}`) ? [] : [`link add name ${link} type bridge`]
      await sys.links.batch([...make, `addr replace ${address}/32 dev ${link}`, `link set dev ${link} up`])
      await view.synced
      answerer.prepare()
      end = serveDns(await listen(address), answerer.answer)
      log.info('cluster DNS', { address, domain })
    },
    async close() {
      end?.()
      view.close()
    },
  }
}

/** Answers for the cluster's domain, and asks the others for everything else. */
const createAnswerer = (
  view: ReturnType<typeof createView>,
  domain: string,
  forwarder: ReturnType<typeof createForwarder>,
  upstream: () => readonly string[],
) => {
  let codec: Promise<Codec> | undefined

  /** A stub resolver wants the whole chain: what the alias means is asked for as well. */
  const follow = async (
    { decode, encode }: Codec,
    query: DecodedPacket,
    alias: { alias: string; record: ResourceRecord },
    type: string,
  ): Promise<Buffer> => {
    let rest: ResourceRecord[] = []
    if (type === 'A' || type === 'AAAA') {
      const inside = answerZone(view, domain, alias.alias, type)
      if (inside && 'answers' in inside) rest = inside.answers
      else if (!inside) {
        const { default: packet } = await import('dns-packet')
        const question = packet.encode({ type: 'query', id: 1, flags: 256, questions: [{ name: alias.alias, type }] })
        rest = decode(await forwarder.forward(question, upstream())).answers ?? []
      }
    }
    return encode(query, { rcode: 'NOERROR', answers: [alias.record, ...rest] })
  }

  const answer = async (message: Buffer): Promise<Buffer> => {
    const { name } = questionOf(message)!
    // Most names are not ours; those are passed on without being taken apart.
    if (name !== domain && !name.endsWith(`.${domain}`) && !name.endsWith('.arpa'))
      return await forwarder.forward(message, upstream())
    const loaded = await (codec ??= loadCodec())
    const query = loaded.decode(message)
    const question = query.questions![0]!
    const known = answerZone(view, domain, question.name, question.type)
    if (!known) {
      const servers = upstream()
      return servers.length > 0 ? await forwarder.forward(message, servers) : emptyAnswer(message, 3)
    }
    return 'alias' in known ? await follow(loaded, query, known, question.type) : loaded.encode(query, known)
  }

  return { answer, prepare: () => void (codec ??= loadCodec()) }
}

const listen = async (address: string): Promise<{ udp: UdpSocket; tcp: Server }> => {
  const udp = createSocket('udp4')
  const tcp = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      udp.once('error', reject)
      udp.bind({ address, port: 53, exclusive: true }, resolve)
    })
    await new Promise<void>((resolve, reject) => {
      tcp.once('error', reject)
      tcp.listen({ host: address, port: 53, exclusive: true }, resolve)
    })
  } catch (error) {
    udp.close()
    tcp.close()
    throw error
  }
  udp.removeAllListeners('error')
  tcp.removeAllListeners('error')
  udp.unref()
  tcp.unref()
  return { udp, tcp }
}
