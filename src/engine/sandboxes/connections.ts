/** Joins networks and leaves them, also while the sandbox runs. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { readResolvConf } from '../../lib/dns/index.ts'
import { resolverAddress } from '../names/index.ts'
import type { Attachment, Endpoint, Network, SandboxSpec } from '../types.ts'
import { addressesOf, type Context, dirOf, emit, fileDirOf, must } from './context.ts'
import { hostsLine, renderResolvConf, withoutAddress } from './files.ts'
import { republish, targetsOf } from './publication.ts'
import type { StoredSandbox } from './records.ts'
import { joinNames, needsResolver, serveNames } from './resolution.ts'
import { nextIfname } from './start.ts'
import type { Wire } from './wiring.ts'

const connectLive = async (ctx: Context, record: StoredSandbox, attachment: Attachment): Promise<Wire> => {
  const { spec } = record
  const netns = join(dirOf(ctx, spec.id), 'net')
  const before = ctx.networks.endpointsOf(spec.id)
  const network = await ctx.networks.bringUp(ctx.networks.must(attachment.network).id)
  const ifname =
    attachment.ifname ??
    nextIfname(
      network,
      before.map(({ endpoint }) => endpoint.ifname),
    )
  const wire = ctx.networks.reserve(spec.id, record.names[0] ?? spec.hostname, attachment, ifname)
  try {
    await ctx.wiring.connect(netns, [wire], [...before, wire])
    if (network.spec.dns && !needsResolver(spec, before)) await serveNames(ctx, spec)
  } catch (error) {
    ctx.wiring.discard([wire.endpoint.hostIfname])
    ctx.networks.release(network.id, spec.id)
    throw error
  }
  joinNames(ctx, record, wire)
  const dir = fileDirOf(ctx, spec.id)
  if (network.spec.dns && !needsResolver(spec, before)) {
    const question = { spec, host: readResolvConf(), resolver: resolverAddress, hostNetwork: false }
    writeFileSync(join(dir, 'resolv.conf'), renderResolvConf(question))
  }
  // Written in place: the file is bind-mounted, and the user may have edited it.
  for (const address of addressesOf(wire.endpoint))
    writeFileSync(join(dir, 'hosts'), hostsLine(spec, address), { flag: 'a' })
  const bound = await republish(ctx, record, targetsOf(before)?.networkId)
  ctx.records.save({ ...record, ports: bound })
  return wire
}

const disconnectLive = async (ctx: Context, record: StoredSandbox, wire: Wire): Promise<void> => {
  const { spec } = record
  const { network, endpoint } = wire
  const before = targetsOf(ctx.networks.endpointsOf(spec.id))?.networkId
  const rest = ctx.networks.endpointsOf(spec.id).filter((other) => other.network.id !== network.id)
  await ctx.wiring.disconnect(join(dirOf(ctx, spec.id), 'net'), endpoint, rest)
  ctx.names.table.leave(network.id, spec.id)
  ctx.networks.release(network.id, spec.id)
  const hosts = join(fileDirOf(ctx, spec.id), 'hosts')
  let text = readFileSync(hosts, 'utf8')
  for (const address of addressesOf(endpoint)) text = withoutAddress(text, address)
  writeFileSync(hosts, text)
  const bound = await republish(ctx, record, before)
  ctx.records.save({ ...must(ctx, spec.id), ports: bound })
}

const withoutAny = 'container cannot be connected to multiple networks with one of the networks in private (none) mode'

/** The modes none and host have the names of networks, but are none to join. */
const joinable = (ctx: Context, reference: string): Network => {
  const network = ctx.networks.must(reference)
  if (network.spec.driver === 'null' && !network.spec.configOnly) throw new SlipwayError('invalid', withoutAny)
  if (network.spec.driver === 'host')
    throw new SlipwayError('invalid', 'container cannot be disconnected from host network or connected to host network')
  return network
}

const attachmentsOf = (spec: SandboxSpec): Attachment[] => {
  if (spec.network.mode === 'attached') return spec.network.attachments
  throw new SlipwayError(
    'invalid',
    spec.network.mode === 'none'
      ? withoutAny
      : 'container sharing network namespace with another container or host cannot be connected to any other network',
  )
}
const withAttachments = (record: StoredSandbox, attachments: Attachment[]): StoredSandbox => ({
  ...record,
  spec: { ...record.spec, network: { mode: 'attached', attachments } },
})

export const connect = async (ctx: Context, id: string, attachment: Attachment): Promise<Endpoint> =>
  await ctx.locks.run(id, async () => {
    const record = must(ctx, id)
    const attachments = attachmentsOf(record.spec)
    const network = joinable(ctx, attachment.network)
    if (attachments.some((other) => ctx.networks.get(other.network)?.id === network.id))
      throw new SlipwayError(
        'forbidden',
        `endpoint with name ${record.names[0] ?? record.spec.hostname} already exists in network ${network.spec.name}`,
      )
    if (record.state === 'stopped') {
      ctx.networks.check(attachment)
      ctx.records.save(withAttachments(record, [...attachments, attachment]))
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
    const wire = await connectLive(ctx, record, attachment)
    ctx.records.save(withAttachments(must(ctx, id), [...attachments, attachment]))
    emit(ctx, 'connect', id, wire)
    return wire.endpoint
  })

export const disconnect = async (ctx: Context, id: string, reference: string): Promise<void> =>
  await ctx.locks.run(id, async () => {
    const record = must(ctx, id)
    const known = ctx.networks.get(reference)
    if (known && record.spec.network.mode === 'host') joinable(ctx, known.id)
    const attachments = attachmentsOf(record.spec)
    const rest = attachments.filter((other) =>
      known ? ctx.networks.get(other.network)?.id !== known.id : other.network !== reference,
    )
    // Of a network that has been removed meanwhile only the name is left.
    if (!known && rest.length < attachments.length) return ctx.records.save(withAttachments(record, rest))
    const network = ctx.networks.must(reference)
    if (rest.length === attachments.length)
      throw new SlipwayError('forbidden', `container ${id} is not connected to network ${network.spec.name}`)
    const wire = ctx.networks.endpointsOf(id).find((other) => other.network.id === network.id)
    if (wire) await disconnectLive(ctx, record, wire)
    ctx.records.save(withAttachments(must(ctx, id), rest))
    if (wire) emit(ctx, 'disconnect', id, wire)
  })
