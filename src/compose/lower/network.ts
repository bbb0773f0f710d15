/** How a service is reached: Services, published ports, names; and what the pod sees of the network. */
import type { Port, Service } from '../../spec/compose/project.ts'
import type { ContainerPort, PodSpec, ServicePort } from '../../spec/kube/generated/types.ts'
import { Ingress, type KubeObject, Service as KubeService } from '../../spec/kube/kinds.ts'
import { hostIpAnnotation } from '../../spec/kube/runtime-annotation.ts'
import type { Lowering } from './context.ts'
import { contentHash, dnsLabel, serviceName } from './names.ts'
import { byKey, type Piece } from './piece.ts'

interface OpenPort {
  port: number
  protocol: string
  name?: string | undefined
  appProtocol?: string | undefined
}
const key = (p: OpenPort): string => `${p.port}/${p.protocol}`

/** Every port the container listens on: published, exposed by the file, exposed by the image. */
const openPorts = (service: Service, lowering: Lowering): OpenPort[] => {
  const published = (service.ports ?? []).map((p) => ({
    port: p.target,
    protocol: p.protocol,
    name: p.name,
    appProtocol: p.app_protocol,
  }))
  const specs = [...(service.expose ?? []), ...Object.keys(lowering.image(service).config?.ExposedPorts ?? {})]
  const exposed = specs.flatMap((spec) => {
    const match = /^(\d+)(?:-(\d+))?(?:\/(\w+))?$/.exec(spec)
    if (!match) return []
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])]
    return Array.from({ length: Math.min(1000, last - first + 1) }, (_, i) => ({
      port: first + i,
      protocol: match[3] ?? 'tcp',
    }))
  })
  // The first mention of a port wins: it may have a name.
  return byKey([...published, ...exposed].reverse(), key).sort(
    (a, b) => a.port - b.port || a.protocol.localeCompare(b.protocol),
  )
}

const portName = (p: OpenPort): string => (p.name === undefined ? `${p.protocol}-${p.port}` : dnsLabel(p.name, 15))
const portOf = (p: OpenPort): ServicePort => ({
  name: portName(p),
  port: p.port,
  targetPort: p.port,
  protocol: p.protocol.toUpperCase(),
  ...(p.appProtocol !== undefined && { appProtocol: p.appProtocol }),
})

export const containerPorts = (service: Service, lowering: Lowering): ContainerPort[] =>
  openPorts(service, lowering).map((p) => {
    const host = service.ports?.find((s) => s.mode === 'host' && s.target === p.port && s.protocol === p.protocol)
    return {
      name: portName(p).slice(0, 15),
      containerPort: p.port,
      protocol: p.protocol.toUpperCase(),
      ...(host?.published !== undefined && { hostPort: Number(host.published.split('-')[0]) }),
      ...(host?.host_ip !== undefined && { hostIP: host.host_ip }),
    }
  })

/** Objects of the service's own name, its aliases, and one for what is published. `pods` is the service whose pods answer. */
export const services = (service: Service, pods: Service, lowering: Lowering): KubeObject[] => {
  const ports = openPorts(service, lowering)
  const selector = lowering.selector(pods.name)
  const headless = ports.length === 0 || service.deploy?.endpoint_mode === 'dnsrr'
  const spec = { ...(headless && { clusterIP: 'None' }), selector, ...(ports.length && { ports: ports.map(portOf) }) }
  const own = lowering.nameOf(service.name)
  const names = new Map<string, string>()
  for (const { name, path } of aliases(service, lowering)) {
    const label = serviceName(name)
    if (label === own || names.has(label)) continue
    const other = Object.keys(lowering.project.services).find((s) => s !== service.name && lowering.nameOf(s) === label)
    if (other)
      lowering.warn(
        service.name,
        path,
        `"${name}" is also the name of service "${other}", which keeps it`,
        'Choose another alias.',
      )
    else if (label !== name.toLowerCase())
      lowering.warn(
        service.name,
        path,
        `"${name}" cannot be the name of a Service; "${label}" is used`,
        'Use small letters, digits and dashes.',
      )
    if (!other) names.set(label, path)
  }
  return [
    lowering.object(KubeService, own, { spec }, { service: service.name }),
    ...[...names.keys()].map((name) =>
      lowering.object(KubeService, name, { spec }, { service: service.name, labels: { 'slipway.dev/alias-of': own } }),
    ),
    ...externalLinks(service, lowering),
    ...published(service, selector, lowering),
  ]
}

