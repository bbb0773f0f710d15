/** The Kubernetes side of the daemon: the API, what runs on this node, and the loops that keep objects true. */
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { createApiServer } from './cluster/api/index.ts'
import { createRecorder, startControllers, storedKinds } from './cluster/controllers/index.ts'
import { createClusterDns } from './cluster/dns/index.ts'
import { createInformers } from './cluster/informers/index.ts'
import { createIngress } from './cluster/ingress/index.ts'
import { createKubelet, kubeletVersion } from './cluster/kubelet/index.ts'
import { createServiceProxy } from './cluster/proxy/index.ts'
import { startScheduler } from './cluster/scheduler/index.ts'
import type { ApiServer, Informers, User } from './cluster/types.ts'
import { adminKubeconfig, createKubeDoor, loadCertificates } from './doors/kube/index.ts'
import type { Engine, Network } from './engine/index.ts'
import { messageOf } from './errors.ts'
import { type instanceOf, socketsOf } from './instance.ts'
import type { Clock } from './lib/clock.ts'
import { addressAt, contains, formatAddress, parseAddress, parseBlock } from './lib/ip.ts'
import type { Log } from './lib/log.ts'
import { writeAtomically } from './lib/write-atomically.ts'
import type { ObjectClient } from './spec/kube/client.ts'
import * as kinds from './spec/kube/kinds.ts'
import type { Sys } from './sys/sys.ts'

export interface ControlPlaneDeps {
  instance: ReturnType<typeof instanceOf>
  engine: Engine
  sys: Sys
  db: DatabaseSync
  log: Log
  clock: Clock
  /** Each part leaves here how it is closed; called in reverse order. */
  closers: (() => unknown)[]
}

const node: User = { name: 'system:node', groups: ['system:masters', 'system:nodes', 'system:authenticated'] }

/** Resolves when the API answers and the node works. */
export const startControlPlane = async (deps: ControlPlaneDeps): Promise<{ url: string; client: ObjectClient }> => {
  const { instance, db, log, clock, closers } = deps
  const place = await placeOf(deps)
  const pki = {
    directory: join(instance.stateDir, 'pki'),
    clock,
    names: [place.name, place.address, place.apiIp, place.pods.gateway],
  }
  const certificates = loadCertificates(pki)
  const api = createApiServer({
    db,
    log: log.room('api'),
    clock,
    options: {
      serviceCidr: place.serviceCidr,
      clusterDnsAddress: place.dnsIp,
      nodeName: place.name,
      ca: certificates.ca,
      apiAddress: place.pods.gateway, // where pods reach it; it exists as long as the pod network does
      apiPort: place.apiPort,
    },
  })
  closers.push(() => api.close())
  const door = createKubeDoor({ api, log: log.room('kube'), clock, tls: certificates })
  const informers = createInformers(api.client({ ...node, name: 'system:informers' }), log.room('informers'))
  closers.push(() => informers.close())
  const { proxy, dns, ingress, kubelet } = createNode(deps, place, api, informers)
  api.connectNodes(kubelet.nodes)
  deps.engine.networks.admit([
    { address: place.dnsIp, protocol: 'udp', port: 53 },
    { address: place.dnsIp, protocol: 'tcp', port: 53 },
    { address: place.pods.gateway, protocol: 'tcp', port: place.apiPort },
  ])
  await Promise.all([proxy.start(), dns.start()])
  closers.push(
    () => proxy.close(),
    () => dns.close(),
  )
  startLoops(deps, api, informers, certificates.ca)
  await kubelet.start()
  closers.push(() => kubelet.close())
  await ingress.start()
  closers.push(() => ingress.close())
  const url = await open(deps, place, door, certificates)
  closers.push(renewing(deps, url, pki, door))
  log.info('cluster is up', { version: kubeletVersion, services: place.serviceCidr })
  return { url, client: api.client(node) }
}

type Door = ReturnType<typeof createKubeDoor>
type Certificates = ReturnType<typeof loadCertificates>
type Place = Awaited<ReturnType<typeof placeOf>>

