import { SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { Log } from '../../lib/log.ts'
import type { Sys } from '../../sys/sys.ts'
import type { Endpoint, Events, Instance, Network } from '../types.ts'
import type { RulesKeeper } from './keeper.ts'
import { anchorName, bridgeName, parentName } from './links.ts'
import { defaultMtu } from './mtu.ts'
import { mtuOption } from './options.ts'
import type { Records, StoredNetwork } from './records.ts'

/** What the parts of this room share. */
export interface Context {
  instance: Instance
  sys: Sys
  events: Events
  clock: Clock
  log: Log
  records: Records
  rules: RulesKeeper
  /** By network id; 'create' for making one, so that two never pick the same subnet. */
  locks: KeyedMutex
  /** Networks whose interfaces and rules we have made. */
  up: Set<string>
  /** The last address given on a routed network: pods get fresh ones, so that nothing meets a predecessor's connections. */
  lastGiven: Map<string, string>
}

export const get = (ctx: Context, reference: string): StoredNetwork | undefined => {
  const exact = ctx.records.networks.get(reference)
  if (exact) return exact
  const all = [...ctx.records.networks.values()]
  const named = all.find((network) => network.spec.name === reference)
  if (named) return named
  const matches = reference.length >= 1 ? all.filter((network) => network.id.startsWith(reference)) : []
  if (matches.length > 1)
    throw new SlipwayError(
      'invalid',
      `network ${reference} is ambiguous (${matches.length} matches found based on ID prefix)`,
    )
  return matches[0]
}
export const must = (ctx: Context, reference: string): StoredNetwork => {
  const network = get(ctx, reference)
  if (!network) throw new SlipwayError('not-found', `network ${reference} not found`)
  return network
}

/** The link of the host that the network is, or sits on; '' for networks without one. */
export const linkName = (ctx: Context, { id, spec }: Pick<Network, 'id' | 'spec'>): string => {
  switch (spec.driver) {
    case 'routed':
      return anchorName(ctx.instance, id)
    case 'bridge':
      return spec.options['com.docker.network.bridge.name'] ?? bridgeName(ctx.instance, id)
    case 'macvlan':
    case 'ipvlan':
      return spec.options.parent || parentName(ctx.instance, id)
    default:
      return ''
  }
}

/** Links on a parent have its MTU unless another is asked for. */
export const mtu = ({ spec }: Network): number | undefined =>
  mtuOption(spec.options) ?? (spec.driver === 'macvlan' || spec.driver === 'ipvlan' ? undefined : defaultMtu())

/** Do its endpoints have an interface on our side? */
export const hasLinks = ({ spec }: Network): boolean => spec.driver === 'bridge' || spec.driver === 'routed'

/** By interface name. */
export const endpointsOf = (ctx: Context, sandboxId: string): { network: Network; endpoint: Endpoint }[] => {
  const found = [...ctx.records.networks.values()].flatMap((network) => {
    const stored = ctx.records.endpointsOf(network.id).get(sandboxId)
    return stored ? [{ network, endpoint: stored.endpoint }] : []
  })
  return found.sort((a, b) => a.endpoint.ifname.localeCompare(b.endpoint.ifname, 'en', { numeric: true }))
}
