/** From Services and EndpointSlices to what the kernel should do, as data: pure. */
import type {
  DiscoveryV1EndpointPort,
  Endpoint,
  EndpointSlice,
  Service,
  ServicePort,
} from '../../spec/kube/generated/types.ts'

export type Protocol = 'tcp' | 'udp' | 'sctp'
export interface Target {
  address: string
  port: number
  podUid?: string | undefined
  /** Not a pod on a route of its own: a host-network pod, or a machine elsewhere. */
  outside: boolean
  /** Only taken because nobody is ready: terminating, but still serving. */
  lastResort: boolean
}
export interface PortPlan {
  /** "namespace/name:port/protocol" */
  key: string
  protocol: Protocol
  /** Addresses only this service answers at, with `port`. */
  virtual: string[]
  port: number
  /** Ports on every address of the machine. */
  hostPorts: number[]
  targets: Target[]
  /** Seconds a client stays with its target. */
  affinity?: number | undefined
}

export const serviceOf = (slice: EndpointSlice): string | undefined => {
  const name = slice.metadata.labels?.['kubernetes.io/service-name']
  return name === undefined ? undefined : `${slice.metadata.namespace}/${name}`
}
export const keyOf = (object: { metadata: { namespace?: string | undefined; name?: string | undefined } }): string =>
  `${object.metadata.namespace}/${object.metadata.name}`

const isIpv4 = (address: string): boolean => /^\d+\.\d+\.\d+\.\d+$/.test(address)

interface Candidate {
  endpoint: Endpoint
  port: number
}

const candidatesOf = (port: ServicePort, slices: readonly EndpointSlice[]): Candidate[] => {
  const protocol = port.protocol ?? 'TCP'
  const matches = (other: DiscoveryV1EndpointPort): boolean =>
    (other.name ?? '') === (port.name ?? '') && (other.protocol ?? 'TCP') === protocol && other.port !== undefined
  return slices
    .filter(({ addressType }) => addressType === 'IPv4')
    .flatMap((slice) => {
      const found = (slice.ports ?? []).find(matches)
      return found ? (slice.endpoints ?? []).map((endpoint) => ({ endpoint, port: found.port! })) : []
    })
}

/** Ready ones; without any, those that still serve while they terminate (KEP-1669). Sorted, each address once. */
export const targetsOf = (
  port: ServicePort,
  slices: readonly EndpointSlice[],
  hostAddresses: ReadonlySet<string>,
): Target[] => {
  const all = candidatesOf(port, slices)
  const ready = all.filter(({ endpoint }) => endpoint.conditions?.ready !== false)
  const lastResort = ready.length === 0
  const chosen = lastResort
    ? all.filter(({ endpoint: { conditions } }) => conditions?.serving === true && conditions.terminating === true)
    : ready
  const targets = new Map<string, Target>()
  for (const { endpoint, port: number } of chosen) {
    const address = endpoint.addresses[0]
    if (address === undefined || !isIpv4(address)) continue
    const pod = endpoint.targetRef?.kind === 'Pod'
    targets.set(`${address}:${number}`, {
      address,
      port: number,
      podUid: pod ? endpoint.targetRef?.uid : undefined,
      outside: !pod || hostAddresses.has(address),
      lastResort,
    })
  }
  return [...targets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, target]) => target)
}

export const planService = (
  service: Service,
  slices: readonly EndpointSlice[],
  hostAddresses: ReadonlySet<string>,
): PortPlan[] => {
  const spec = service.spec
  if (!spec || spec.type === 'ExternalName' || spec.clusterIP === 'None' || !spec.clusterIP) return []
  const ingress = (service.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]))
  const virtual = [...new Set([...(spec.clusterIPs ?? [spec.clusterIP]), ...(spec.externalIPs ?? []), ...ingress])]
    .filter(isIpv4)
    // The machine's own addresses are served by hostPorts.
    .filter((address) => !hostAddresses.has(address))
  return (spec.ports ?? []).map((port) => {
    const hostPorts = [
      ...(spec.type !== 'ClusterIP' && port.nodePort ? [port.nodePort] : []),
      ...(spec.type === 'LoadBalancer' && !spec.loadBalancerClass ? [port.port] : []),
      ...((spec.externalIPs ?? []).some((address) => hostAddresses.has(address)) ? [port.port] : []),
    ]
    const affinity =
      spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10800) : undefined
    const protocol = (port.protocol ?? 'TCP').toLowerCase() as Protocol
    return {
      key: `${keyOf(service)}:${port.name ?? port.port}/${protocol}`,
      protocol,
      virtual,
      port: port.port,
      hostPorts: [...new Set(hostPorts)],
      targets: targetsOf(port, slices, hostAddresses),
      ...(affinity === undefined ? {} : { affinity }),
    }
  })
}

/** Host ports somebody has to hold: of each, the first claimant by key wins. */
export interface Claim {
  protocol: Protocol
  port: number
  plan: PortPlan
}
export const claimsOf = (plans: Iterable<PortPlan>): { won: Claim[]; lost: Claim[] } => {
  const won = new Map<string, Claim>()
  const lost: Claim[] = []
  for (const plan of [...plans].sort((a, b) => (a.key < b.key ? -1 : 1)))
    for (const port of plan.hostPorts) {
      const claim = { protocol: plan.protocol, port, plan }
      const id = `${plan.protocol} ${port}`
      if (won.has(id)) lost.push(claim)
      else won.set(id, claim)
    }
  return { won: [...won.values()], lost }
}
