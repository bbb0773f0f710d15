/** Services: cluster addresses and node ports are handed out here. What is taken is read from the stored services, so nothing leaks. */
import { addressAt, contains, formatAddress, parseAddress, parseBlock, sizeOf } from '../../../lib/ip.ts'
import {
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isLabelValue,
  isQualifiedName,
} from '../../../spec/kube/names.ts'
import { duplicate, type FieldError, invalid, invalidObject, required } from '../errors.ts'
import type { Context, Draft, Strategy } from '../resource.ts'
import { cidr, type Errors, forbidden, immutable, ip, mustBeOneOf, names, oneOf, port, portOrName } from './field.ts'
import { fill } from './pod-defaults.ts'

const identity = { group: '', resource: 'services', kind: 'Service' }
const hasClusterIP = (spec: Draft): boolean => ['ClusterIP', 'NodePort', 'LoadBalancer'].includes(spec.type)
const hasNodePorts = (spec: Draft): boolean =>
  spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false)
const external = (spec: Draft): boolean =>
  spec.type === 'NodePort' || spec.type === 'LoadBalancer' || spec.externalIPs?.length > 0

const defaults = (service: Draft): void => {
  service.spec ??= {}
  const { spec } = service
  fill(spec, { type: 'ClusterIP', sessionAffinity: 'None' })
  if (spec.sessionAffinity === 'ClientIP') {
    spec.sessionAffinityConfig ??= {}
    spec.sessionAffinityConfig.clientIP ??= {}
    fill(spec.sessionAffinityConfig.clientIP, { timeoutSeconds: 10800 })
  } else if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig
  for (const entry of spec.ports ?? []) {
    fill(entry, { protocol: 'TCP' })
    if (entry.targetPort === undefined || entry.targetPort === 0 || entry.targetPort === '')
      entry.targetPort = entry.port
  }
  if (external(spec)) fill(spec, { externalTrafficPolicy: 'Cluster' })
  if (spec.type === 'LoadBalancer') fill(spec, { allocateLoadBalancerNodePorts: true })
  if (hasClusterIP(spec)) fill(spec, { internalTrafficPolicy: 'Cluster' })
}

const used = (context: Context, service: Draft): { addresses: Set<string>; ports: Set<string> } => {
  const addresses = new Set<string>()
  const ports = new Set<string>()
  for (const other of context.store.list('services', '') as Draft[]) {
    if (other.metadata.namespace === service.metadata.namespace && other.metadata.name === service.metadata.name)
      continue
    for (const address of other.spec.clusterIPs ?? []) addresses.add(address)
    for (const entry of other.spec.ports ?? []) if (entry.nodePort) ports.add(`${entry.protocol}/${entry.nodePort}`)
    if (other.spec.healthCheckNodePort) ports.add(`TCP/${other.spec.healthCheckNodePort}`)
  }
  return { addresses, ports }
}

const refuse = (service: Draft, error: FieldError): never => {
  throw invalidObject(identity, service.metadata.name ?? '', [error])
}

/** A free address, at random: one that was just given back is not handed out again at once. */
const freeAddress = (context: Context, taken: Set<string>): string | undefined => {
  const block = parseBlock(context.options.serviceCidr)!
  // Neither the network's address, nor the first (the API), nor the last (broadcast).
  const room = Number(sizeOf(block) > 65536n ? 65536n : sizeOf(block)) - 3
  const start = Math.floor(context.clock.random() * room)
  for (let i = 0; i < room; i++) {
    const text = formatAddress(addressAt(block, BigInt(2 + ((start + i) % room))))
    if (!taken.has(text) && text !== context.options.clusterDnsAddress) return text
  }
  return undefined
}

