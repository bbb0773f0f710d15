import { networkInterfaces } from 'node:os'
import { messageOf } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { Conditions } from '../../lib/conditions.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { EndpointSlice, Service } from '../../spec/kube/generated/types.ts'
import { EndpointSlice as EndpointSlices, Service as Services } from '../../spec/kube/kinds.ts'
import type { Sys } from '../../sys/sys.ts'
import type { Informer, Informers, ServiceProxy } from '../types.ts'
import { createFlowSweeper, staleFlows } from './flows.ts'
import { createNodePorts, type NodePorts } from './node-ports.ts'
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
/** Asking whether the table is there costs next to nothing. */
const verifyEveryMs = 1000

export const createServiceProxy = (options: ServiceProxyOptions): RunningServiceProxy => new Proxier(options)

class Proxier implements RunningServiceProxy {
  readonly #options: ServiceProxyOptions
  readonly #frame: Frame
  readonly #services: Informer<Service>
  readonly #slices: Informer<EndpointSlice>
  readonly #ending = new AbortController()
  readonly #ports: NodePorts
  readonly #report: ReturnType<typeof createReporter>
  readonly #sweep: ReturnType<typeof createFlowSweeper>

  /** What each service should be, by its key. */
  readonly #plans = new Map<string, PortPlan[]>()
  readonly #dirty = new Set<string>()
  #index: SliceIndex | undefined
  /** Addresses that are this machine's: asked now and then, as laptops move. */
  #hostAddresses: ReadonlySet<string> = new Set()
  /** What the kernel has; undefined: not known, everything is written. */
  #committed: TableState | undefined
  #committedPlans: PortPlan[] = []
  #committedAt = 0
  #asked = 0
  #running: Promise<void> | undefined
  #portsRefused = false
  readonly #commits = new Conditions()
  readonly #firstTry = Promise.withResolvers<void>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #stops: (() => void)[] = []

  constructor(options: ServiceProxyOptions) {
    const { instance, informers, sys, clock, log, reserved = [], serviceCidr } = options
    this.#options = options
    this.#frame = { table: `${instance.nftTable}_svc`, linkPrefix: instance.linkPrefix, reserved, serviceCidr }
    this.#services = informers.of(Services)
    this.#slices = informers.of(EndpointSlices)
    this.#ports = createNodePorts(log, () => this.#verify())
    this.#report = createReporter(options)
    this.#sweep = createFlowSweeper(sys.firewall, clock, log, this.#ending.signal)
  }

