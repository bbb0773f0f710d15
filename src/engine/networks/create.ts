import { randomBytes } from 'node:crypto'
import { SlipwayError } from '../../errors.ts'
import type { Network, NetworkSpec } from '../types.ts'
import { bringUp, takeDown } from './bring-up.ts'
import { type Context, linkName, must } from './context.ts'
import { pickSubnets } from './pick.ts'
import type { StoredNetwork } from './records.ts'
import { validateSpec } from './validate.ts'

/** The three that are always there, as docker has them. */
export const predefined: NetworkSpec[] = (['bridge', 'host', 'none'] as const).map((name) => ({
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

export const add = async (ctx: Context, spec: NetworkSpec): Promise<StoredNetwork> => {
  const id = randomBytes(32).toString('hex')
  const addressed = spec.driver !== 'null' && spec.driver !== 'host' && !spec.configOnly
  const link = linkName(ctx, { id, spec })
  const network: StoredNetwork = {
    id,
    spec,
    createdAt: ctx.clock.now(),
    subnets: addressed ? await pickSubnets(ctx, spec, id) : [],
    picked: !spec.ipam.some(({ subnet }) => subnet !== undefined),
    ...(spec.driver === 'bridge' && !spec.configOnly ? { bridge: link } : {}),
    ...(addressed && ctx.sys.links.names().has(link) ? { foundLink: true } : {}),
  }
  ctx.records.save(network)
  return network
}

/** What the network it is configured by says. */
const configured = (ctx: Context, spec: NetworkSpec): NetworkSpec => {
  if (spec.configFrom === undefined) return spec
  const found = [...ctx.records.networks.values()].find(
    ({ spec: other, id }) => other.configOnly && (other.name === spec.configFrom || id === spec.configFrom),
  )
  if (!found) throw new SlipwayError('not-found', `configuration network "${spec.configFrom}" does not exist`)
  const { ipv4, ipv6, ipam, ipamOptions, options, labels } = found.spec
  return { ...spec, ipv4, ipv6, ipam, ipamOptions, options, labels, configFrom: found.spec.name }
}

export const create = async (ctx: Context, asked: NetworkSpec): Promise<Network> => {
  // One at a time, so that two never pick the same subnet.
  const network = await ctx.locks.run('create', async () => {
    validateSpec(asked, ctx.records.networks.values())
    const spec = configured(ctx, asked)
    if (spec !== asked) validateSpec({ ...spec, configFrom: undefined }, ctx.records.networks.values())
    const made = await add(ctx, spec)
    try {
      return await bringUp(ctx, made.id)
    } catch (error) {
      await takeDown(ctx, made)
      ctx.records.delete(made.id)
      throw error
    }
  })
  ctx.events.emit({
    type: 'network',
    action: 'create',
    id: network.id,
    attributes: { name: asked.name, type: asked.configOnly ? 'null' : asked.driver },
  })
  return network
}

export const remove = async (ctx: Context, reference: string): Promise<void> => {
  const network = must(ctx, reference)
  if (predefined.some(({ name }) => name === network.spec.name))
    throw new SlipwayError('forbidden', `${network.spec.name} is a pre-defined network and cannot be removed`)
  const { name: configuration } = network.spec
  if (
    network.spec.configOnly &&
    [...ctx.records.networks.values()].some(({ spec }) => spec.configFrom === configuration)
  )
    throw new SlipwayError(
      'forbidden',
      `error while removing network: configuration network "${configuration}" is in use`,
    )
  await ctx.locks.run(network.id, async () => {
    const active = [...ctx.records.endpointsOf(network.id).values()]
    if (active.length > 0)
      throw new SlipwayError(
        'forbidden',
        `error while removing network: network ${network.spec.name} has active endpoints (${active.map(({ name, sandboxId }) => `name:"${name}" id:"${sandboxId.slice(0, 12)}"`).join(', ')})`,
        { hint: 'Stop or disconnect them first.' },
      )
    // Gone from the records first: links without a record are removed by the next recover.
    ctx.records.delete(network.id)
    await takeDown(ctx, network)
  })
  const attributes = { name: network.spec.name, type: network.spec.driver }
  ctx.events.emit({ type: 'network', action: 'destroy', id: network.id, attributes })
}