/** Other names under which a service is known: network aliases, container_name, and what links to it call it. */
const aliases = (service: Service, lowering: Lowering): { name: string; path: string }[] => {
  const result = Object.entries(service.networks ?? {}).flatMap(([network, options]) =>
    (options?.aliases ?? []).map((name, i) => ({ name, path: `networks.${network}.aliases.${i}` })),
  )
  if (service.container_name !== undefined) result.push({ name: service.container_name, path: 'container_name' })
  for (const other of Object.values(lowering.project.services))
    for (const link of other.links ?? []) {
      const [target, alias] = link.split(':')
      if (target === service.name && alias) result.push({ name: alias, path: 'networks' })
    }
  return result
}

/** A container of another project, by the name Compose gives it: PROJECT-SERVICE-1. */
const externalLinks = (service: Service, lowering: Lowering): KubeObject[] =>
  (service.external_links ?? []).flatMap((link, i) => {
    const [target = '', alias = target] = link.split(':')
    const match = /^(.+)[-_]([^-_]+)[-_]\d+$/.exec(target)
    if (!match) {
      lowering.refuse(
        service.name,
        `external_links.${i}`,
        `"${target}" cannot be told to be a service of a project`,
        'Write PROJECT-SERVICE-1, or use the DNS name SERVICE.PROJECT.',
      )
      return []
    }
    const externalName = `${serviceName(match[2]!)}.${dnsLabel(match[1]!)}.svc.cluster.local`
    return [
      lowering.object(
        KubeService,
        serviceName(alias),
        { spec: { type: 'ExternalName', externalName } },
        { service: service.name },
      ),
    ]
  })

const isLoopback = (ip: string): boolean => /^127\.|^::1$/.test(ip)

/** Two services cannot listen on one port of one address. */
export const refuseSharedPorts = (services: Service[], lowering: Lowering): void => {
  const taken = new Map<string, { service: string; ip: string }[]>()
  for (const service of services)
    for (const [i, port] of (service.ports ?? []).entries()) {
      if (port.published === undefined || port.published.includes('-') || port.published === '0') continue
      const key = `${port.published}/${port.protocol}`
      const ip = ['0.0.0.0', '::', undefined].includes(port.host_ip) ? '' : port.host_ip!
      const others = taken.get(key) ?? []
      const other = others.find((o) => o.service !== service.name && (o.ip === ip || o.ip === '' || ip === ''))
      if (other && lowering.local)
        lowering.refuse(
          service.name,
          `ports.${i}`,
          `port ${key} is published by "${other.service}" too`,
          'Give one of them another published port.',
        )
      taken.set(key, [...others, { service: service.name, ip }])
    }
}

