import { networkInterfaces } from 'node:os'
import { messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Service } from '../../spec/kube/generated/types.ts'
import { EndpointSlice as EndpointSlices, Service as Services } from '../../spec/kube/kinds.ts'
import type { Sys } from '../../sys/sys.ts'
import type { Informers, ServiceProxy } from '../types.ts'
import { createFlowSweeper, staleFlows } from './flows.ts'
import { createNodePorts } from './node-ports.ts'
import { claimsOf, keyOf, type PortPlan, planService } from './plan.ts'
import { createSliceIndex, isOffered, type SliceIndex } from './slice-index.ts'
import { createReporter } from './status.ts'
import { type Frame, renderChange, renderTable, type TableState, tableOf } from './table.ts'

interface ServiceProxyOptions {
  instance: { linkPrefix: string; nftTable: string }
  sys: Pick<Sys, 'firewall' | 'links'>
  informers: Informers
  client: ObjectClient
  log: Log
  clock: Clock
  /** What load balancers get: this machine's address. */
  nodeAddress: string
  /** Routed to nowhere, so that an address without a service is refused instead of leaving the machine. */
  serviceCidr?: string | undefined
  /** Addresses in it that are served on this machine, like the name server's. */
  reserved?: readonly string[] | undefined
  /** Tells users, as Events. */
  record?: ((service: Service, type: 'Normal' | 'Warning', reason: string, message: string) => void) | undefined
}
interface RunningServiceProxy extends ServiceProxy {
  /** Resolves when the kernel has the first complete set of rules, or the first attempt has failed (it goes on trying). */
  start(): Promise<void>
  /** The rules stay: pods go on being reachable while the daemon restarts. */
  close(): Promise<void>
  /** Deletes the rules. */
  remove(): Promise<void>
}

const retryMs = 1000
const portRetryMs = 5000
const checkEveryMs = 30_000

