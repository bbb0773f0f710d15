/** Pod Security Standards: the levels a namespace asks for by label. Source: pod-security-admission policy checks. */
import { forbidden } from '../errors.ts'
import { everyContainer } from '../kinds/pod-defaults.ts'
import type { Context, Draft, Resource, Write } from '../resource.ts'

interface Violation {
  reason: string
  detail: string
}
type Check = (spec: Draft, metadata: Draft) => Violation | undefined

const quoted = (names: string[]): string => names.map((name) => JSON.stringify(name)).join(', ')
const plural = (names: string[], one = 'container', many = 'containers'): string =>
  `${names.length === 1 ? one : many} ${quoted(names)}`
const offenders = (spec: Draft, bad: (container: Draft) => boolean): string[] =>
  everyContainer(spec)
    .filter(bad)
    .map((c) => c.name)
const must = (names: string[], what: string): string => `${plural(names)} must ${what}`

const allowedCapabilities = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]
const safeSysctls = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
]

const baseline: Check[] = [
  (spec) => {
    const names = ['hostNetwork', 'hostPID', 'hostIPC'].filter((key) => spec[key] === true)
    return names.length > 0
      ? { reason: 'host namespaces', detail: names.map((n) => `${n}=true`).join(', ') }
      : undefined
  },
  (spec) => {
    const names = offenders(spec, (c) => c.securityContext?.privileged === true)
    return names.length > 0
      ? { reason: 'privileged', detail: `${plural(names)} must not set securityContext.privileged=true` }
      : undefined
  },
  (spec) => {
    const bad = (c: Draft): string[] =>
      (c.securityContext?.capabilities?.add ?? []).filter((cap: string) => !allowedCapabilities.includes(cap))
    const names = offenders(spec, (c) => bad(c).length > 0)
    const caps = [...new Set(everyContainer(spec).flatMap(bad))].sort()
    return names.length > 0
      ? {
          reason: 'non-default capabilities',
          detail: `${plural(names)} must not include ${quoted(caps)} in securityContext.capabilities.add`,
        }
      : undefined
  },
  (spec) => {
    const names = (spec.volumes ?? []).filter((v: Draft) => v.hostPath).map((v: Draft) => v.name)
    return names.length > 0 ? { reason: 'hostPath volumes', detail: plural(names, 'volume', 'volumes') } : undefined
  },
  (spec) => {
    const ports = everyContainer(spec).flatMap((c) =>
      (c.ports ?? []).map((p: Draft) => p.hostPort).filter(Boolean),
    ) as number[]
    const names = offenders(spec, (c) => (c.ports ?? []).some((p: Draft) => p.hostPort))
    return names.length > 0
      ? {
          reason: 'hostPort',
          detail: `${plural(names)} ${names.length === 1 ? 'uses' : 'use'} hostPort${ports.length > 1 ? 's' : ''} ${[...new Set(ports)].join(', ')}`,
        }
      : undefined
  },
  (spec) => {
    const names = offenders(
      spec,
      (c) => c.securityContext?.procMount !== undefined && c.securityContext.procMount !== 'Default',
    )
    return names.length > 0
      ? { reason: 'procMount', detail: `${plural(names)} must not set securityContext.procMount to "Unmasked"` }
      : undefined
  },
  (spec) => {
    const unconfined = (holder: Draft): boolean => holder?.securityContext?.seccompProfile?.type === 'Unconfined'
    const names = offenders(spec, unconfined)
    if (unconfined(spec))
      return {
        reason: 'seccompProfile',
        detail: 'pod must not set securityContext.seccompProfile.type to "Unconfined"',
      }
    return names.length > 0
      ? {
          reason: 'seccompProfile',
          detail: `${plural(names)} must not set securityContext.seccompProfile.type to "Unconfined"`,
        }
      : undefined
  },
  (spec) => {
    const names = (spec.securityContext?.sysctls ?? [])
      .map((s: Draft) => s.name)
      .filter((n: string) => !safeSysctls.includes(n))
    return names.length > 0 ? { reason: 'forbidden sysctls', detail: names.join(', ') } : undefined
  },
]

