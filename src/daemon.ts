/** The daemon: makes every room, hands each what it needs, and brings them up and down in order. */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { flushCompileCache } from 'node:module'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { createBuilder } from './build/index.ts'
import { createApiServer } from './cluster/api/index.ts'
import { createRecorder, startControllers, storedKinds } from './cluster/controllers/index.ts'
import { createClusterDns } from './cluster/dns/index.ts'
import { createInformers } from './cluster/informers/index.ts'
import { createIngress } from './cluster/ingress/index.ts'
import { createKubelet, kubeletVersion } from './cluster/kubelet/index.ts'
import { createServiceProxy } from './cluster/proxy/index.ts'
import { startScheduler } from './cluster/scheduler/index.ts'
import type { User } from './cluster/types.ts'
import { createControlDoor } from './doors/control/index.ts'
import { createDockerDoor } from './doors/docker/index.ts'
import { adminKubeconfig, createKubeDoor, loadCertificates } from './doors/kube/index.ts'
import { createEngine, type Engine, type Network, type NetworkSpec } from './engine/index.ts'
import { messageOf } from './errors.ts'
import { instanceOf, socketsOf } from './instance.ts'
import { systemClock } from './lib/clock.ts'
import { openDatabase } from './lib/database.ts'
import { addressAt, contains, formatAddress, parseAddress, parseBlock } from './lib/ip.ts'
import { createLog, type Log } from './lib/log.ts'
import * as kinds from './spec/kube/kinds.ts'
import { createLinux, returnFreeMemory } from './sys/linux/index.ts'
import type { Sys } from './sys/sys.ts'

const version = '0.1.0'
const node: User = { name: 'system:node', groups: ['system:masters', 'system:nodes', 'system:authenticated'] }

/** Runs until SIGTERM, SIGINT or a stop request; resolves with the exit code. */
export const runDaemon = async (env: NodeJS.ProcessEnv): Promise<number> => {
  const log = createLog((line) => process.stderr.write(line), env.SLIPWAY_LOG === 'debug' ? 'debug' : 'info')
  const instance = instanceOf(env)
  process.umask(0o022)
  for (const dir of [instance.stateDir, instance.runDir, instance.logDir])
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  const lock = takeLock(join(instance.runDir, 'daemon.lock'))
  if (!lock) {
    log.error('another daemon serves this instance already', { run: instance.runDir })
    return 1
  }
  process.on('unhandledRejection', (error) =>
    log.error('unhandled rejection', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }),
  )
  const daemon = new Daemon(instance, log)
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
    daemon.onStop = resolve
  })
  try {
    await daemon.start()
  } catch (error) {
    log.error('the daemon could not start', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    return 1
  }
  await stopped
  log.info('stopping')
  await daemon.close()
  lock.close()
  return 0
}

/** A lock that the kernel lets go of when this process dies, however it dies. */
const takeLock = (path: string): { close(): void } | undefined => {
  const db = openDatabase(path)
  try {
    db.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return db
  } catch {
    db.close()
    return undefined
  }
}

class Daemon {
  onStop: () => void = () => {}
  readonly #instance: ReturnType<typeof instanceOf>
  readonly #log: Log
  readonly #startedAt = Date.now()
  /** Undone in reverse order by close(). */
  readonly #closers: (() => unknown)[] = []
  /** Stop what runs as well, once nothing starts it again. */
  #endContainers = false

  constructor(instance: ReturnType<typeof instanceOf>, log: Log) {
    this.#instance = instance
    this.#log = log
  }