/** The names, addresses and ports of this cluster. They stay the same over restarts. */
const placeOf = async ({ engine, sys, instance }: ControlPlaneDeps) => {
  const pods = (await clusterNetwork(engine, podNetwork)).subnets[0]!
  const services = parseBlock((await clusterNetwork(engine, serviceNetwork)).subnets[0]!.subnet)!
  const settingsFile = join(instance.stateDir, 'cluster.json')
  const settings = existsSync(settingsFile)
    ? (JSON.parse(readFileSync(settingsFile, 'utf8')) as { apiPort?: number })
    : {}
  const apiPort = settings.apiPort ?? (await freePort())
  writeAtomically(settingsFile, JSON.stringify({ ...settings, apiPort }), 0o600)
  return {
    name: nodeName(),
    address: await hostAddress(sys),
    pods,
    serviceCidr: `${formatAddress({ family: 4, value: services.base })}/${services.prefix}`,
    apiIp: formatAddress(addressAt(services, 1n)),
    dnsIp: formatAddress(addressAt(services, 10n)),
    apiPort,
  }
}

/** What a node runs: the kubelet, and the ways to pods by address, by name and by HTTP. */
const createNode = (deps: ControlPlaneDeps, place: Place, api: ApiServer, informers: Informers) => {
  const { instance, engine, sys, clock } = deps
  const client = api.client(node)
  const recorder = createRecorder(client, 'kubelet', clock, { log: deps.log, host: place.name })
  const nodeAddress = place.address
  const proxy = createServiceProxy({
    instance,
    sys,
    informers,
    client,
    log: deps.log.room('proxy'),
    clock,
    nodeAddress,
    serviceCidr: place.serviceCidr,
    reserved: [place.dnsIp],
    record: (service, type, reason, message) => recorder.event(kinds.Service, service, type, reason, message),
  })
  const dnsLog = deps.log.room('dns')
  const dns = createClusterDns({
    instance,
    sys,
    informers,
    domain: 'cluster.local',
    address: place.dnsIp,
    log: dnsLog,
    clock,
  })
  const ingress = createIngress({ informers, client, log: deps.log.room('ingress'), clock, nodeAddress })
  const kubelet = createKubelet(
    {
      engine,
      client,
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
      node: { name: place.name, address: nodeAddress },
      network: podNetwork,
      stateDir: instance.stateDir,
      runDir: instance.runDir,
      log: deps.log.room('kubelet'),
      clock,
    },
    engine.events,
  )
  return { proxy, dns, ingress, kubelet }
}

/** Controllers and the scheduler. */
const startLoops = (
  { instance, log, clock, closers }: ControlPlaneDeps,
  api: ApiServer,
  informers: Informers,
  rootCa: string,
): void => {
  const client = (user: User): ObjectClient => api.client(user)
  const controllers = startControllers({
    client,
    informers,
    log,
    clock,
    options: {
      rootCa,
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
  const scheduler = startScheduler({ client, informers, log, clock })
  closers.push(
    () => controllers.close(),
    () => scheduler.close(),
  )
}

/** Opens the API's doors: on loopback, on a socket for our own command line, and where pods reach it. */
const open = async (deps: ControlPlaneDeps, place: Place, door: Door, certificates: Certificates): Promise<string> => {
  const { instance, closers } = deps
  const port = place.apiPort
  const { url } = await door.listen({ tcp: { host: '127.0.0.1', port }, socket: socketsOf(instance).kube })
  closers.push(() => door.close())
  await door.listen({ tcp: { host: place.pods.gateway, port, admits: podsAndUs(place.pods.subnet) } })
  writeKubeconfig(instance, url!, certificates)
  return url!
}

const writeKubeconfig = (instance: ControlPlaneDeps['instance'], url: string, certificates: Certificates): void => {
  // A name per instance, so that the files of several can be merged.
  const contextName = instance.home ? `slipway-${instance.id}` : 'slipway'
  writeAtomically(socketsOf(instance).kubeconfig, adminKubeconfig(url, certificates, contextName), 0o600)
}

/** Certificates are replaced long before they run out; a daemon that runs for months must do it too. */
const certificateCheckMs = 12 * 3600 * 1000

/** Returns what ends it. */
const renewing = (
  { instance, log }: ControlPlaneDeps,
  url: string,
  pki: Parameters<typeof loadCertificates>[0],
  door: Door,
): (() => void) => {
  const timer = setInterval(() => {
    try {
      const fresh = loadCertificates(pki)
      door.renew(fresh)
      writeKubeconfig(instance, url, fresh)
    } catch (error) {
      log.error('looking after the certificates failed', { error: messageOf(error) })
    }
  }, certificateCheckMs).unref()
  return () => clearInterval(timer)
}

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
  return engine.networks.create({
    name,
    driver: 'routed',
    internal: false,
    attachable: false,
    ipv6: false,
    ipam: [],
    options: {},
    labels: { [clusterNetworkLabel]: '' },
    dns: false,
    keepSubnets: true, // objects name these addresses
  })
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
