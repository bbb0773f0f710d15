/** The files docker writes for a container, as text: pure. */
import { formatResolvConf, isLoopback, type ResolvConf } from '../../lib/dns/index.ts'
import type { SandboxSpec } from '../types.ts'

const localhost = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`

/** "web.example.org web" or "web"; the host name may hold the domain. */
const ownNames = ({ hostname, domainname }: SandboxSpec): string => {
  const full = domainname ? `${hostname}.${domainname}` : hostname
  const [first] = full.split('.', 1)
  return first === full ? full : `${full} ${first}`
}

export const hostsLine = (spec: SandboxSpec, address: string): string => `${address}\t${ownNames(spec)}\n`

/** `gateways` are what 'host-gateway' means. `base` replaces the standard beginning (the host's own file, for mode host). */
export const renderHosts = (
  spec: SandboxSpec,
  addresses: readonly string[],
  gateways: readonly string[],
  base: string = localhost,
): string => {
  const extra = spec.hosts.flatMap(({ name, address }) =>
    (address === 'host-gateway' ? gateways : [address]).map((each) => `${each}\t${name}\n`),
  )
  const beginning = base === '' || base.endsWith('\n') ? base : `${base}\n`
  return [beginning, ...extra, ...addresses.map((address) => hostsLine(spec, address))].join('')
}

/** `text` without the lines of an address: what the user has added stays. */
export const withoutAddress = (text: string, address: string): string =>
  text
    .split('\n')
    .filter((line) => line.split(/\s+/)[0] !== address)
    .join('\n')

interface ResolvQuestion {
  spec: Pick<SandboxSpec, 'dns'>
  host: ResolvConf
  /** The resolver of ours that serves the sandbox, if one does. */
  resolver: string | undefined
  /** Shares the host's network: its loopback servers work there. */
  hostNetwork: boolean
}

/** What is given wins over the host's; "." as a search domain means none. */
export const renderResolvConf = ({ spec: { dns }, host, resolver, hostNetwork }: ResolvQuestion): string => {
  const given = dns.searches.length > 0 ? dns.searches : host.searches
  const searches = given.filter((search) => search !== '.')
  const options = dns.options.length > 0 ? [...dns.options] : [...host.options]
  if (resolver !== undefined) {
    if (!options.some((option) => option.startsWith('ndots:'))) options.push('ndots:0')
    return formatResolvConf({ servers: [resolver], searches, options })
  }
  const upstream = host.servers.filter((server) => hostNetwork || !isLoopback(server))
  return formatResolvConf({ servers: dns.servers.length > 0 ? dns.servers : upstream, searches, options })
}
