import { messageOf } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { EngineDeps } from '../deps.ts'
import type { Attachment, Endpoint, Network, Networks } from '../types.ts'
import { bringUp } from './bring-up.ts'
import { type Context, endpointsOf, get, hasLinks, linkName, mtu, must } from './context.ts'
import { add, create, predefined, remove } from './create.ts'
import { createRulesKeeper, type RulesKeeper } from './keeper.ts'
import { createHostRules, type HostRules } from './host-rules.ts'
import { announce, sweepOrphans } from './orphans.ts'
import { createRecords } from './records.ts'
import { reserve } from './reserve.ts'
import { checkWanted } from './validate.ts'

/** What sandboxes need of networks besides what everybody sees. */
export interface NetworkRoom extends Networks {
  rules: RulesKeeper
  hostRules: HostRules
  must(reference: string): Network
  /** Makes the network's interfaces if they are missing (after a reboot, or deleted by hand). */
  bringUp(networkId: string): Promise<Network>
  /** Records an endpoint with addresses of its own. 'forbidden' when an address asked for is in use. */
  reserve(
    sandboxId: string,
    name: string,
    attachment: Attachment,
    ifname: string,
  ): { network: Network; endpoint: Endpoint }
  /** 'invalid' when it asks for addresses that the network cannot give to anybody. */
  check(attachment: Attachment): void
  release(networkId: string, sandboxId: string): void
  rename(sandboxId: string, name: string): void
  endpointsOf(sandboxId: string): { network: Network; endpoint: Endpoint }[]
  /** The link of the host that the network is, or sits on. */
  linkName(network: Network): string
  /** Links with our prefix that may stay. */
  ownLinks(): Set<string>
  recover(): Promise<void>
}

/** Links that packets are forwarded by, as iptables names them: all with our prefix by one name. */
const forwardedLinks = (ctx: Context): string[] => {
  const up = [...ctx.records.networks.values()].filter((network) => ctx.up.has(network.id) && hasLinks(network))
  const named = up.map((network) => linkName(ctx, network)).filter((name) => !name.startsWith(ctx.instance.linkPrefix))
  return up.length === 0 ? [] : [`${ctx.instance.linkPrefix}+`, ...named]
}

export const createNetworks = (deps: EngineDeps): NetworkRoom => {
  const { instance, sys, events, clock } = deps
  const log = deps.log.room('networks')
  const records = createRecords(deps.db)
  const rules = createRulesKeeper(instance, sys.firewall, log)
  const ctx: Context = {
    instance,
    sys,
    events,
    clock,
    log,
    records,
    rules,
    locks: new KeyedMutex(),
    up: new Set(),
    lastGiven: new Map(),
  }
  const hostRules = createHostRules({ instance, sys, log, links: () => forwardedLinks(ctx) })
  return {
    create: async (spec) => await create(ctx, spec),
    get: (reference) => get(ctx, reference),
    must: (reference) => must(ctx, reference),
    list: () => [...records.networks.values()],
    remove: async (reference) => await remove(ctx, reference),
    endpoints: (reference) => [...records.endpointsOf(must(ctx, reference).id).values()],
    rules,
    hostRules,
    warnings: hostRules.warnings,
    admit: hostRules.admit,
    bringUp: async (networkId) => await bringUp(ctx, networkId),
    reserve: (sandboxId, name, attachment, ifname) => reserve(ctx, sandboxId, name, attachment, ifname),
    check(attachment) {
      const network = must(ctx, attachment.network)
      if (attachment.ipv4 !== undefined) checkWanted(attachment.ipv4, 4, network)
      if (attachment.ipv6 !== undefined) checkWanted(attachment.ipv6, 6, network)
    },
    release: (networkId, sandboxId) => records.deleteEndpoint(networkId, sandboxId),
    rename(sandboxId, name) {
      for (const { endpoint } of endpointsOf(ctx, sandboxId)) records.saveEndpoint({ sandboxId, name, endpoint })
    },
    endpointsOf: (sandboxId) => endpointsOf(ctx, sandboxId),
    mtu,
    ownLinks: () => new Set([...records.networks.values()].map((network) => linkName(ctx, network))),
    linkName: (network) => linkName(ctx, network),
    async recover() {
      announce(instance)
      void sweepOrphans(sys, instance.id, log)
      for (const spec of predefined) if (!get(ctx, spec.name)) await add(ctx, spec)
      for (const network of records.networks.values()) {
        // The default bridge is made when somebody first uses it: a cluster alone does not need it.
        if (network.spec.name === 'bridge' && records.endpointsOf(network.id).size === 0) continue
        try {
          await bringUp(ctx, network.id)
        } catch (error) {
          // It is tried again when somebody uses it; the others must not wait for that.
          log.error('cannot bring a network up', { network: network.spec.name, error: messageOf(error) })
        }
      }
    },
  }
}
