/** Which Ingress rule a request belongs to, after the rules of networking.k8s.io/v1: pure. */
import type { Ingress, IngressBackend } from '../../spec/kube/generated/types.ts'

export interface Backend {
  /** "namespace/name" of the service. */
  service: string
  port: { name?: string | undefined; number?: number | undefined }
}
interface PathRule {
  path: string
  exact: boolean
  backend: Backend
}
export interface RouteTable {
  /** By host: exact, "*.example.org", or '' for every other. Best rule first. */
  hosts: Map<string, PathRule[]>
  fallback: Backend | undefined
  /** Secrets "namespace/name" by host, in the same forms. */
  secrets: Map<string, string>
  /** Hosts whose plain requests are sent to HTTPS. */
  secureOnly: Set<string>
}

const backendOf = (namespace: string, { service }: IngressBackend): Backend | undefined =>
  service && { service: `${namespace}/${service.name}`, port: service.port ?? {} }

const segments = (path: string): string[] => path.split('/').filter((segment) => segment !== '')

/** Longest path first; of equals the exact one (API reference, HTTPIngressPath). */
const byPrecedence = (a: PathRule, b: PathRule): number =>
  b.path.length - a.path.length || Number(b.exact) - Number(a.exact)

/** Older Ingresses win where two say the same. */
const byAge = (a: Ingress, b: Ingress): number =>
  (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') ||
  `${a.metadata.namespace}/${a.metadata.name}`.localeCompare(`${b.metadata.namespace}/${b.metadata.name}`)

const redirects = ({ metadata }: Ingress): boolean =>
  ['ssl-redirect', 'force-ssl-redirect'].some(
    (name) => metadata.annotations?.[`nginx.ingress.kubernetes.io/${name}`] === 'true',
  )

export const buildRoutes = (ingresses: readonly Ingress[]): RouteTable => {
  const table: RouteTable = { hosts: new Map(), fallback: undefined, secrets: new Map(), secureOnly: new Set() }
  for (const ingress of [...ingresses].sort(byAge)) {
    const namespace = ingress.metadata.namespace ?? ''
    const { spec = {} } = ingress
    if (spec.defaultBackend) table.fallback ??= backendOf(namespace, spec.defaultBackend)
    for (const rule of spec.rules ?? []) {
      const host = (rule.host ?? '').toLowerCase()
      const rules = table.hosts.get(host) ?? []
      table.hosts.set(host, rules)
      if (redirects(ingress)) table.secureOnly.add(host)
      // A rule without paths sends its whole host to the default backend.
      const paths =
        rule.http?.paths ?? (spec.defaultBackend ? [{ backend: spec.defaultBackend, pathType: 'Prefix' }] : [])
      for (const { path = '/', pathType, backend } of paths) {
        const target = backendOf(namespace, backend)
        if (target) rules.push({ path: path === '' ? '/' : path, exact: pathType === 'Exact', backend: target })
      }
    }
    for (const { hosts = [], secretName } of spec.tls ?? []) {
      if (secretName === undefined || secretName === '') continue
      const named = hosts.length > 0 ? hosts : (spec.rules ?? []).map(({ host = '' }) => host)
      for (const host of named.length > 0 ? named : ['']) {
        const key = host.toLowerCase()
        if (!table.secrets.has(key)) table.secrets.set(key, `${namespace}/${secretName}`)
      }
    }
  }
  for (const rules of table.hosts.values()) rules.sort(byPrecedence)
  return table
}

/** The names under which a host may be listed, best first. A wildcard stands for exactly one label. */
export const hostForms = (host: string): string[] => {
  const dot = host.indexOf('.')
  return [host, ...(dot > 0 ? [`*${host.slice(dot)}`] : []), '']
}

/** "example.org:8080" → "example.org"; brackets of IPv6 addresses go too. */
export const hostOf = (header: string | undefined): string => {
  const match = /^(\[[^\]]*\]|[^:]*)/.exec(header ?? '')
  return (match?.[1] ?? '')
    .replace(/^\[|\]$/g, '')
    .toLowerCase()
    .replace(/\.$/, '')
}

const matches = (rule: PathRule, path: string): boolean => {
  if (rule.exact) return rule.path === path
  const wanted = segments(rule.path)
  const given = segments(path)
  return wanted.length <= given.length && wanted.every((segment, i) => segment === given[i])
}

/** The path that decides: without query, dot segments resolved, so that "/public/../admin" is no way round a rule. */
export const pathOf = (url: string): string => {
  try {
    return new URL(url.startsWith('/') ? `http://x${url}` : url).pathname
  } catch {
    return '/'
  }
}

/** `host` without port. The first form of the host that has rules decides, as in other controllers. */
export const findBackend = (table: RouteTable, host: string, path: string): Backend | undefined => {
  for (const form of hostForms(host)) {
    const rules = table.hosts.get(form)
    if (!rules) continue
    const found = rules.find((rule) => matches(rule, path))
    if (found) return found.backend
  }
  return table.fallback
}
