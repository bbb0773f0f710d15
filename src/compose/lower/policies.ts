/**
 * NetworkPolicies. With nothing but the default network everything may speak to everything, and none is made. Otherwise one
 * for each network: its members speak to each other; `internal` keeps them from the world outside, DNS excepted; what is
 * published, or behind the ingress, is open to all.
 */
import type { Service } from '../../spec/compose/project.ts'
import { type KubeObject, NetworkPolicy } from '../../spec/kube/kinds.ts'
import type { Lowering } from './context.ts'
import { dnsLabel } from './names.ts'
import { networkLabel } from './workload.ts'

const dns = {
  to: [{ namespaceSelector: {} }],
  ports: [
    { protocol: 'UDP', port: 53 },
    { protocol: 'TCP', port: 53 },
  ],
}

/** `enabled`: the services that are applied. */
export const policies = (enabled: Service[], lowering: Lowering): KubeObject[] => {
  const { networks } = lowering.project
  const used = [...new Set(enabled.flatMap((s) => Object.keys(s.networks ?? {})))].sort()
  for (const name of used) reportNetwork(name, lowering)
  const isolated = enabled.filter((s) => s.network_mode === 'none')
  const denied = lowering.local ? [] : isolated.map((s) => deny(s, lowering))
  const anyInternal = used.some((name) => networks[name]?.internal)
  if (used.length < 2 && !anyInternal) return denied
  if (lowering.local)
    lowering.warn(
      undefined,
      'networks',
      'networks do not separate services here yet: every service reaches every other',
      'NetworkPolicies are written all the same and hold on a cluster that enforces them.',
    )
  const member = (name: string) => ({ podSelector: { matchLabels: { [networkLabel(name)]: 'true' } } })
  const perNetwork = used.map((name) => {
    const egress = networks[name]?.internal ? [{ to: [member(name)] }, dns] : [{}]
    return lowering.object(NetworkPolicy, dnsLabel(`network-${name}`), {
      spec: {
        ...member(name),
        policyTypes: anyInternal ? ['Ingress', 'Egress'] : ['Ingress'],
        ingress: [{ from: [member(name)] }],
        ...(anyInternal && { egress }),
      },
    })
  })
  const open = enabled.filter(
    (s) => (s.ports?.length ?? 0) > 0 || s['x-slipway']?.host || s['x-slipway']?.path !== undefined,
  )
  return [...perNetwork, ...open.map((s) => published(s, lowering)), ...denied]
}

const published = (service: Service, lowering: Lowering): KubeObject => {
  const ports = (service.ports ?? []).map((p) => ({ protocol: p.protocol.toUpperCase(), port: p.target }))
  const behindIngress = service['x-slipway']?.host !== undefined || service['x-slipway']?.path !== undefined
  const port = service['x-slipway']?.port
  if (behindIngress && port !== undefined && !ports.some((p) => p.port === port)) ports.push({ protocol: 'TCP', port })
  return lowering.object(
    NetworkPolicy,
    dnsLabel(`published-${service.name}`),
    {
      spec: {
        podSelector: { matchLabels: lowering.selector(service.name) },
        policyTypes: ['Ingress'],
        ingress: [ports.length ? { ports } : {}],
      },
    },
    { service: service.name },
  )
}

const deny = (service: Service, lowering: Lowering): KubeObject =>
  lowering.object(
    NetworkPolicy,
    dnsLabel(`isolated-${service.name}`),
    { spec: { podSelector: { matchLabels: lowering.selector(service.name) }, policyTypes: ['Ingress', 'Egress'] } },
    { service: service.name },
  )

/** What a network of its own could be told and the pod network cannot. */
const reportNetwork = (name: string, lowering: Lowering): void => {
  const network = lowering.project.networks[name]
  if (!network) return
  const warn = (key: string, message: string, hint: string): void =>
    lowering.warn(undefined, `networks.${name}.${key}`, message, hint)
  if (network.external)
    warn(
      'external',
      `"${network.name}" is a network of docker's; pods are not on it`,
      'Put the services into one project, or publish a port.',
    )
  if (network.driver !== undefined && network.driver !== 'bridge' && network.driver !== 'default')
    warn('driver', `driver "${network.driver}" is not used: pods are on the cluster's network`, 'Leave it out.')
  if (network.driver_opts && Object.keys(network.driver_opts).length)
    warn('driver_opts', 'options of the driver have no effect', 'Leave them out.')
  if (network.ipam)
    warn('ipam', 'addresses come from the pod network, not from this range', 'Use service names instead of addresses.')
  if (network.enable_ipv6) warn('enable_ipv6', 'whether pods have IPv6 is up to the cluster', 'Leave it out.')
  if (network.enable_ipv4 === false) warn('enable_ipv4', 'pods keep their IPv4 address', 'Leave it out.')
  if (network.attachable) warn('attachable', 'containers outside the project cannot join', 'Leave it out.')
  if (network.labels && Object.keys(network.labels).length)
    warn('labels', 'there is no object that would carry them', 'Label the services.')
}
