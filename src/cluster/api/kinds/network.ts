/** Ingresses, network policies and endpoints. */
import { isDns1123Label, isDns1123Subdomain } from '../../../spec/kube/names.ts'
import { invalid, required } from '../errors.ts'
import type { Draft, Strategy } from '../resource.ts'
import { cidr, type Errors, forbidden, immutable, ip, mustBeOneOf, names, oneOf, port, portOrName } from './field.ts'
import { fill } from './pod-defaults.ts'
import { validateSelector } from './workload.ts'

const validateBackend = (backend: Draft, path: string, errors: Errors): void => {
  if (!backend?.service && !backend?.resource) errors.push(required(path, 'resource or service backend is required'))
  if (!backend?.service) return
  if (backend.resource) errors.push(invalid(path, '', 'cannot set both resource and service backends'))
  if (!backend.service.name) errors.push(required(`${path}.service.name`))
  const { name, number } = backend.service.port ?? {}
  if (!name && !number) errors.push(required(path, 'port name or number is required'))
  else if (name && number) errors.push(invalid(path, '', 'cannot set both port name & port number'))
  else if (number) port(`${path}.service.port.number`, number, errors)
}
const validateHost = (host: string, path: string, errors: Errors): void => {
  if (/^[\d.]+$/.test(host)) errors.push(invalid(path, host, 'must be a DNS name, not an IP address'))
  else if (host.startsWith('*')) {
    if (!/^\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(host))
      errors.push(
        invalid(
          path,
          host,
          "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
      )
  } else names(path, host, isDns1123Subdomain, errors)
}

export const ingressStrategy: Strategy = {
  generation: true,
  defaults(ingress) {
    ingress.spec ??= {}
  },
  prepareCreate(ingress) {
    ingress.status = { loadBalancer: {} }
  },
  validate({ spec }, errors) {
    if (!spec.rules?.length && !spec.defaultBackend)
      errors.push(invalid('spec', spec.rules ?? [], 'either `defaultBackend` or `rules` must be specified'))
    if (spec.defaultBackend) validateBackend(spec.defaultBackend, 'spec.defaultBackend', errors)
    for (const [i, rule] of ((spec.rules ?? []) as Draft[]).entries()) {
      if (rule.host) validateHost(rule.host, `spec.rules[${i}].host`, errors)
      if (rule.http && !rule.http.paths?.length) errors.push(required(`spec.rules[${i}].http.paths`))
      for (const [j, entry] of ((rule.http?.paths ?? []) as Draft[]).entries()) {
        const at = `spec.rules[${i}].http.paths[${j}]`
        if (!entry.pathType) errors.push(required(`${at}.pathType`, 'pathType must be specified'))
        else oneOf(`${at}.pathType`, entry.pathType, ['Exact', 'ImplementationSpecific', 'Prefix'], errors)
        if (entry.pathType !== 'ImplementationSpecific' && entry.pathType) {
          if (!entry.path?.startsWith('/'))
            errors.push(invalid(`${at}.path`, entry.path ?? '', 'must be an absolute path'))
          for (const bad of ['//', '/./', '/../', '%2f', '%2F'])
            if (entry.path?.includes(bad)) errors.push(invalid(`${at}.path`, entry.path, `must not contain '${bad}'`))
        }
        validateBackend(entry.backend, `${at}.backend`, errors)
      }
    }
    for (const [i, tls] of ((spec.tls ?? []) as Draft[]).entries())
      for (const [j, host] of ((tls.hosts ?? []) as string[]).entries())
        validateHost(host, `spec.tls[${i}].hosts[${j}]`, errors)
  },
}
export const ingressClassStrategy: Strategy = {
  generation: true,
  defaults(ic) {
    ic.spec ??= {}
  },
  validate({ spec }, errors) {
    if (!spec.controller) errors.push(required('spec.controller'))
  },
  validateUpdate(ic, old, errors) {
    immutable('spec.controller', ic.spec.controller, old.spec.controller, errors)
  },
}

const validatePolicyPorts = (ports: Draft[], path: string, errors: Errors): void => {
  for (const [i, entry] of ports.entries()) {
    const at = `${path}[${i}]`
    oneOf(`${at}.protocol`, entry.protocol, ['SCTP', 'TCP', 'UDP'], errors)
    if (entry.port !== undefined) portOrName(`${at}.port`, entry.port, errors)
    if (entry.endPort === undefined) continue
    if (typeof entry.port !== 'number')
      errors.push(required(`${at}.port`, 'must be specified when `endPort` is specified'))
    else if (entry.endPort < entry.port)
      errors.push(invalid(`${at}.endPort`, entry.endPort, 'must be greater than or equal to `port`'))
  }
}
const validatePeers = (peers: Draft[], path: string, errors: Errors): void => {
  for (const [i, peer] of peers.entries()) {
    const at = `${path}[${i}]`
    if (!peer.podSelector && !peer.namespaceSelector && !peer.ipBlock) errors.push(required(at, 'must specify a peer'))
    if (peer.ipBlock && (peer.podSelector || peer.namespaceSelector))
      errors.push(forbidden(at, 'may not specify both ipBlock and another peer'))
    if (peer.podSelector) validateSelector(peer.podSelector, `${at}.podSelector`, errors)
    if (peer.namespaceSelector) validateSelector(peer.namespaceSelector, `${at}.namespaceSelector`, errors)
    if (!peer.ipBlock) continue
    if (!peer.ipBlock.cidr) errors.push(required(`${at}.ipBlock.cidr`))
    else cidr(`${at}.ipBlock.cidr`, peer.ipBlock.cidr, errors)
    for (const [j, except] of ((peer.ipBlock.except ?? []) as string[]).entries())
      cidr(`${at}.ipBlock.except[${j}]`, except, errors)
  }
}
export const networkPolicyStrategy: Strategy = {
  generation: true,
  defaults(policy) {
    policy.spec ??= {}
    const { spec } = policy
    spec.podSelector ??= {}
    if (!spec.policyTypes?.length) spec.policyTypes = ['Ingress', ...(spec.egress?.length ? ['Egress'] : [])]
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])])
      for (const entry of rule.ports ?? []) fill(entry, { protocol: 'TCP' })
  },
  validate({ spec }, errors) {
    validateSelector(spec.podSelector, 'spec.podSelector', errors)
    for (const [side, peers] of [
      ['ingress', 'from'],
      ['egress', 'to'],
    ] as const)
      for (const [i, rule] of ((spec[side] ?? []) as Draft[]).entries()) {
        validatePolicyPorts(rule.ports ?? [], `spec.${side}[${i}].ports`, errors)
        validatePeers(rule[peers] ?? [], `spec.${side}[${i}].${peers}`, errors)
      }
    for (const [i, type] of ((spec.policyTypes ?? []) as string[]).entries())
      oneOf(`spec.policyTypes[${i}]`, type, ['Egress', 'Ingress'], errors)
  },
}

