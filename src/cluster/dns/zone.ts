/**
 * The names of Services and pods, after the Kubernetes DNS specification 1.1.0: pure. What is in the zone is answered here, at
 * once, also when it does not exist: resolvers with search lists (ndots:5) ask for many names that do not.
 */
import type { Answer as ResourceRecord } from 'dns-packet'
import type { Known } from '../../lib/dns/index.ts'
import { addressOfReverseName, formatAddress, parseAddress } from '../../lib/ip.ts'
import type { Endpoint, EndpointSlice, Service } from '../../spec/kube/generated/types.ts'

/** What is there now. */
export interface ZoneView {
  service(namespace: string, name: string): Service | undefined
  slices(namespace: string, name: string): readonly EndpointSlice[]
  hasNamespace(name: string): boolean
  /** Full name of a service or endpoint with this address. */
  pointer(address: string): string | undefined
}
type ZoneAnswer = Known | { alias: string; record: ResourceRecord } | undefined

const ttl = 5

const soa = (domain: string): ResourceRecord => ({
  type: 'SOA',
  name: domain,
  ttl,
  data: {
    mname: `ns.dns.${domain}`,
    rname: `hostmaster.${domain}`,
    serial: 1,
    refresh: 7200,
    retry: 1800,
    expire: 86400,
    minimum: ttl,
  },
})

/** The name of an endpoint within its service: its host name, or its address with dashes. */
const endpointName = (endpoint: Endpoint, address: string): string => endpoint.hostname ?? address.replace(/[.:]/g, '-')

export const isHeadless = ({ spec }: Service): boolean => spec?.clusterIP === 'None'

interface Place {
  name: string
  address: string
  ports: { name: string; protocol: string; port: number }[]
}

/** Endpoints of a headless service that may be found. */
export const placesOf = (service: Service, slices: readonly EndpointSlice[]): Place[] => {
  const places = new Map<string, Place>()
  for (const slice of slices) {
    const ports = (slice.ports ?? []).flatMap(({ name = '', protocol = 'TCP', port }) =>
      port === undefined ? [] : [{ name, protocol: protocol.toLowerCase(), port }],
    )
    for (const endpoint of slice.endpoints ?? []) {
      if (endpoint.conditions?.ready === false && !service.spec?.publishNotReadyAddresses) continue
      for (const address of endpoint.addresses) {
        const known = places.get(address)
        if (known) known.ports.push(...ports)
        else places.set(address, { name: endpointName(endpoint, address), address, ports: [...ports] })
      }
    }
  }
  return [...places.values()]
}

const addressRecords = (name: string, type: string, addresses: readonly string[]): ResourceRecord[] =>
  type === 'A' || type === 'AAAA'
    ? addresses.filter((a) => a.includes(':') === (type === 'AAAA')).map((data) => ({ type, name, ttl, data }))
    : []

const srv = (name: string, target: string, port: number, count: number): ResourceRecord => ({
  type: 'SRV',
  name,
  ttl,
  data: { priority: 0, weight: Math.max(1, Math.floor(100 / count)), port, target },
})

interface Asked {
  /** As it was spelled. */
  name: string
  type: string
}

/** Labels in front of "SERVICE.NAMESPACE.svc.DOMAIN": none, an endpoint's name, or _PORT._PROTOCOL. */
const answerService = (
  asked: Asked,
  service: Service,
  slices: readonly EndpointSlice[],
  front: readonly string[],
  base: string,
): ResourceRecord[] | undefined => {
  const { name, type } = asked
  const { spec } = service
  const headless = isHeadless(service)
  const places = headless ? placesOf(service, slices) : []
  if (front.length === 0) {
    if (type === 'SRV')
      return headless
        ? places.flatMap((place) =>
            place.ports.map(({ port }) => srv(name, `${place.name}.${base}`, port, places.length)),
          )
        : (spec?.ports ?? []).map(({ port }) => srv(name, base, port, 1))
    const addresses = headless ? places.map(({ address }) => address) : (spec?.clusterIPs ?? [spec?.clusterIP ?? ''])
    return addressRecords(name, type, addresses)
  }
  if (front.length === 1) {
    const mine = places.filter((place) => place.name === front[0])
    if (mine.length === 0) return undefined
    return addressRecords(
      name,
      type,
      mine.map(({ address }) => address),
    )
  }
  if (front.length !== 2 || !front[0]!.startsWith('_') || !front[1]!.startsWith('_')) return undefined
  const [port, protocol] = front.map((label) => label.slice(1)) as [string, string]
  if (!headless) {
    const found = (spec?.ports ?? []).filter((p) => p.name === port && (p.protocol ?? 'TCP').toLowerCase() === protocol)
    if (found.length === 0) return undefined
    return type === 'SRV' ? found.map((p) => srv(name, base, p.port, 1)) : []
  }
  const found = places.flatMap((place) =>
    place.ports.filter((p) => p.name === port && p.protocol === protocol).map((p) => ({ place, port: p.port })),
  )
  if (found.length === 0) return undefined
  return type === 'SRV' ? found.map((one) => srv(name, `${one.place.name}.${base}`, one.port, found.length)) : []
}