/** `ports`: a LoadBalancer for each address of this machine that is asked for; a NodePort where any free port will do. */
const published = (service: Service, selector: Record<string, string>, lowering: Lowering): KubeObject[] => {
  const balanced = (service.ports ?? []).flatMap((port, i) =>
    port.mode === 'host' ? [] : [{ port, path: `ports.${i}` }],
  )
  const name = `${lowering.nameOf(service.name)}-published`
  const byAddress = new Map<string, Port[]>()
  const free: Port[] = []
  for (const { port, path } of balanced) {
    const ip = port.host_ip === undefined || ['0.0.0.0', '::', ''].includes(port.host_ip) ? '' : port.host_ip
    if (port.published?.includes('-'))
      lowering.warn(
        service.name,
        path,
        `a range (${port.published}) publishes its first port only; it answers for all replicas`,
        'Publish one port.',
      )
    if (ip && !lowering.local) {
      lowering.warn(
        service.name,
        path,
        isLoopback(ip)
          ? `${ip}:${port.published ?? ''} is for this machine only and is not published on a cluster`
          : `address ${ip} cannot be chosen on a cluster`,
        isLoopback(ip) ? 'Use `slipway port-forward`, or leave the address out.' : 'Leave the address out.',
      )
      if (isLoopback(ip)) continue
    }
    const where = lowering.local ? ip : ''
    if (port.published === undefined || port.published === '0') free.push(port)
    else byAddress.set(where, [...(byAddress.get(where) ?? []), port])
  }
  const publish = (p: Port): ServicePort => ({
    name: `${p.protocol}-${first(p.published!)}`,
    port: first(p.published!),
    targetPort: p.target,
    protocol: p.protocol.toUpperCase(),
    ...(p.app_protocol !== undefined && { appProtocol: p.app_protocol }),
  })
  const balancers = [...byAddress].map(([ip, ports]) =>
    lowering.object(
      KubeService,
      ip === '' ? name : `${name}-${/^[\d.]+$/.test(ip) ? ip.replaceAll('.', '-') : contentHash(ip)}`,
      {
        spec: {
          type: 'LoadBalancer',
          ...(lowering.local && { allocateLoadBalancerNodePorts: false }),
          selector,
          ports: byKey(ports.map(publish), (p) => p.name!),
        },
      },
      { service: service.name, ...(ip !== '' && { annotations: { [hostIpAnnotation]: ip } }) },
    ),
  )
  if (!free.length) return balancers
  const ports = free.map((p) => ({
    name: `${p.protocol}-${p.target}`,
    port: p.target,
    targetPort: p.target,
    protocol: p.protocol.toUpperCase(),
  }))
  return [
    ...balancers,
    lowering.object(
      KubeService,
      `${lowering.nameOf(service.name)}-nodeport`,
      { spec: { type: 'NodePort', selector, ports: byKey(ports, (p) => p.name) } },
      { service: service.name },
    ),
  ]
}
const first = (range: string): number => Number(range.split('-')[0])

export const ingress = (service: Service, lowering: Lowering): KubeObject[] => {
  const knobs = service['x-slipway']
  if (!knobs?.host && knobs?.path === undefined) return []
  const open = openPorts(service, lowering).filter((p) => p.protocol === 'tcp')
  const port = knobs.port ?? service.ports?.find((p) => p.protocol === 'tcp')?.target ?? open[0]?.port
  if (port === undefined) {
    lowering.refuse(
      service.name,
      'x-slipway.host',
      'there is no port to send requests to',
      'Give the service `expose:` or `ports:`.',
    )
    return []
  }
  const name = lowering.nameOf(service.name)
  const http = {
    paths: [{ path: knobs.path ?? '/', pathType: 'Prefix', backend: { service: { name, port: { number: port } } } }],
  }
  const secretName = typeof knobs.tls === 'string' && !/^(true|false)$/.test(knobs.tls) ? knobs.tls : `${name}-tls`
  const tls = knobs.tls !== undefined && String(knobs.tls) !== 'false'
  return [
    lowering.object(
      Ingress,
      name,
      {
        spec: {
          ...(tls && { tls: [{ hosts: knobs.host, secretName }] }),
          rules: knobs.host ? knobs.host.map((host) => ({ host, http })) : [{ http }],
        },
      },
      { service: service.name },
    ),
  ]
}