export const createServiceProxy = (options: ServiceProxyOptions): RunningServiceProxy => {
  const { sys, informers, clock, log } = options
  const reserved = options.reserved ?? []
  const frame: Frame = {
    table: `${options.instance.nftTable}_svc`,
    linkPrefix: options.instance.linkPrefix,
    reserved,
    serviceCidr: options.serviceCidr,
  }
  const services = informers.of(Services)
  const slices = informers.of(EndpointSlices)
  const ending = new AbortController()
  const ports = createNodePorts(log, () => verify())
  const report = createReporter(options)
  const sweep = createFlowSweeper(sys.firewall, clock, log, ending.signal)

  /** What each service should be, by its key. */
  const plans = new Map<string, PortPlan[]>()
  let index: SliceIndex | undefined
  const dirty = new Set<string>()
  /** What the kernel has; undefined: not known, everything is written. */
  let committed: TableState | undefined
  let committedPlans: PortPlan[] = []
  let committedAt = 0
  let asked = 0
  let running: Promise<void> | undefined
  const waiting = new Set<() => void>()
  const timers = new Set<NodeJS.Timeout>()
  const stops: (() => void)[] = []
  const { promise: firstTry, resolve: tried } = Promise.withResolvers<void>()
  let portsRefused = false

  /** Addresses that are this machine's: asked now and then, as laptops move. */
  let hostAddresses: ReadonlySet<string> = new Set()
  const lookAround = (): boolean => {
    const now = new Set([
      options.nodeAddress,
      ...Object.entries(networkInterfaces())
        .filter(([name]) => !name.startsWith(options.instance.linkPrefix))
        .flatMap(([, links]) => links ?? [])
        .filter(({ family }) => family === 'IPv4')
        .map(({ address }) => address),
    ])
    const changed = now.size !== hostAddresses.size || [...now].some((address) => !hostAddresses.has(address))
    hostAddresses = now
    return changed
  }

  const later = (ms: number, task: () => void): void => {
    const timer = setTimeout(() => {
      timers.delete(timer)
      task()
    }, ms).unref()
    timers.add(timer)
  }

  const replan = (): void => {
    for (const key of dirty) {
      const [namespace, name] = key.split('/') as [string, string]
      const service = services.get(namespace, name)
      const planned = service ? planService(service, index?.of(key) ?? [], hostAddresses) : []
      if (planned.length > 0) plans.set(key, planned)
      else plans.delete(key)
    }
    dirty.clear()
  }

  const applyOnce = async (): Promise<void> => {
    const turn = asked
    replan()
    const all = [...plans.values()].flat()
    const { won: claimed, lost } = claimsOf(all)
    const { won, refused } = await ports.settle(claimed)
    portsRefused = refused.length > 0
    const next = tableOf(all, won, reserved)
    const script = committed ? renderChange(frame.table, committed, next) : renderTable(frame, next)
    if (script !== '') await sys.firewall.apply(script)
    const stale = staleFlows(committedPlans, all)
    committed = next
    committedPlans = all
    committedAt = turn
    for (const check of waiting) check()
    tried()
    void sweep(stale)
    const taken = lost.map((claim) => ({
      claim,
      message: `port ${claim.port}/${claim.protocol} of this machine belongs to another service`,
    }))
    report(services.list(), [...refused, ...taken])
  }

  /** One transaction at a time; what changes meanwhile goes together into the next. */
  const run = async (): Promise<void> => {
    while (committedAt !== asked && !ending.signal.aborted) {
      try {
        await applyOnce()
      } catch (error) {
        log.error('service rules', { error: messageOf(error) })
        committed = undefined
        tried()
        await clock.sleep(retryMs, ending.signal).catch(() => {})
      }
    }
    // In the same turn as the last look at `asked`: a request in between would wait for a run that has ended.
    running = undefined
    if (portsRefused && timers.size === 0) later(portRetryMs, () => request())
  }
  const request = (key?: string): void => {
    if (key !== undefined) dirty.add(key)
    asked++
    // After this turn of the event loop: events that came together go together.
    running ??= new Promise<void>((go) => setImmediate(go)).then(run)
  }

  /** Writes everything if somebody has removed our table. */
  const verify = (): void => {
    sys.firewall
      .list('inet', frame.table)
      .then((text) => {
        if (text !== undefined || committed === undefined) return
        log.warn('the table of service rules was removed by somebody; writing it again', { table: frame.table })
        committed = undefined
        request()
      })
      .catch((error: unknown) => log.warn('service rules', { error: messageOf(error) }))
  }

  const periodically = (): void => {
    if (lookAround()) for (const service of services.list()) dirty.add(keyOf(service))
    if (dirty.size > 0) request()
    verify()
  }

  /** Is the pod a target of the rules the kernel has, other than for want of any other? */
  const isTarget = (podUid: string): boolean =>
    committedPlans.some(({ targets }) => targets.some((target) => target.podUid === podUid && !target.lastResort))
  return {
    async start() {
      lookAround()
      await Promise.all([services.synced, slices.synced])
      index = createSliceIndex(slices, request)
      stops.push(
        index.close,
        services.on(({ object }) => request(keyOf(object))),
      )
      for (const service of services.list()) request(keyOf(service))
      if (options.serviceCidr !== undefined)
        await routeServices(options.sys.links, frame.linkPrefix, options.serviceCidr)
      request()
      await firstTry
      const timer = setInterval(periodically, checkEveryMs).unref()
      stops.push(() => clearInterval(timer))
    },
    drained: (podUid, signal) =>
      new Promise<void>((resolve, reject) => {
        const check = (): void => {
          if (isTarget(podUid) || isOffered(index?.all() ?? [], podUid)) return
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
    async close() {
      ending.abort()
      for (const stop of stops) stop()
      for (const timer of timers) clearTimeout(timer)
      await running
      ports.close()
    },
    remove: async () => await sys.firewall.apply(`table inet ${frame.table} {\n}\ndelete table inet ${frame.table}\n`),
  }
}

/** A link nobody answers on (the dummy driver is not in every kernel): gives the host a route for service addresses. */
const routeServices = async (links: Sys['links'], linkPrefix: string, cidr: string): Promise<void> => {
  const name = `${linkPrefix}svc`
  await links.batch([`link add name ${name} type bridge`], { force: true })
  await links.batch([`link set dev ${name} up`, `route replace ${cidr} dev ${name}`])
}
