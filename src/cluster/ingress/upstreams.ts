import { Agent } from 'node:http'
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
  active: number
  podUid: string | undefined
  services: Set<string>
}

const none: ReadonlySet<string> = new Set()
const portOf = (service: Service, { name, number }: Backend['port']) =>
  (service.spec?.ports ?? []).find((port) => (name !== undefined ? port.name === name : port.port === number))

/** Connections to endpoints, taken straight from the slices: no service address in between. */
export const createUpstreams = (informers: Informers, indexed: () => SliceIndex | undefined): Upstreams => {
  const services: Informer<Service> = informers.of(Services)
  const pools = new Map<string, Pool>()
  const waiting = new Set<() => void>()
  let turn = 0
  /** Before the start nobody is sent anywhere. */
  const empty: Pick<SliceIndex, 'of' | 'all'> = { of: () => [], all: () => [] }
  const index = () => indexed() ?? empty

  const targets = (backend: Backend): Target[] => {
    const [namespace, name] = backend.service.split('/') as [string, string]
    const service = services.get(namespace, name)
    const port = service && portOf(service, backend.port)
    if (!port) return []
    const slices: readonly EndpointSlice[] = index().of(backend.service)
    return targetsOf(port, slices, none)
  }
  const keyOf = ({ address, port }: Target): string => `${address}:${port}`
  const poolOf = (target: Target, service: string): Pool => {
    const known = pools.get(keyOf(target))
    if (known && known.podUid === target.podUid) {
      known.services.add(service)
      return known
    }
    known?.agent.destroy() // the address belongs to another pod now
    const agent = new Agent({ keepAlive: true, keepAliveMsecs: 15_000, maxFreeSockets: 64, scheduling: 'lifo' })
    const pool: Pool = { agent, active: 0, podUid: target.podUid, services: new Set([service]) }
    pools.set(keyOf(target), pool)
    return pool
  }
  /** Idle connections are closed at once; those in use end with their request. */
  const retire = (key: string, pool: Pool): void => {
    pools.delete(key)
    pool.agent.maxFreeSockets = 0
    for (const sockets of Object.values(pool.agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
  }
  const inUse = new Map<string, number>()
  const isBusy = (podUid: string): boolean => isOffered(index().all(), podUid) || (inUse.get(podUid) ?? 0) > 0

  return {
    of(backend) {
      const all = targets(backend)
      const shift = all.length > 1 ? turn++ % all.length : 0
      return [...all.slice(shift), ...all.slice(0, shift)].map((target) => {
        const pool = poolOf(target, backend.service)
        return {
          target,
          agent: pool.agent,
          begin() {
            const uid = target.podUid
            if (uid !== undefined) inUse.set(uid, (inUse.get(uid) ?? 0) + 1)
            let ended = false
            return () => {
              if (ended || uid === undefined) return
              ended = true
              const left = (inUse.get(uid) ?? 1) - 1
              if (left > 0) inUse.set(uid, left)
              else inUse.delete(uid)
              for (const check of waiting) check()
            }
          },
        }
      })
    },
    changed(service) {
      const live = new Set<string>()
      for (const { endpoints = [] } of index().of(service))
        for (const { addresses, conditions } of endpoints)
          if (conditions?.ready !== false || conditions?.serving === true)
            for (const address of addresses) live.add(address)
      for (const [key, pool] of pools)
        if (pool.services.has(service) && !live.has(key.slice(0, key.lastIndexOf(':')))) retire(key, pool)
      for (const check of waiting) check()
    },
    drained: (podUid, signal) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (isBusy(podUid)) return
          waiting.delete(check)
          signal?.removeEventListener('abort', onAbort)
          resolve()
        }
        const onAbort = (): void => {
          waiting.delete(check)
          reject(signal!.reason)
        }
        if (signal?.aborted) return onAbort()
        signal?.addEventListener('abort', onAbort, { once: true })
        waiting.add(check)
        check()
      }),
    close() {
      for (const { agent } of pools.values()) agent.destroy()
      pools.clear()
    },
  }
}