/** What the pod sees: names, resolvers, addresses of its own. */
export const podNetwork = (service: Service, lowering: Lowering): Piece => {
  const hosts = (service.extra_hosts ?? []).map((entry) => {
    const cut = entry.indexOf('=')
    return { name: entry.slice(0, cut), address: entry.slice(cut + 1) }
  })
  const gateway = hosts.filter((h) => h.address === 'host-gateway')
  if (gateway.length)
    lowering.onlyHere(
      service.name,
      'extra_hosts',
      'host-gateway: a pod on a cluster has no "machine it runs on" to speak to',
      'Use a Service or an address.',
      'refuse',
    )
  const byAddress = new Map<string, string[]>()
  for (const { name, address } of hosts)
    if (address !== 'host-gateway') byAddress.set(address, [...(byAddress.get(address) ?? []), name])
  if (service.dns?.length)
    lowering.warn(
      service.name,
      'dns',
      "the resolvers are asked after the cluster's own, which knows the services",
      'Leave it out unless other names do not resolve.',
    )
  const dnsConfig = {
    ...(service.dns?.length && { nameservers: service.dns }),
    ...(service.dns_search?.length && { searches: service.dns_search.filter((s) => s !== '.') }),
    ...(service.dns_opt?.length && {
      options: service.dns_opt.map((option) => {
        const [name = '', value] = option.split(':')
        return { name, ...(value !== undefined && { value }) }
      }),
    }),
  }
  const hostname = service.hostname
  const validHost = hostname !== undefined && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(hostname)
  if (hostname !== undefined && !validHost)
    lowering.warn(
      service.name,
      'hostname',
      `"${hostname}" is no host name that a pod can have; the pod's name is used`,
      'Use small letters, digits and dashes.',
    )
  if (service.domainname !== undefined)
    lowering.onlyHere(service.name, 'domainname', "a pod's domain is that of the cluster", 'Leave it out.')
  const own = addresses(service, lowering)
  const mode = networkMode(service, lowering)
  return {
    pod: {
      ...mode.pod,
      ...(byAddress.size && { hostAliases: [...byAddress].map(([ip, hostnames]) => ({ ip, hostnames })) }),
      ...(Object.keys(dnsConfig).length && { dnsConfig }),
      ...(validHost && { hostname }),
    } as Partial<PodSpec>,
    podRuntime: {
      ...own,
      ...mode.podRuntime,
      ...(gateway.length && lowering.local && { hosts: gateway }),
      ...(service.domainname !== undefined && { domainname: service.domainname }),
    },
  }
}

const networkMode = (service: Service, lowering: Lowering): Piece => {
  const mode = service.network_mode
  if (mode === 'host') return { pod: { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' } }
  if (mode === 'none') {
    return lowering.local ? { podRuntime: { network: 'none' } } : {} // elsewhere a NetworkPolicy that allows nothing
  }
  if (mode?.startsWith('container:'))
    lowering.refuse(
      service.name,
      'network_mode',
      `${mode}: containers outside the project cannot be joined`,
      'Make both services of one project and use "service:NAME".',
    )
  else if (mode !== undefined && !['bridge', 'default'].includes(mode) && !mode.startsWith('service:'))
    lowering.refuse(service.name, 'network_mode', `"${mode}" is not known`, 'Use bridge, host, none or service:NAME.')
  return {}
}

const addresses = (service: Service, lowering: Lowering): NonNullable<Piece['podRuntime']> => {
  const result: NonNullable<Piece['podRuntime']> = {}
  const scaled = lowering.isScaled(service)
  const take = (field: 'ipv4' | 'ipv6' | 'mac', value: string | undefined, path: string): void => {
    if (value === undefined) return
    if (scaled)
      lowering.refuse(
        service.name,
        path,
        `${value} cannot belong to several replicas`,
        'Leave it out; the service name resolves to all replicas.',
      )
    // Pods have one interface on one network, whose range is not the file's.
    else if (field !== 'mac')
      lowering.warn(
        service.name,
        path,
        `the address ${value} is not given to the pod: pods take theirs from one range`,
        "Use the service's name.",
      )
    else {
      lowering.onlyHere(service.name, path, 'a pod cannot choose its MAC address', 'Leave it out.')
      result.mac = value
    }
  }
  take('mac', service.mac_address, 'mac_address')
  for (const [name, options] of Object.entries(service.networks ?? {})) {
    const path = `networks.${name}`
    take('ipv4', options?.ipv4_address, `${path}.ipv4_address`)
    take('ipv6', options?.ipv6_address, `${path}.ipv6_address`)
    take('mac', options?.mac_address, `${path}.mac_address`)
    for (const key of ['interface_name', 'link_local_ips', 'driver_opts', 'priority', 'gw_priority'] as const)
      if (options?.[key] !== undefined)
        lowering.warn(
          service.name,
          `${path}.${key}`,
          `${key}: a pod has one interface, eth0, on one network`,
          'Leave it out.',
        )
  }
  return result
}
