/** A container's networks and published ports, from docker's JSON: pure. */
import type { Attachment, PublishedPort } from '../../engine/types.ts'
import { contains, parseAddress, parseBlock } from '../../lib/ip.ts'
import { bad, defined } from './container-fields.ts'
import { splitLink } from './container-links.ts'
import type { ContainerConfig, EndpointConfig, HostConfig } from './wire.ts'

/** "net.ipv4.conf.IFNAME.log_martians=1,…" */
const sysctlsOf = (text: string | undefined): Record<string, string> | undefined => {
  if (!text) return undefined
  return Object.fromEntries(
    text.split(',').map((entry) => {
      const [key = '', value] = entry.split('=')
      if (!/^net\.(ipv4|ipv6|mpls)\.[a-z_]+\.IFNAME\.[a-z0-9_.]+$/i.test(key) || !value)
        throw bad(`invalid endpoint sysctl "${entry}": it must be net.X.Y.IFNAME.Z=VALUE`)
      // Docker's client writes options in small letters.
      return [key.replace(/\.ifname\./i, '.IFNAME.'), value]
    }),
  )
}

/** IPv4 in the clothes of IPv6, which is no address of a container. */
const mapped = parseBlock('::ffff:0:0/96')!
const isIpv6 = (text: string): boolean => {
  const address = parseAddress(text)
  return address?.family === 6 && !contains(mapped, address)
}

const linkLocal = ['169.254.0.0/16', 'fe80::/10'].map((text) => parseBlock(text)!)

/** Throws what dockerd says of addresses and names that this network cannot have (moby: daemon/container_operations.go). */
export const checkAddresses = (network: string, e: EndpointConfig): void => {
  const { IPv4Address, IPv6Address, LinkLocalIPs } = e.IPAMConfig ?? {}
  const wrong: string[] = []
  if (['bridge', 'host', 'none', 'default'].includes(network)) {
    if (IPv4Address || IPv6Address) wrong.push('user specified IP address is supported on user defined networks only')
    if (e.Aliases?.length) wrong.push('network-scoped alias is supported only for containers in user defined networks')
  }
  if (IPv4Address && parseAddress(IPv4Address)?.family !== 4) wrong.push(`invalid IPv4 address: ${IPv4Address}`)
  if (IPv6Address && !isIpv6(IPv6Address)) wrong.push(`invalid IPv6 address: ${IPv6Address}`)
  for (const address of LinkLocalIPs ?? [])
    if (!parseAddress(address)?.value) wrong.push(`invalid link-local IP address: ${address}`)
  const text = wrong.length === 1 ? wrong[0]! : wrong.map((each) => `* ${each}`).join('\n')
  if (wrong.length > 0) throw bad(`invalid config for network ${network}: invalid endpoint settings:\n${text}`)
  for (const address of LinkLocalIPs ?? [])
    if (!linkLocal.some((block) => contains(block, parseAddress(address)!)))
      throw bad(`invalid link local IP address: ${address}`)
}

export const attachment = (network: string, e: EndpointConfig): Attachment => {
  checkAddresses(network, e)
  const address = e.MacAddress
  if (address && !/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(address)) throw bad(`invalid MAC address ${address}`)
  const options = e.DriverOpts ?? {}
  const links = (e.Links ?? []).map((link) => {
    const { reference, alias } = splitLink(link)
    return { alias, name: reference }
  })
  return {
    network,
    aliases: e.Aliases ?? [],
    origin: e,
    ...defined({
      ipv4: e.IPAMConfig?.IPv4Address || undefined,
      ipv6: e.IPAMConfig?.IPv6Address || undefined,
      mac: address || undefined,
      linkLocal: e.IPAMConfig?.LinkLocalIPs?.length ? e.IPAMConfig.LinkLocalIPs : undefined,
      ifname: options['com.docker.network.endpoint.ifname'] || undefined,
      sysctls: sysctlsOf(options['com.docker.network.endpoint.sysctls']),
      gwPriority: e.GwPriority || undefined,
      links: links.length > 0 ? links : undefined,
    }),
  }
}

const portKey = (key: string): { port: number; protocol: 'tcp' | 'udp' | 'sctp' } => {
  const match = /^(\d+)(?:\/(tcp|udp|sctp))?$/i.exec(key)
  if (!match || Number(match[1]) > 65535) throw bad(`invalid port specification: "${key}"`)
  return { port: Number(match[1]), protocol: (match[2]?.toLowerCase() ?? 'tcp') as 'tcp' | 'udp' | 'sctp' }
}

export const portsOf = (config: ContainerConfig, host: HostConfig, imagePorts: string[]): PublishedPort[] => {
  const ports: PublishedPort[] = []
  for (const [key, bindings] of Object.entries(host.PortBindings ?? {})) {
    const { port, protocol } = portKey(key)
    const list = bindings?.length ? bindings : [{}]
    for (const b of list) {
      const range = /^(\d+)(?:-(\d+))?$/.exec(b.HostPort || '0')
      if (!range || Number(range[2] ?? range[1]) > 65535) throw bad(`invalid port specification: "${b.HostPort}"`)
      if (b.HostIp && !parseAddress(b.HostIp)) throw bad(`invalid IP address "${b.HostIp}"`)
      ports.push({
        hostIp: b.HostIp ?? '',
        hostPort: Number(range[1]),
        ...defined({ hostPortEnd: range[2] === undefined ? undefined : Number(range[2]) }),
        containerPort: port,
        protocol,
      })
    }
  }
  if (host.PublishAllPorts)
    for (const key of new Set([...Object.keys(config.ExposedPorts ?? {}), ...imagePorts])) {
      const { port, protocol } = portKey(key)
      if (!ports.some((p) => p.containerPort === port && p.protocol === protocol))
        ports.push({ hostIp: '', hostPort: 0, containerPort: port, protocol })
    }
  return ports
}