const allocateAddress = (context: Context, service: Draft, taken: Set<string>): void => {
  const { spec } = service
  if (spec.clusterIP === undefined && spec.clusterIPs?.length) spec.clusterIP = spec.clusterIPs[0]
  fill(spec, { ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' })
  if (spec.clusterIP === 'None') {
    spec.clusterIPs = ['None']
    return
  }
  const block = parseBlock(context.options.serviceCidr)!
  if (spec.clusterIP) {
    const address = parseAddress(spec.clusterIP)
    const problem = (text: string): FieldError => ({
      ...invalid('spec.clusterIPs', [spec.clusterIP], `failed to allocate IP ${spec.clusterIP}: ${text}`),
    })
    if (!address)
      refuse(
        service,
        invalid('spec.clusterIPs[0]', spec.clusterIP, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
      )
    else if (!contains(block, address))
      refuse(
        service,
        problem(
          `the provided network does not match the current range: provided IP (${spec.clusterIP}) is not in the valid range. The range of valid IPs is ${context.options.serviceCidr}`,
        ),
      )
    else if (taken.has(spec.clusterIP)) refuse(service, problem('provided IP is already allocated'))
  } else {
    const free = freeAddress(context, taken)
    if (!free) refuse(service, invalid('spec.clusterIPs', [], 'failed to allocate a serviceIP: range is full'))
    spec.clusterIP = free
  }
  spec.clusterIPs = [spec.clusterIP]
}

const allocatePorts = (context: Context, service: Draft, taken: Set<string>): void => {
  const { spec } = service
  const [first, last] = context.options.nodePortRange ?? [30000, 32767]
  const mine = new Set<string>()
  const free = (protocol: string): number | undefined => {
    const room = last - first + 1
    const start = Math.floor(context.clock.random() * room)
    for (let i = 0; i < room; i++) {
      const candidate = first + ((start + i) % room)
      if (!taken.has(`${protocol}/${candidate}`) && !mine.has(`${protocol}/${candidate}`)) return candidate
    }
    return undefined
  }
  for (const [i, entry] of ((spec.ports ?? []) as Draft[]).entries()) {
    const at = `spec.ports[${i}].nodePort`
    if (entry.nodePort) {
      const key = `${entry.protocol}/${entry.nodePort}`
      if (entry.nodePort < first || entry.nodePort > last)
        refuse(
          service,
          invalid(
            at,
            entry.nodePort,
            `provided port is not in the valid range. The range of valid ports is ${first}-${last}`,
          ),
        )
      if (taken.has(key) || mine.has(key))
        refuse(service, invalid(at, entry.nodePort, 'provided port is already allocated'))
      mine.add(key)
    }
  }
  for (const entry of spec.ports ?? [])
    if (!entry.nodePort) {
      entry.nodePort = free(entry.protocol)
      mine.add(`${entry.protocol}/${entry.nodePort}`)
    }
  if (spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local') spec.healthCheckNodePort ??= free('TCP')
}

const allocate = (context: Context, service: Draft): void => {
  const taken = used(context, service)
  if (hasClusterIP(service.spec)) allocateAddress(context, service, taken.addresses)
  if (hasNodePorts(service.spec)) allocatePorts(context, service, taken.ports)
}

/** What an update leaves out keeps its allocated value. */
const keepAllocated = (service: Draft, old: Draft): void => {
  const { spec } = service
  if (hasClusterIP(spec) && hasClusterIP(old.spec)) {
    if (!spec.clusterIP) spec.clusterIP = old.spec.clusterIP
    if (!spec.clusterIPs?.length && spec.clusterIP === old.spec.clusterIP) spec.clusterIPs = old.spec.clusterIPs
    fill(spec, { ipFamilies: old.spec.ipFamilies, ipFamilyPolicy: old.spec.ipFamilyPolicy })
  }
  if (hasNodePorts(spec) && hasNodePorts(old.spec))
    for (const entry of spec.ports ?? []) {
      const before = (old.spec.ports ?? []).find((p: Draft) => p.port === entry.port && p.protocol === entry.protocol)
      if (!entry.nodePort && before?.nodePort) entry.nodePort = before.nodePort
    }
  if (spec.healthCheckNodePort === undefined && old.spec.healthCheckNodePort)
    spec.healthCheckNodePort = old.spec.healthCheckNodePort
  // Fields of the type that was left go with it, unless the client asked for something else.
  if (!hasNodePorts(spec) && hasNodePorts(old.spec))
    for (const entry of spec.ports ?? [])
      if ((old.spec.ports ?? []).some((p: Draft) => p.nodePort === entry.nodePort)) delete entry.nodePort
  if (!external(spec) && spec.externalTrafficPolicy === old.spec.externalTrafficPolicy)
    delete spec.externalTrafficPolicy
  if (spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === old.spec.allocateLoadBalancerNodePorts)
      delete spec.allocateLoadBalancerNodePorts
    if (spec.loadBalancerClass === old.spec.loadBalancerClass) delete spec.loadBalancerClass
  }
  if (!(spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local')) delete spec.healthCheckNodePort
  if (spec.type === 'ExternalName' && old.spec.type !== 'ExternalName')
    for (const key of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy'])
      if (JSON.stringify(spec[key]) === JSON.stringify(old.spec[key])) delete spec[key]
}

const validate = (service: Draft, errors: Errors): void => {
  const { spec } = service
  mustBeOneOf('spec.type', spec.type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'], errors)
  oneOf('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None'], errors)
  oneOf('spec.externalTrafficPolicy', spec.externalTrafficPolicy, ['Cluster', 'Local'], errors)
  oneOf('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local'], errors)
  oneOf('spec.ipFamilyPolicy', spec.ipFamilyPolicy, ['SingleStack', 'PreferDualStack', 'RequireDualStack'], errors)
  const headless = spec.clusterIP === 'None'
  if (spec.type === 'ExternalName') {
    if (!spec.externalName) errors.push(required('spec.externalName'))
    else names('spec.externalName', spec.externalName.replace(/\.$/, ''), isDns1123Subdomain, errors)
    if (spec.clusterIP) errors.push(forbidden('spec.clusterIPs', "may not be set when `type` is 'ExternalName'"))
  } else if (!spec.ports?.length && !headless) errors.push(required('spec.ports'))
  if (headless && (spec.type === 'NodePort' || spec.type === 'LoadBalancer'))
    errors.push(invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`))
  validatePorts(spec, errors)
  for (const [key, value] of Object.entries((spec.selector ?? {}) as Record<string, string>)) {
    names('spec.selector', key, isQualifiedName, errors)
    names('spec.selector', value, isLabelValue, errors)
  }
  for (const [i, address] of ((spec.externalIPs ?? []) as string[]).entries())
    ip(`spec.externalIPs[${i}]`, address, errors)
  for (const [i, range] of ((spec.loadBalancerSourceRanges ?? []) as string[]).entries())
    cidr(`spec.loadBalancerSourceRanges[${i}]`, range, errors)
  if (spec.externalTrafficPolicy && !external(spec))
    errors.push(
      invalid(
        'spec.externalTrafficPolicy',
        spec.externalTrafficPolicy,
        'may only be set for externally-accessible services',
      ),
    )
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds
  if (seconds !== undefined && (seconds <= 0 || seconds > 86400))
    errors.push(
      invalid(
        'spec.sessionAffinityConfig.clientIP.timeoutSeconds',
        seconds,
        'must be greater than 0 and less than 86400',
      ),
    )
}

const validatePorts = (spec: Draft, errors: Errors): void => {
  const ports = (spec.ports ?? []) as Draft[]
  const seenNames = new Set<string>()
  const seenPorts = new Set<string>()
  for (const [i, entry] of ports.entries()) {
    const at = `spec.ports[${i}]`
    if (!entry.name && ports.length > 1) errors.push(required(`${at}.name`))
    else if (entry.name) {
      names(`${at}.name`, entry.name, isDns1123Label, errors)
      if (seenNames.has(entry.name)) errors.push(duplicate(`${at}.name`, entry.name))
      seenNames.add(entry.name)
    }
    if (entry.port === undefined) errors.push(required(`${at}.port`))
    else port(`${at}.port`, entry.port, errors)
    mustBeOneOf(`${at}.protocol`, entry.protocol, ['SCTP', 'TCP', 'UDP'], errors)
    portOrName(`${at}.targetPort`, entry.targetPort, errors)
    const key = `${entry.protocol}/${entry.port}`
    if (seenPorts.has(key)) errors.push(duplicate(at, { port: entry.port, protocol: entry.protocol }))
    seenPorts.add(key)
    if (entry.nodePort && !external(spec))
      errors.push(forbidden(`${at}.nodePort`, `may not be used when \`type\` is '${spec.type}'`))
  }
}

export const serviceStrategy: Strategy = {
  validName: isDns1035Label,
  fields: {
    'spec.clusterIP': (service) => service.spec?.clusterIP ?? '',
    'spec.type': (service) => service.spec?.type ?? '',
  },
  defaults,
  prepareCreate(service, context) {
    service.status = { loadBalancer: {} }
    // Only what passes validation gets an address, so that its complaints come first.
    const errors: FieldError[] = []
    validate(service, errors)
    if (errors.length === 0) allocate(context, service)
  },
  prepareUpdate(service, old, context) {
    keepAllocated(service, old)
    const errors: FieldError[] = []
    validate(service, errors)
    if (
      errors.length === 0 &&
      !(old.spec.clusterIP && service.spec.clusterIP !== old.spec.clusterIP && hasClusterIP(old.spec))
    )
      allocate(context, service)
    if (service.spec.type !== 'LoadBalancer') service.status = { ...service.status, loadBalancer: {} }
  },
  validate,
  validateUpdate(service, old, errors, write) {
    if (write.subresource) return
    if (hasClusterIP(service.spec) && hasClusterIP(old.spec) && old.spec.clusterIP)
      immutable('spec.clusterIPs[0]', service.spec.clusterIP, old.spec.clusterIP, errors)
  },
}