/** Addresses of the targets that SRV records name, so that nobody has to ask again. */
const additionals = (
  records: readonly ResourceRecord[],
  service: Service,
  slices: readonly EndpointSlice[],
  base: string,
): ResourceRecord[] => {
  const targets = new Set(records.flatMap((record) => (record.type === 'SRV' ? [record.data.target] : [])))
  const places = isHeadless(service)
    ? placesOf(service, slices).map(({ name, address }) => ({ name: `${name}.${base}`, address }))
    : (service.spec?.clusterIPs ?? []).map((address) => ({ name: base, address }))
  return places
    .filter(({ name }) => targets.has(name))
    .flatMap(({ name, address }) => addressRecords(name, address.includes(':') ? 'AAAA' : 'A', [address]))
}

const answerPod = (asked: Asked, label: string): ResourceRecord[] | undefined => {
  const dotted = parseAddress(label.replaceAll('-', '.'))
  const address = dotted?.family === 4 ? dotted : parseAddress(label.replaceAll('-', ':'))
  return address ? addressRecords(asked.name, asked.type, [formatAddress(address)]) : undefined
}

/** `name` as asked (any case); `type` as 'A', 'SRV' …. undefined: not our zone. */
export const answerZone = (view: ZoneView, domain: string, name: string, type: string): ZoneAnswer => {
  const lower = name.toLowerCase().replace(/\.$/, '')
  const asked = { name, type }
  const reverse = addressOfReverseName(lower)
  if (reverse) {
    const pointer = view.pointer(formatAddress(reverse))
    return pointer === undefined
      ? undefined
      : { rcode: 'NOERROR', answers: type === 'PTR' ? [{ type: 'PTR', name, ttl, data: pointer }] : [] }
  }
  if (lower !== domain && !lower.endsWith(`.${domain}`)) return undefined
  const found = (answers: ResourceRecord[], more: ResourceRecord[] = []): Known =>
    answers.length > 0
      ? { rcode: 'NOERROR', answers, additionals: more }
      : { rcode: 'NOERROR', answers, authorities: [soa(domain)] }
  const missing: Known = { rcode: 'NXDOMAIN', answers: [], authorities: [soa(domain)] }
  const labels = lower === domain ? [] : lower.slice(0, -domain.length - 1).split('.')
  const kind = labels.pop()
  if (kind === undefined)
    return found(
      type === 'SOA' ? [soa(domain)] : type === 'NS' ? [{ type: 'NS', name, ttl, data: `ns.dns.${domain}` }] : [],
    )
  if (kind === 'dns-version' && labels.length === 0)
    return found(type === 'TXT' ? [{ type: 'TXT', name, ttl, data: '1.1.0' }] : [])
  if (kind !== 'svc' && kind !== 'pod') return missing
  const namespace = labels.pop()
  if (namespace === undefined) return found([])
  if (!view.hasNamespace(namespace)) return missing
  const last = labels.pop()
  if (last === undefined) return found([])
  if (kind === 'pod') {
    const records = labels.length === 0 ? answerPod(asked, last) : undefined
    return records ? found(records) : missing
  }
  const service = view.service(namespace, last)
  if (!service) return missing
  if (service.spec?.type === 'ExternalName') {
    const target = service.spec.externalName
    if (labels.length > 0 || !target) return missing
    return { alias: target, record: { type: 'CNAME', name, ttl, data: target } }
  }
  const slices = view.slices(namespace, last)
  const base = `${last}.${namespace}.svc.${domain}`
  const records = answerService(asked, service, slices, labels, base)
  return records ? found(records, additionals(records, service, slices, base)) : missing
}
