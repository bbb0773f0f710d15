import { isIP } from 'node:net'
import { SlipwayError } from '../../errors.ts'
import { contains, parseAddress, parseBlock } from '../../lib/ip.ts'
import type { RegistryAuth } from '../types.ts'
import { certificatesIn } from './certificates.ts'
import { hostsFile } from './hosts-file.ts'
import type { Trust } from './http.ts'
import { isLoopback } from '../../lib/http/loopback.ts'

/** What the machine's owner may set about registries: docs/registries.md. */
export interface RegistrySettings {
  /** Hosts (with their port) and address blocks that may be spoken to over http or with an unverifiable certificate. */
  insecure?: string[] | undefined
  /**
   * Base URLs to ask first, by the registry they stand for: 'docker.io', 'registry.example:5000', or '*' for any. User and
   * password in the URL are the mirror's own.
   */
  mirrors?: Record<string, string[]> | undefined
  /** Directories of HOST/hosts.toml, or HOST/ca.crt, HOST/*.cert and *.key. */
  certificates?: string[] | undefined
}
/** One way to reach a registry. */
export interface Origin {
  url: URL
  trust: Trust
  /** Asked before the registry itself, for reading, and without its credentials. */
  mirror: boolean
  /** The URL's path stands for /v2 (override_path). */
  wholePath?: boolean | undefined
  headers?: Record<string, string> | undefined
  /** A mirror's own credentials. */
  auth?: RegistryAuth | undefined
  /** Of hosts.toml; default: a mirror resolves and pulls, the registry itself does everything. */
  pulls?: boolean | undefined
  resolves?: boolean | undefined
  pushes?: boolean | undefined
}

export const machineCertificates: readonly string[] = [
  '/etc/slipway/certs.d',
  '/etc/docker/certs.d',
  '/etc/containers/certs.d',
  '/etc/containerd/certs.d',
]

/** The ways to reach the registry of an image name, best first. */
export const originsOf = (domain: string, settings: RegistrySettings): Origin[] => {
  const host = domain === 'docker.io' ? 'registry-1.docker.io' : domain
  const directories = settings.certificates ?? machineCertificates
  const configured = fromHostsFile(domain, directories, new URL(`https://${host}/`))
  if (configured) return configured
  const trust = trustFor(domain, directories)
  const https = { url: new URL(`https://${host}/`), trust, mirror: false }
  const http = { url: new URL(`http://${host}/`), trust: {}, mirror: false }
  const wanted = settings.mirrors?.[domain] ?? settings.mirrors?.['*'] ?? []
  const mirrors = wanted.map((mirror) => mirrorOf(mirror, settings, directories))
  const unverified = { ...https, trust: { ...trust, insecure: true } }
  // With a certificate given for it, even a loopback registry is taken at its word.
  if (trust.ca) return [...mirrors, https]
  if (isLoopback(domain)) return [...mirrors, http, unverified]
  if (isInsecure(domain, settings.insecure ?? [])) return [...mirrors, unverified, http]
  return [...mirrors, https]
}

const mirrorOf = (text: string, settings: RegistrySettings, directories: readonly string[]): Origin => {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol))
    throw new SlipwayError('invalid', `"${text}" is no address of a registry mirror`)
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  const [username, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)]
  url.username = url.password = '' // they go where they are asked for, not into messages
  const trust = trustFor(url.host, directories)
  const insecure = isInsecure(url.host, settings.insecure ?? []) || isLoopback(url.host)
  return {
    url,
    trust: insecure && !trust.ca ? { ...trust, insecure: true } : trust,
    mirror: true,
    ...(username !== '' && { auth: { username, password } }),
  }
}

const fromHostsFile = (domain: string, directories: readonly string[], upstream: URL): Origin[] | undefined => {
  // containerd's spellings: HOST:PORT, HOST_PORT_ where a colon cannot stand, and _default for all others.
  for (const name of [domain, domain.replace(/:(\d+)$/, '_$1_'), '_default'])
    for (const directory of directories) {
      const found = hostsFile(`${directory}/${name}`, upstream)
      if (found) return found
    }
  return undefined
}

/** Exactly this HOST:PORT, a host whatever its port, or an address within a block. */
const isInsecure = (domain: string, insecure: string[]): boolean => {
  const host = domain.replace(/:\d+$/, '')
  const address = isIP(host.replace(/^\[|\]$/g, '')) ? parseAddress(host.replace(/^\[|\]$/g, '')) : undefined
  return insecure.some((each) => {
    if (each === domain || each === host) return true
    const block = each.includes('/') ? parseBlock(each) : undefined
    return block !== undefined && address !== undefined && contains(block, address)
  })
}

const trustFor = (host: string, directories: readonly string[]): Trust => {
  for (const directory of directories) {
    const trust = certificatesIn(`${directory}/${host}`)
    if (trust.ca || trust.cert) return trust
  }
  return {}
}
