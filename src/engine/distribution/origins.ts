import { readdirSync, readFileSync } from 'node:fs'
import { rootCertificates } from 'node:tls'
import type { Trust } from './http.ts'
import { isLoopback } from './loopback.ts'

export interface RegistrySettings {
  /** Hosts (with their port) that may be spoken to over http or with an unverifiable certificate. */
  insecure?: string[] | undefined
  /** Base URLs to ask before docker.io itself. */
  mirrors?: string[] | undefined
  /** Directories of HOST/ca.crt, HOST/*.cert and *.key. Default: slipway's, docker's, containerd's. */
  certificates?: string[] | undefined
}
/** One way to reach a registry. */
export interface Origin {
  url: URL
  trust: Trust
  /** Only for reading. */
  mirror: boolean
}

const defaultCertificates = ['/etc/slipway/certs.d', '/etc/docker/certs.d', '/etc/containers/certs.d']

/** The ways to reach the registry of an image name, best first. */
export const originsOf = (domain: string, settings: RegistrySettings): Origin[] => {
  const host = domain === 'docker.io' ? 'registry-1.docker.io' : domain
  const trust = trustFor(domain, settings.certificates ?? defaultCertificates)
  const https = { url: new URL(`https://${host}/`), trust, mirror: false }
  const http = { url: new URL(`http://${host}/`), trust: {}, mirror: false }
  const mirrors = (domain === 'docker.io' ? (settings.mirrors ?? []) : []).map((mirror) => {
    const url = new URL(mirror.endsWith('/') ? mirror : `${mirror}/`)
    return { url, trust: trustFor(url.host, settings.certificates ?? defaultCertificates), mirror: true }
  })
  const unverified = { ...https, trust: { ...trust, insecure: true } }
  // With a certificate given for it, even a loopback registry is taken at its word.
  if (trust.ca) return [...mirrors, https]
  if (isLoopback(domain)) return [...mirrors, http, unverified]
  if (settings.insecure?.includes(domain)) return [...mirrors, unverified, http]
  return [...mirrors, https]
}

const trustFor = (host: string, directories: string[]): Trust => {
  for (const directory of directories) {
    const dir = `${directory}/${host}`
    const names = namesIn(dir)
    const read = (name: string): string => readFileSync(`${dir}/${name}`, 'utf8')
    const ca = names.filter((name) => name.endsWith('.crt')).map(read)
    const cert = names.find((name) => name.endsWith('.cert'))
    const key = cert?.replace(/\.cert$/, '.key')
    if (ca.length === 0 && cert === undefined) continue
    return {
      ...(ca.length > 0 && { ca: [...rootCertificates, ...ca] }),
      ...(cert !== undefined && { cert: read(cert) }),
      ...(key !== undefined && names.includes(key) && { key: read(key) }),
    }
  }
  return {}
}

const namesIn = (dir: string): string[] => {
  try {
    return readdirSync(dir).sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
