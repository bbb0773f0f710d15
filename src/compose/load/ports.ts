/** The short form of `ports`: [[IP:]HOST:]CONTAINER[/PROTOCOL], each side a port or a range. */
import type { Port } from '../../spec/compose/project.ts'

const range = (text: string, what: string): [number, number] | string => {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  const first = Number(match?.[1])
  const last = match?.[2] === undefined ? first : Number(match[2])
  if (!match || last > 65535 || first > last) return `invalid ${what}: ${text}`
  return [first, last]
}

/** One entry for each container port; a string is what is wrong. */
export const parsePort = (spec: string): Port[] | string => {
  const [main = '', protocol = 'tcp', more] = spec.split('/')
  if (more !== undefined || !['tcp', 'udp', 'sctp'].includes(protocol.toLowerCase()))
    return `invalid proto: ${spec.slice(spec.indexOf('/') + 1)}`
  const match = /^(?:(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?([^:]*):)?([^:]*)$/.exec(main)
  if (!match) return `invalid ip address or port: ${spec}`
  const [, ip = '', host = '', container = ''] = match
  if (container === '') return `no port specified: ${spec}<empty>`
  const address = ip.replace(/^\[|\]$/g, '')
  if (address !== '' && !isAddress(address)) return `invalid ip address: ${address}`
  const targets = range(container, 'containerPort')
  if (typeof targets === 'string') return targets
  if (targets[0] < 1) return `invalid containerPort: ${container}`
  const hosts = host === '' ? undefined : range(host, 'hostPort')
  if (typeof hosts === 'string') return hosts
  const count = targets[1] - targets[0]
  if (hosts && hosts[1] - hosts[0] !== count && count !== 0)
    return `invalid ranges specified for container and host Ports: ${container} and ${host}`
  return Array.from({ length: count + 1 }, (_, i) => ({
    mode: 'ingress',
    ...(address && { host_ip: address }),
    target: targets[0] + i,
    ...(hosts && { published: count === 0 ? host : String(hosts[0] + i) }),
    protocol: protocol.toLowerCase(),
  }))
}

const isAddress = (text: string): boolean =>
  /^(\d{1,3}\.){3}\d{1,3}$/.test(text)
    ? text.split('.').every((part) => Number(part) < 256)
    : /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(text)