  async start(): Promise<void> {
    const { sys, serviceCidr } = this.#options
    this.#lookAround()
    await Promise.all([this.#services.synced, this.#slices.synced])
    this.#index = createSliceIndex(this.#slices, (key) => this.#request(key))
    this.#stops.push(
      this.#index.close,
      this.#services.on(({ object }) => this.#request(keyOf(object))),
    )
    for (const service of this.#services.list()) this.#request(keyOf(service))
    if (serviceCidr !== undefined) await routeServices(sys.links, this.#frame.linkPrefix, serviceCidr)
    this.#request()
    await this.#firstTry.promise
    const timers = [
      setInterval(() => this.#periodically(), checkEveryMs).unref(),
      setInterval(() => this.#verify(), verifyEveryMs).unref(),
    ]
    this.#stops.push(() => timers.forEach(clearInterval))
  }

  async drained(podUid: string, signal?: AbortSignal): Promise<void> {
    await this.#commits.until(() => !this.#isTarget(podUid) && !isOffered(this.#index?.all() ?? [], podUid), signal)
  }

  async close(): Promise<void> {
    this.#ending.abort()
    for (const stop of this.#stops) stop()
    for (const timer of this.#timers) clearTimeout(timer)
    await this.#running
    this.#ports.close()
  }

  async remove(): Promise<void> {
    const { table } = this.#frame
    await this.#options.sys.firewall.apply(`table inet ${table} {\n}\ndelete table inet ${table}\n`)
  }

  #request(key?: string): void {
    if (key !== undefined) this.#dirty.add(key)
    this.#asked++
    // After this turn of the event loop: events that came together go together.
    this.#running ??= new Promise<void>((go) => setImmediate(go)).then(() => this.#run())
  }

  /** One transaction at a time; what changes meanwhile goes together into the next. */
  async #run(): Promise<void> {
    const { clock, log } = this.#options
    while (this.#committedAt !== this.#asked && !this.#ending.signal.aborted) {
      try {
        await this.#applyOnce()
      } catch (error) {
        log.error('service rules', { error: messageOf(error) })
        this.#committed = undefined
        this.#firstTry.resolve()
        await clock.sleep(retryMs, this.#ending.signal).catch(() => {})
      }
    }
    // In the same turn as the last look at what is asked: a request in between would wait for a run that has ended.
    this.#running = undefined
    if (this.#portsRefused && this.#timers.size === 0) this.#later(portRetryMs, () => this.#request())
  }

  async #applyOnce(): Promise<void> {
    const turn = this.#asked
    this.#replan()
    const all = [...this.#plans.values()].flat()
    const { won: claimed, lost } = claimsOf(all)
    const { won, refused } = await this.#ports.settle(claimed)
    this.#portsRefused = refused.length > 0
    const next = tableOf(all, won, this.#frame.reserved)
    const script = this.#committed
      ? renderChange(this.#frame.table, this.#committed, next)
      : renderTable(this.#frame, next)
    if (script !== '') await this.#options.sys.firewall.apply(script)
    const stale = staleFlows(this.#committedPlans, all)
    this.#committed = next
    this.#committedPlans = all
    this.#committedAt = turn
    this.#commits.check()
    this.#firstTry.resolve()
    void this.#sweep(stale)
    const taken = lost.map((claim) => ({
      claim,
      message: `port ${claim.port}/${claim.protocol} of this machine belongs to another service`,
    }))
    this.#report(this.#services.list(), [...refused, ...taken])
  }

  #replan(): void {
    for (const key of this.#dirty) {
      const [namespace, name] = key.split('/') as [string, string]
      const service = this.#services.get(namespace, name)
      const planned = service ? planService(service, this.#index?.of(key) ?? [], this.#hostAddresses) : []
      if (planned.length > 0) this.#plans.set(key, planned)
      else this.#plans.delete(key)
    }
    this.#dirty.clear()
  }

  #later(ms: number, task: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      task()
    }, ms).unref()
    this.#timers.add(timer)
  }

  #periodically(): void {
    if (this.#lookAround()) for (const service of this.#services.list()) this.#dirty.add(keyOf(service))
    if (this.#dirty.size > 0) this.#request()
  }

  /** Writes everything if somebody has removed our table. */
  #verify(): void {
    const { sys, log } = this.#options
    const { table } = this.#frame
    try {
      if (this.#committed === undefined || sys.firewall.has('inet', table)) return
    } catch (error) {
      log.warn('service rules', { error: messageOf(error) }) // no descriptor to ask with
      return
    }
    log.warn('the table of service rules was removed by somebody; writing it again', { table })
    this.#committed = undefined
    this.#request()
  }

  /** Have this machine's addresses changed? */
  #lookAround(): boolean {
    const { nodeAddress, instance } = this.#options
    const now = new Set([
      nodeAddress,
      ...Object.entries(networkInterfaces())
        .filter(([name]) => !name.startsWith(instance.linkPrefix))
        .flatMap(([, links]) => links ?? [])
        .filter(({ family }) => family === 'IPv4')
        .map(({ address }) => address),
    ])
    const changed =
      now.size !== this.#hostAddresses.size || [...now].some((address) => !this.#hostAddresses.has(address))
    this.#hostAddresses = now
    return changed
  }

  /** Is the pod a target of the rules the kernel has, other than for want of any other? */
  #isTarget(podUid: string): boolean {
    return this.#committedPlans.some(({ targets }) =>
      targets.some((target) => target.podUid === podUid && !target.lastResort),
    )
  }
}

/** A link nobody answers on (the dummy driver is not in every kernel): gives the host a route for service addresses. */
const routeServices = async (links: Sys['links'], linkPrefix: string, cidr: string): Promise<void> => {
  const name = `${linkPrefix}svc`
  await links.batch([`link add name ${name} type bridge`], { force: true })
  await links.batch([`link set dev ${name} up`, `route replace ${cidr} dev ${name}`])
}