const volumeKinds = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
  'image',
]
const restricted: Check[] = [
  ...baseline,
  (spec) => {
    const bad = (spec.volumes ?? []).filter((v: Draft) => !volumeKinds.some((kind) => v[kind]))
    const kinds = [...new Set(bad.map((v: Draft) => Object.keys(v).find((key) => key !== 'name')))] as string[]
    return bad.length > 0
      ? {
          reason: 'restricted volume types',
          detail: `${plural(
            bad.map((v: Draft) => v.name),
            'volume',
            'volumes',
          )} ${bad.length === 1 ? 'uses' : 'use'} restricted volume type${kinds.length > 1 ? 's' : ''} ${quoted(kinds)}`,
        }
      : undefined
  },
  (spec) => {
    const names = offenders(spec, (c) => c.securityContext?.allowPrivilegeEscalation !== false)
    return names.length > 0
      ? {
          reason: 'allowPrivilegeEscalation != false',
          detail: must(names, 'set securityContext.allowPrivilegeEscalation=false'),
        }
      : undefined
  },
  (spec) => {
    const noDrop = offenders(spec, (c) => !(c.securityContext?.capabilities?.drop ?? []).includes('ALL'))
    const added = (c: Draft): string[] =>
      (c.securityContext?.capabilities?.add ?? []).filter((cap: string) => cap !== 'NET_BIND_SERVICE')
    const adding = offenders(spec, (c) => added(c).length > 0)
    const parts = [
      ...(noDrop.length > 0 ? [must(noDrop, 'set securityContext.capabilities.drop=["ALL"]')] : []),
      ...(adding.length > 0
        ? [
            `${plural(adding)} must not include ${quoted([...new Set(everyContainer(spec).flatMap(added))].sort())} in securityContext.capabilities.add`,
          ]
        : []),
    ]
    return parts.length > 0 ? { reason: 'unrestricted capabilities', detail: parts.join('; ') } : undefined
  },
  (spec) => {
    const pod = spec.securityContext?.runAsNonRoot
    const names = offenders(spec, (c) => (c.securityContext?.runAsNonRoot ?? pod) !== true)
    return names.length > 0
      ? { reason: 'runAsNonRoot != true', detail: `pod or ${must(names, 'set securityContext.runAsNonRoot=true')}` }
      : undefined
  },
  (spec) => {
    const names = offenders(spec, (c) => c.securityContext?.runAsUser === 0)
    if (spec.securityContext?.runAsUser === 0) return { reason: 'runAsUser=0', detail: 'pod must not set runAsUser=0' }
    return names.length > 0 ? { reason: 'runAsUser=0', detail: `${plural(names)} must not set runAsUser=0` } : undefined
  },
  (spec) => {
    const pod = spec.securityContext?.seccompProfile?.type
    const fine = (type: string | undefined): boolean => type === 'RuntimeDefault' || type === 'Localhost'
    const names = offenders(spec, (c) => !fine(c.securityContext?.seccompProfile?.type ?? pod))
    return names.length > 0
      ? {
          reason: 'seccompProfile',
          detail: `pod or ${must(names, 'set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"')}`,
        }
      : undefined
  },
]

const violationsOf = (level: string, spec: Draft, metadata: Draft): string | undefined => {
  const checks = level === 'restricted' ? restricted : level === 'baseline' ? baseline : []
  const byReason = new Map<string, string>()
  for (const check of checks) {
    const found = check(spec, metadata)
    if (found) byReason.set(found.reason, found.detail)
  }
  return byReason.size > 0 ? [...byReason].map(([reason, detail]) => `${reason} (${detail})`).join(', ') : undefined
}
const levelOf = (context: Context, namespace: string, mode: string): { level: string; text: string } => {
  const labels = context.store.get('namespaces', '', namespace)?.metadata.labels ?? {}
  const level = labels[`pod-security.kubernetes.io/${mode}`] ?? 'privileged'
  return { level, text: `${level}:${labels[`pod-security.kubernetes.io/${mode}-version`] ?? 'latest'}` }
}

export const checkPodSecurity = (context: Context, resource: Resource, pod: Draft, write: Write): void => {
  const { namespace, name } = pod.metadata
  const enforce = levelOf(context, namespace, 'enforce')
  const found = violationsOf(enforce.level, pod.spec, pod.metadata)
  if (found) throw forbidden(resource, name, `violates PodSecurity ${JSON.stringify(enforce.text)}: ${found}`)
  warn(context, namespace, pod.spec, pod.metadata, write)
}
const warn = (context: Context, namespace: string, spec: Draft, metadata: Draft, write: Write): void => {
  const { level, text } = levelOf(context, namespace, 'warn')
  const found = violationsOf(level, spec, metadata)
  if (found) write.warnings.push(`would violate PodSecurity ${JSON.stringify(text)}: ${found}`)
}
/** Workloads are only warned about: their pods are what is refused. */
export const warnPodSecurity = (context: Context, _resource: Resource, draft: Draft, write: Write): void => {
  const template = draft.spec?.template ?? draft.spec?.jobTemplate?.spec?.template
  if (!template?.spec?.containers || !draft.metadata.namespace) return
  const { namespace } = draft.metadata
  const enforce = levelOf(context, namespace, 'enforce')
  const found = violationsOf(enforce.level, template.spec, template.metadata ?? {})
  if (found) write.warnings.push(`would violate PodSecurity ${JSON.stringify(enforce.text)}: ${found}`)
  else warn(context, namespace, template.spec, template.metadata ?? {}, write)
}