  async start(): Promise<void> {
    const instance = this.#instance
    const log = this.#log
    const clock = systemClock
    const sockets = socketsOf(instance)
    const sys = createLinux(instance, log.room('sys'))
    this.#closers.push(returnFreeMemory())
    const db = openDatabase(join(instance.stateDir, 'slipway.db'))
    chmodSync(join(instance.stateDir, 'slipway.db'), 0o600)
    this.#closers.push(() => db.close())
    const engine = createEngine({ instance, sys, db, log: log.room('engine'), clock })
    this.#closers.push(
      () => engine.close(),
      () => (this.#endContainers ? stopContainers(engine) : undefined),
    )
    await engine.recover()
    const builder = createBuilder({ engine, instance, sys, db, log: log.room('build'), clock })
    this.#closers.push(() => builder.close())
    await builder.recover()

    const docker = createDockerDoor({ engine, builder, sys, instance, version, log: log.room('docker'), clock })
    this.#closers.push(() => docker.close())
    await docker.listen(sockets.docker)

    const cluster = await this.#startCluster({ engine, sys, db, log, clock })
    const control = createControlDoor({
      images: engine.images,
      builder,
      log: log.room('control'),
      status: async () => {
        const containers = engine.containers.list()
        const pods = await cluster.client(node).list(kinds.Pod)
        return {
          pid: process.pid,
          version,
          startedAt: this.#startedAt,
          home: instance.home,
          sockets: { docker: sockets.docker, kubernetes: cluster.url, control: sockets.control },
          kubeconfig: sockets.kubeconfig,
          counts: {
            containers: containers.length,
            running: containers.filter((c) => c.status === 'running').length,
            images: (await engine.images.list()).length,
            pods: pods.items.length,
            networks: engine.networks.list().length,
            volumes: engine.volumes.list().length,
          },
          memoryBytes: process.memoryUsage.rss(),
        }
      },
      stop: async ({ containers }) => {
        this.#endContainers = containers
        setTimeout(() => this.onStop(), 20)
      },
    })
    this.#closers.push(() => control.close())
    await control.listen(sockets.control)
    writeAtomically(
      sockets.daemon,
      JSON.stringify({ pid: process.pid, version, startedAt: this.#startedAt, sockets }),
      0o600,
    )
    this.#closers.push(() => rmSync(sockets.daemon, { force: true }))
    // A daemon may run for months and be killed: what it has compiled is kept now, for the next one.
    setTimeout(flushCompileCache, 3000).unref()
    log.info('ready', { ms: Date.now() - this.#startedAt, docker: sockets.docker, kubernetes: cluster.url })
  }

  async #startCluster(rooms: {
    engine: Engine
    sys: Sys
    db: ReturnType<typeof openDatabase>
    log: Log
    clock: typeof systemClock
  }) {
    const { engine, sys, db, clock } = rooms
    const instance = this.#instance
    const sockets = socketsOf(instance)
    const pods = (await clusterNetwork(engine, podNetwork)).subnets[0]!
    const services = parseBlock((await clusterNetwork(engine, serviceNetwork)).subnets[0]!.subnet)!
    const serviceCidr = `${formatAddress({ family: 4, value: services.base })}/${services.prefix}`
    const clusterIp = (n: bigint): string => formatAddress(addressAt(services, n))
    const address = await hostAddress(sys)
    const name = nodeName()
    const pki = {
      directory: join(instance.stateDir, 'pki'),
      clock,
      names: [name, address, clusterIp(1n), pods.gateway],
    }
    const certificates = loadCertificates(pki)
    const settingsFile = join(instance.stateDir, 'cluster.json')
    const settings = existsSync(settingsFile)
      ? (JSON.parse(readFileSync(settingsFile, 'utf8')) as { apiPort?: number })
      : {}
    const apiPort = settings.apiPort ?? (await freePort())
    writeAtomically(settingsFile, JSON.stringify({ ...settings, apiPort }), 0o600)
    const api = createApiServer({
      db,
      log: this.#log.room('api'),
      clock,
      options: {
        serviceCidr,
        clusterDnsAddress: clusterIp(10n),
        nodeName: name,
        ca: certificates.ca,
        apiAddress: pods.gateway, // where pods reach it; it exists as long as the pod network does
        apiPort,
      },
    })
    this.#closers.push(() => api.close())
    const door = createKubeDoor({ api, log: this.#log.room('kube'), clock, tls: certificates })
    const informers = createInformers(api.client({ ...node, name: 'system:informers' }), this.#log.room('informers'))
    this.#closers.push(() => informers.close())
    const nodeClient = api.client(node)
    const recorder = createRecorder(nodeClient, 'kubelet', clock, { log: this.#log, host: name })
    const proxy = createServiceProxy({
      instance,
      sys,
      informers,
      client: nodeClient,
      log: this.#log.room('proxy'),
      clock,
      nodeAddress: address,
      serviceCidr,
      reserved: [clusterIp(10n)],
      record: (service, type, reason, message) => recorder.event(kinds.Service, service, type, reason, message),
    })
    const dns = createClusterDns({
      instance,
      sys,
      informers,
      domain: 'cluster.local',
      address: clusterIp(10n),
      log: this.#log.room('dns'),
      clock,
    })
    const ingress = createIngress({
      informers,
      client: nodeClient,
      log: this.#log.room('ingress'),
      clock,
      nodeAddress: address,
    })
    const kubelet = createKubelet(
      {
        engine,
        client: nodeClient,
        informers,
        sys,
        // A pod may stop once no rule and no ingress sends anything to it.
        proxy: {
          drained: async (uid, signal) =>
            void (await Promise.all([proxy.drained(uid, signal), ingress.drained(uid, signal)])),
        },
        dns,
        record: (object, type, reason, message, details) =>
          recorder.event(kinds.Pod, object, type, reason, message, details),
        node: { name, address },
        network: podNetwork,
        stateDir: instance.stateDir,
        runDir: instance.runDir,
        log: this.#log.room('kubelet'),
        clock,
      },
      engine.events,
    )
    api.connectNodes(kubelet.nodes)
    await Promise.all([proxy.start(), dns.start()])
    this.#closers.push(
      () => proxy.close(),
      () => dns.close(),
    )
    const controllers = startControllers({
      client: (user) => api.client(user),
      informers,
      log: this.#log,
      clock,
      options: {
        rootCa: certificates.ca,
        resources: () => storedKinds(api.resources()),
        volumeRoot: join(instance.stateDir, 'volumes-kube'),
        directories: {
          create: async (path) => {
            await mkdir(path, { recursive: true })
            await chmod(path, 0o777) // whatever the umask: any user of a pod may write, as provisioners of directories do
          },
          remove: (path) => rm(path, { recursive: true, force: true }),
        },
      },
    })
    const scheduler = startScheduler({ client: (user) => api.client(user), informers, log: this.#log, clock })
    this.#closers.push(
      () => controllers.close(),
      () => scheduler.close(),
    )
    await kubelet.start()
    this.#closers.push(() => kubelet.close())
    await ingress.start()
    this.#closers.push(() => ingress.close())
    const { url } = await door.listen({ tcp: { host: '127.0.0.1', port: apiPort }, socket: sockets.kube })
    this.#closers.push(() => door.close())
    await door.listen({ tcp: { host: pods.gateway, port: apiPort, admits: podsAndUs(pods.subnet) } })
    // A name per instance, so that the files of several can be merged.
    const contextName = instance.home ? `slipway-${instance.id}` : 'slipway'
    writeAtomically(sockets.kubeconfig, adminKubeconfig(url!, certificates, contextName), 0o600)
    const renewal = lookAfter(this.#log, () => {
      const fresh = loadCertificates(pki)
      door.renew(fresh)
      writeAtomically(sockets.kubeconfig, adminKubeconfig(url!, fresh, contextName), 0o600)
    })
    this.#closers.push(() => clearInterval(renewal))
    this.#log.info('cluster is up', { version: kubeletVersion, services: serviceCidr })
    return { url: url!, client: (user: User) => api.client(user) }
  }

  async close(): Promise<void> {
    for (const close of this.#closers.toReversed()) {
      try {
        await close()
      } catch (error) {
        this.#log.error('closing failed', { error: messageOf(error) })
      }
    }
  }
}

/** Certificates are replaced long before they run out; a daemon that runs for months must do it too. */
const certificateCheckMs = 12 * 3600 * 1000

const lookAfter = (log: Log, renew: () => void): NodeJS.Timeout =>
  setInterval(() => {
    try {
      renew()
    } catch (error) {
      log.error('looking after the certificates failed', { error: messageOf(error) })
    }
  }, certificateCheckMs).unref()

/** The pod network's gateway answers on every link of this machine: only pods and this machine itself may connect there. */
const podsAndUs = (subnet: string): ((peer: string) => boolean) => {
  const block = parseBlock(subnet)!
  return (peer) => {
    const text = peer.replace(/^::ffff:/, '')
    const address = parseAddress(text)
    if (address && contains(block, address)) return true
    return Object.values(networkInterfaces()).some((link) => link?.some((own) => own.address === text))
  }
}

const podNetwork = 'slipway-pods'
const serviceNetwork = 'slipway-services'
/** Networks of the cluster are the engine's, so that no docker network ever takes the same addresses; docker's door hides them. */
const clusterNetworkLabel = 'dev.slipway.cluster'

const clusterNetwork = async (engine: Engine, name: string): Promise<Network> => {
  const existing = engine.networks.get(name)
  if (existing) return existing
  const spec: NetworkSpec = {
    name,
    driver: 'routed',
    internal: false,
    attachable: false,
    ipv6: false,
    ipam: [],
    options: {},
    labels: { [clusterNetworkLabel]: '' },
    dns: false,
  }
  // A network whose subnet was picked for it may move while nobody is on it; objects name these addresses, so it must not.
  const picked = await engine.networks.create(spec)
  await engine.networks.remove(picked.id)
  const [first] = picked.subnets
  return engine.networks.create({ ...spec, ipam: [{ subnet: first!.subnet, gateway: first!.gateway }] })
}

const writeAtomically = (path: string, text: string, mode: number): void => {
  writeFileSync(`${path}.new`, text, { mode })
  renameSync(`${path}.new`, path)
}

const freePort = async (): Promise<number> => {
  const { createServer } = await import('node:net')
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}

/** Node names are DNS-1123 subdomains. */
const nodeName = (): string =>
  hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]+/g, '-')
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '') || 'slipway'

/** The source address of the default route; loopback on a machine without one. */
const hostAddress = async (sys: Sys): Promise<string> => {
  const routes = (await sys.links.query(['-4', 'route', 'show', 'default'])) as { prefsrc?: string; dev?: string }[]
  const route = routes[0]
  if (!route) return '127.0.0.1'
  if (route.prefsrc) return route.prefsrc
  const links = (await sys.links.query(['-4', 'addr', 'show', 'dev', route.dev!])) as {
    addr_info?: { local: string; scope: string }[]
  }[]
  return links[0]?.addr_info?.find((a) => a.scope === 'global')?.local ?? '127.0.0.1'
}

const stopContainers = async (engine: Engine): Promise<void> => {
  const running = engine.containers.list().filter((c) => c.status === 'running' || c.status === 'paused')
  await Promise.all(running.map((c) => engine.containers.stop(c.id)))
  for (const sandbox of engine.sandboxes.list()) await engine.sandboxes.stop(sandbox.spec.id)
}