export const endpointsStrategy: Strategy = {
  createOnUpdate: true,
  defaults(endpoints) {
    for (const subset of endpoints.subsets ?? [])
      for (const entry of subset.ports ?? []) fill(entry, { protocol: 'TCP' })
  },
  validate(endpoints, errors) {
    for (const [i, subset] of ((endpoints.subsets ?? []) as Draft[]).entries())
      for (const key of ['addresses', 'notReadyAddresses'])
        for (const [j, address] of ((subset[key] ?? []) as Draft[]).entries())
          ip(`subsets[${i}].${key}[${j}].ip`, address.ip ?? '', errors)
  },
}
export const endpointSliceStrategy: Strategy = {
  generation: true,
  defaults(slice) {
    slice.endpoints ??= []
    slice.ports ??= []
    for (const entry of slice.ports) fill(entry, { name: '', protocol: 'TCP' })
  },
  validate(slice, errors) {
    mustBeOneOf('addressType', slice.addressType, ['FQDN', 'IPv4', 'IPv6'], errors)
    for (const [i, endpoint] of ((slice.endpoints ?? []) as Draft[]).entries()) {
      if (!endpoint.addresses?.length)
        errors.push(required(`endpoints[${i}].addresses`, 'must contain at least 1 address'))
      for (const [j, address] of ((endpoint.addresses ?? []) as string[]).entries())
        if (slice.addressType !== 'FQDN') ip(`endpoints[${i}].addresses[${j}]`, address, errors)
      if (endpoint.hostname) names(`endpoints[${i}].hostname`, endpoint.hostname, isDns1123Label, errors)
    }
  },
  validateUpdate(slice, old, errors) {
    immutable('addressType', slice.addressType, old.addressType, errors)
  },
}
