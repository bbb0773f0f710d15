import { Conditions } from '../../lib/conditions.ts'
import { Agent } from '../../lib/http/node.ts'
import type { EndpointSlice, Service } from '../../spec/kube/generated/types.ts'
import { Service as Services } from '../../spec/kube/kinds.ts'
import { isOffered, type SliceIndex, type Target, targetsOf } from '../proxy/index.ts'
import type { Informer, Informers } from '../types.ts'
import type { Backend } from './routes.ts'

export interface Upstream {
  target: Target
  agent: Agent
  /** A request is on its way; to be called at its end. */
  begin(): () => void
}
interface Upstreams {
  /** Endpoints in the order they should be tried, another one first each time. */
  of(backend: Backend): Upstream[]
  /** Endpoints of the service may have changed: lets go of idle connections to those that are gone. */
  changed(service: string): void
  /** Resolves when the pod is no longer offered and no request to it is under way. */
  drained(podUid: string, signal?: AbortSignal): Promise<void>
  close(): void
}

interface Pool {
  agent: Agent
  podUid: string | undefined
  services: Set<string>
}

const none: ReadonlySet<string> = new Set()
const portOf = (service: Service, { name, number }: Backend['port']) =>
  (service.spec?.ports ?? []).find((port) => (name !== undefined ? port.name === name : port.port === number))
const keyOf = ({ address, port }: Target): string => `${address}:${port}`
/** Before the start nobody is sent anywhere. */
const empty: Pick<SliceIndex, 'of' | 'all'> = { of: () => [], all: () => [] }

/** Connections to endpoints, taken straight from the slices: no service address in between. */
export const createUpstreams = (informers: Informers, indexed: () => SliceIndex | undefined): Upstreams => {
  const services: Informer<Service> = informers.of(Services)
  const pools = createPools()
  const requests = createRequests()
  let turn = 0
  const index = () => indexed() ?? empty

  const targets = (backend: Backend): Target[] => {
    const [namespace, name] = backend.service.split('/') as [string, string]
    const service = services.get(namespace, name)
    const port = service && portOf(service, backend.port)
    if (!port) return []
    const slices: readonly EndpointSlice[] = index().of(backend.service)
    return targetsOf(port, slices, none)
  }

  return {
    of(backend) {
      const all = targets(backend)
      const shift = all.length > 1 ? turn++ % all.length : 0
      return [...all.slice(shift), ...all.slice(0, shift)].map((target) => ({
        target,
        agent: pools.of(target, backend.service).agent,
        begin: () => requests.begin(target.podUid),
      }))
    },
    changed(service) {
      const live = new Set<string>()
      for (const { endpoints = [] } of index().of(service))
        for (const { addresses, conditions } of endpoints)
          if (conditions?.ready !== false || conditions?.serving === true)
            for (const address of addresses) live.add(address)
      pools.retain(service, live)
      requests.changes.check()
    },
    drained: (podUid, signal) =>
      requests.changes.until(() => !isOffered(index().all(), podUid) && !requests.isBusy(podUid), signal),
    close: () => pools.close(),
  }
}

/** Kept connections, by endpoint. */
const createPools = () => {
  const pools = new Map<string, Pool>()
  /** Idle connections are closed at once; those in use end with their request. */
  const retire = (key: string, { agent }: Pool): void => {
    pools.delete(key)
    agent.maxFreeSockets = 0
    for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
  }
  return {
    of(target: Target, service: string): Pool {
      const known = pools.get(keyOf(target))
      if (known && known.podUid === target.podUid) {
        known.services.add(service)
        return known
      }
      known?.agent.destroy() // the address belongs to another pod now
      const agent = new Agent({ keepAlive: true, keepAliveMsecs: 15_000, maxFreeSockets: 64, scheduling: 'lifo' })
      const pool: Pool = { agent, podUid: target.podUid, services: new Set([service]) }
      pools.set(keyOf(target), pool)
      return pool
    },
    /** Lets go of the service's endpoints at other addresses than these. */
    retain(service: string, live: ReadonlySet<string>): void {
      for (const [key, pool] of pools)
        if (pool.services.has(service) && !live.has(key.slice(0, key.lastIndexOf(':')))) retire(key, pool)
    },
    close(): void {
      for (const { agent } of pools.values()) agent.destroy()
      pools.clear()
    },
  }
}

/** Requests under way, by the pod they go to. */
const createRequests = () => {
  const inUse = new Map<string, number>()
  const changes = new Conditions()
  return {
    changes,
    isBusy: (podUid: string): boolean => (inUse.get(podUid) ?? 0) > 0,
    /** Returns what ends it. */
    begin(podUid: string | undefined): () => void {
      if (podUid !== undefined) inUse.set(podUid, (inUse.get(podUid) ?? 0) + 1)
      let ended = false
      return () => {
        if (ended || podUid === undefined) return
        ended = true
        const left = (inUse.get(podUid) ?? 1) - 1
        if (left > 0) inUse.set(podUid, left)
        else inUse.delete(podUid)
        changes.check()
      }
    },
  }
}
