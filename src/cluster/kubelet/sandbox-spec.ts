/** A pod's sandbox, from its specification: pure. */
import type { SandboxSpec } from '../../engine/index.ts'
import { SlipwayError } from '../../errors.ts'
import type { ResolvConf } from '../../lib/dns/index.ts'
import type { Pod } from '../../spec/kube/generated/types.ts'
import type { ClusterDns } from '../types.ts'
import { label } from './types.ts'

export const sandboxSpec = (pod: Pod, at: { network: string; dns: ClusterDns; host: ResolvConf }): SandboxSpec => {
  const spec = pod.spec!
  refuseUnsupported(pod)
  const hostname = spec.setHostnameAsFQDN ? fqdn(pod, at.dns) : podHostname(pod)
  const containers = [...(spec.initContainers ?? []), ...spec.containers]
  return {
    id: pod.metadata.uid!,
    hostname,
    ...(spec.subdomain ? { domainname: `${spec.subdomain}.${pod.metadata.namespace}.svc.${at.dns.domain}` } : {}),
    network: spec.hostNetwork
      ? { mode: 'host' }
      : { mode: 'attached', attachments: [{ network: at.network, aliases: [] }] },
    ports: spec.hostNetwork
      ? []
      : containers.flatMap((c) =>
          (c.ports ?? [])
            .filter((p) => p.hostPort)
            .map((p) => ({
              hostIp: p.hostIP ?? '',
              hostPort: p.hostPort!,
              containerPort: p.containerPort,
              protocol: (p.protocol ?? 'TCP').toLowerCase() as 'tcp' | 'udp' | 'sctp',
            })),
        ),
    dns: podDns(pod, at),
    hosts: (spec.hostAliases ?? []).flatMap((a) => (a.hostnames ?? []).map((name) => ({ name, address: a.ip }))),
    sysctls: podSysctls(pod),
    labels: {
      [label.pod]: pod.metadata.name!,
      [label.namespace]: pod.metadata.namespace!,
      [label.uid]: pod.metadata.uid!,
    },
    ...(spec.hostIPC ? { hostIpc: true } : {}),
  }
}

/** What this node cannot do is refused: a pod that asks for it must not run without. */
const refuseUnsupported = (pod: Pod): void => {
  const { hostUsers, runtimeClassName, containers, initContainers = [] } = pod.spec!
  const device = [...containers, ...initContainers].find((c) => (c.volumeDevices ?? []).length > 0)
  const what =
    hostUsers === false
      ? 'user namespaces (hostUsers: false)'
      : runtimeClassName
        ? `RuntimeClass "${runtimeClassName}"`
        : device
          ? `block volumes (volumeDevices of container ${device.name})`
          : undefined
  if (what) throw new SlipwayError('unsupported', `${what} not supported on this node`)
}

export const podSysctls = (pod: Pod): Record<string, string> =>
  Object.fromEntries((pod.spec?.securityContext?.sysctls ?? []).map((s) => [s.name, s.value]))

/** Host names are at most 63 characters and do not end in a hyphen or dot. */
const podHostname = (pod: Pod): string => pod.spec?.hostname || pod.metadata.name!.slice(0, 63).replace(/[-.]+$/, '')

const fqdn = (pod: Pod, dns: ClusterDns): string => {
  const { subdomain } = pod.spec!
  return subdomain ? `${podHostname(pod)}.${subdomain}.${pod.metadata.namespace}.svc.${dns.domain}` : podHostname(pod)
}

const podDns = (pod: Pod, at: { dns: ClusterDns; host: ResolvConf }): ResolvConf => {
  const policy = pod.spec?.dnsPolicy ?? 'ClusterFirst'
  const useHost = policy === 'Default' || (policy === 'ClusterFirst' && pod.spec?.hostNetwork)
  const { domain } = at.dns
  const base: ResolvConf =
    policy === 'None'
      ? { servers: [], searches: [], options: [] }
      : useHost
        ? at.host
        : {
            servers: [at.dns.address],
            searches: [`${pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain, ...at.host.searches],
            options: ['ndots:5'],
          }
  const extra = pod.spec?.dnsConfig
  if (!extra) return base
  const options = new Map(base.options.map((o) => [o.split(':')[0]!, o]))
  for (const o of extra.options ?? []) options.set(o.name!, o.value === undefined ? o.name! : `${o.name}:${o.value}`)
  return {
    servers: [...new Set([...base.servers, ...(extra.nameservers ?? [])])],
    searches: [...new Set([...base.searches, ...(extra.searches ?? [])])],
    options: [...options.values()],
  }
}
