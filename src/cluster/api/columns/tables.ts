/** The columns of every built-in kind, by resource id. Source: pkg/printers/internalversion/printers.go. */
import { selectorText } from '../../../spec/kube/label-selector.ts'
import type { Draft } from '../resource.ts'
import { type Column, count, text } from './column.ts'
import {
  accessModes,
  age,
  containerImages,
  containerNames,
  firstThree,
  hasCondition,
  humanDuration,
  labelsText,
  none,
} from './format.ts'
import { podColumns } from './pods.ts'

const nameColumn: Column = { name: 'Name', format: 'name', value: (o) => o.metadata.name }
const ageColumn = text('Age', (o, now) => age(o.metadata.creationTimestamp, now))
const createdAt = { ...text('Created At', (o) => o.metadata.creationTimestamp), type: 'date' }
const selector = (s: Draft): string => selectorText(s) || '<none>'
const template: Column[] = [
  text('Containers', (o) => containerNames(o.spec?.template?.spec), 1),
  text('Images', (o) => containerImages(o.spec?.template?.spec), 1),
]
const workloadTail: Column[] = [ageColumn, ...template, text('Selector', (o) => selector(o.spec?.selector), 1)]

const nodeStatus = (node: Draft): string => {
  const ready = (node.status?.conditions ?? []).find((c: Draft) => c.type === 'Ready')
  const status = !ready ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady'
  return node.spec?.unschedulable ? `${status},SchedulingDisabled` : status
}
const nodeRoles = (node: Draft): string => {
  const roles = Object.entries((node.metadata.labels ?? {}) as Record<string, string>).flatMap(([key, value]) =>
    key.startsWith('node-role.kubernetes.io/') ? [key.slice(24)] : key === 'kubernetes.io/role' && value ? [value] : [],
  )
  return roles.filter(Boolean).sort().join(',') || '<none>'
}
const nodeAddress = (type: string) => (node: Draft) =>
  none((node.status?.addresses ?? []).find((a: Draft) => a.type === type)?.address)

const externalIp = ({ spec = {}, status }: Draft): string => {
  const own: string[] = spec.externalIPs ?? []
  if (spec.type === 'ExternalName') return spec.externalName
  if (spec.type !== 'LoadBalancer') return own.join(',') || '<none>'
  const given = (status?.loadBalancer?.ingress ?? []).map((i: Draft) => i.ip ?? i.hostname)
  return [...given, ...own].join(',') || '<pending>'
}
const servicePorts = (ports: Draft[] | undefined): string =>
  (ports ?? [])
    .map((p) => (p.nodePort ? `${p.port}:${p.nodePort}/${p.protocol}` : `${p.port}/${p.protocol}`))
    .join(',') || '<none>'

const jobStatus = (job: Draft): string => {
  for (const type of ['Complete', 'Failed']) if (hasCondition(job, type)) return type
  if (job.metadata.deletionTimestamp) return 'Terminating'
  for (const [type, shown] of [
    ['Suspended', 'Suspended'],
    ['FailureTarget', 'FailureTarget'],
    ['SuccessCriteriaMet', 'SuccessCriteriaMet'],
  ] as const)
    if (hasCondition(job, type)) return shown
  return 'Running'
}
const jobDuration = ({ status = {} }: Draft, now: number): string =>
  status.startTime
    ? humanDuration((status.completionTime ? Date.parse(status.completionTime) : now) - Date.parse(status.startTime))
    : ''
const jobCompletions = ({ spec = {}, status = {} }: Draft): string => {
  const done = status.succeeded ?? 0
  if (spec.completions !== undefined) return `${done}/${spec.completions}`
  return spec.parallelism > 1 ? `${done}/1 of ${spec.parallelism}` : `${done}/1`
}

const endpointAddresses = (endpoints: Draft): string => {
  const all: string[] = []
  for (const subset of endpoints.subsets ?? []) {
    const addresses: Draft[] = subset.addresses ?? []
    if (!subset.ports?.length) all.push(...addresses.map((a) => a.ip))
    for (const port of subset.ports ?? []) all.push(...addresses.map((a) => `${a.ip}:${port.port}`))
  }
  return firstThree(all)
}
const slicePorts = (slice: Draft): string => {
  const ports: Draft[] = slice.ports ?? []
  return ports.length === 0
    ? '<unset>'
    : firstThree(ports.map((p) => (p.port === undefined ? '*' : String(p.port)))).replace('<none>', '<unset>')
}
const sliceAddresses = (slice: Draft): string => {
  const all = ((slice.endpoints ?? []) as Draft[]).flatMap((e) => e.addresses as string[])
  return all.length === 0 ? '<unset>' : firstThree(all)
}

const hosts = (ingress: Draft): string =>
  firstThree(((ingress.spec?.rules ?? []) as Draft[]).map((r) => r.host).filter(Boolean)).replace('<none>', '*')
const addresses = (ingress: Draft): string =>
  (ingress.status?.loadBalancer?.ingress ?? []).map((i: Draft) => i.ip || i.hostname).join(',')

const metricText = (spec: Draft, status: Draft | undefined): string => {
  const kind =
    {
      Resource: 'resource',
      ContainerResource: 'containerResource',
      Pods: 'pods',
      Object: 'object',
      External: 'external',
    }[spec.type as string] ?? ''
  const target = spec[kind]?.target ?? {}
  const current = status?.[kind]?.current ?? {}
  const name = spec[kind]?.name ? `${spec[kind].name}: ` : ''
  if (target.averageUtilization !== undefined)
    return `${name}${current.averageUtilization === undefined ? '<unknown>' : `${current.averageUtilization}%`}/${target.averageUtilization}%`
  if (target.averageValue !== undefined)
    return `${name}${current.averageValue ?? '<unknown>'}/${target.averageValue}${kind === 'object' || kind === 'external' ? ' (avg)' : ''}`
  return `${name}${current.value ?? '<unknown>'}/${target.value ?? '<auto>'}`
}
const targets = (hpa: Draft): string => {
  const metrics: Draft[] = hpa.spec?.metrics ?? []
  if (metrics.length === 0) return '<none>'
  const shown = metrics.slice(0, 2).map((m, i) => metricText(m, hpa.status?.currentMetrics?.[i]))
  return metrics.length > 2 ? `${shown.join(', ')} + ${metrics.length - 2} more...` : shown.join(', ')
}

const eventTimes = (event: Draft, now: number): { first: string; last: string; count: number } => {
  const first = age(event.firstTimestamp ?? event.eventTime, now)
  if (event.series) return { first, last: age(event.series.lastObservedTime, now), count: event.series.count }
  return { first, last: event.lastTimestamp ? age(event.lastTimestamp, now) : first, count: event.count || 1 }
}
const eventTarget = ({ involvedObject: o = {} }: Draft): string => {
  const kind = (o.kind ?? '').toLowerCase()
  return o.name ? `${kind}/${o.name}` : kind
}
const eventSource = (event: Draft): string => {
  const component = event.source?.component || event.reportingComponent || ''
  const host = event.source?.host || event.reportingInstance || ''
  return host ? `${component}, ${host}` : component
}

const subjects = (kind: string) => (binding: Draft) =>
  ((binding.subjects ?? []) as Draft[])
    .filter((s) => s.kind === kind)
    .map((s) => (kind === 'ServiceAccount' ? `${s.namespace}/${s.name}` : s.name))
    .join(', ')
const bindingColumns: Column[] = [
  nameColumn,
  text('Role', (b) => `${b.roleRef?.kind}/${b.roleRef?.name}`),
  ageColumn,
  text('Users', subjects('User'), 1),
  text('Groups', subjects('Group'), 1),
  text('ServiceAccounts', subjects('ServiceAccount'), 1),
]

const quotaText = (quota: Draft, limits: boolean): string =>
  Object.keys(quota.status?.hard ?? quota.spec?.hard ?? {})
    .filter((name) => name.startsWith('limits.') === limits)
    .sort()
    .map((name) => `${name}: ${quota.status?.used?.[name] ?? '0'}/${(quota.status?.hard ?? quota.spec.hard)[name]}`)
    .join(', ')
const unset = (value: unknown): unknown => value ?? '<unset>'
const phase = (o: Draft): string => (o.metadata.deletionTimestamp ? 'Terminating' : (o.status?.phase ?? ''))
const size = (o: Draft): number => Object.keys(o.data ?? {}).length + Object.keys(o.binaryData ?? {}).length
const isDefaultClass = (sc: Draft): boolean =>
  sc.metadata.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true'

const tables: Record<string, Column[]> = {
  pods: [nameColumn, ...podColumns],
  'deployments.apps': [
    nameColumn,
    text('Ready', (d) => `${d.status?.readyReplicas ?? 0}/${d.spec?.replicas ?? 0}`),
    count('Up-to-date', (d) => d.status?.updatedReplicas ?? 0),
    count('Available', (d) => d.status?.availableReplicas ?? 0),
    ...workloadTail,
  ],
  'replicasets.apps': [
    nameColumn,
    count('Desired', (r) => r.spec?.replicas ?? 0),
    count('Current', (r) => r.status?.replicas ?? 0),
    count('Ready', (r) => r.status?.readyReplicas ?? 0),
    ...workloadTail,
  ],
  'statefulsets.apps': [
    nameColumn,
    text('Ready', (s) => `${s.status?.readyReplicas ?? 0}/${s.spec?.replicas ?? 0}`),
    ageColumn,
    ...template,
  ],
  'daemonsets.apps': [
    nameColumn,
    count('Desired', (d) => d.status?.desiredNumberScheduled ?? 0),
    count('Current', (d) => d.status?.currentNumberScheduled ?? 0),
    count('Ready', (d) => d.status?.numberReady ?? 0),
    count('Up-to-date', (d) => d.status?.updatedNumberScheduled ?? 0),
    count('Available', (d) => d.status?.numberAvailable ?? 0),
    text('Node Selector', (d) => labelsText(d.spec?.template?.spec?.nodeSelector)),
    ...workloadTail,
  ],
  'controllerrevisions.apps': [
    nameColumn,
    text('Controller', (r) => {
      const owner = (r.metadata.ownerReferences ?? []).find((o: Draft) => o.controller)
      if (!owner) return '<none>'
      const group = owner.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0]}` : ''
      return `${owner.kind.toLowerCase()}${group}/${owner.name}`
    }),
    count('Revision', (r) => r.revision),
    ageColumn,
  ],
  'jobs.batch': [
    nameColumn,
    text('Status', jobStatus),
    text('Completions', jobCompletions),
    text('Duration', jobDuration),
    ...workloadTail,
  ],
  'cronjobs.batch': [
    nameColumn,
    text('Schedule', (c) => c.spec?.schedule),
    text('Timezone', (c) => none(c.spec?.timeZone)),
    { ...text('Suspend', (c) => String(c.spec?.suspend ?? false)), type: 'boolean' },
    count('Active', (c) => (c.status?.active ?? []).length),
    text('Last Schedule', (c, now) => (c.status?.lastScheduleTime ? age(c.status.lastScheduleTime, now) : '<none>')),
    ageColumn,
    text('Containers', (c) => containerNames(c.spec?.jobTemplate?.spec?.template?.spec), 1),
    text('Images', (c) => containerImages(c.spec?.jobTemplate?.spec?.template?.spec), 1),
    text('Selector', (c) => selector(c.spec?.jobTemplate?.spec?.selector), 1),
  ],
  services: [
    nameColumn,
    text('Type', (s) => s.spec?.type),
    text('Cluster-IP', (s) => none(s.spec?.clusterIP)),
    text('External-IP', externalIp),
    text('Port(s)', (s) => servicePorts(s.spec?.ports)),
    ageColumn,
    text('Selector', (s) => labelsText(s.spec?.selector), 1),
  ],
  endpoints: [nameColumn, text('Endpoints', endpointAddresses), ageColumn],
  'endpointslices.discovery.k8s.io': [
    nameColumn,
    text('AddressType', (s) => s.addressType),
    text('Ports', slicePorts),
    text('Endpoints', sliceAddresses),
    ageColumn,
  ],
  'ingresses.networking.k8s.io': [
    nameColumn,
    text('Class', (i) => none(i.spec?.ingressClassName ?? i.metadata.annotations?.['kubernetes.io/ingress.class'])),
    text('Hosts', hosts),
    text('Address', addresses),
    text('Ports', (i) => (i.spec?.tls?.length ? '80, 443' : '80')),
    ageColumn,
  ],
  'ingressclasses.networking.k8s.io': [
    nameColumn,
    text('Controller', (c) => c.spec?.controller),
    text('Parameters', (c) => {
      const p = c.spec?.parameters
      return p ? `${p.kind}${p.apiGroup ? `.${p.apiGroup}` : ''}/${p.name}` : '<none>'
    }),
    ageColumn,
  ],
  'networkpolicies.networking.k8s.io': [
    nameColumn,
    text('Pod-Selector', (p) => selector(p.spec?.podSelector)),
    ageColumn,
  ],
  nodes: [
    nameColumn,
    text('Status', nodeStatus),
    text('Roles', nodeRoles),
    ageColumn,
    text('Version', (n) => n.status?.nodeInfo?.kubeletVersion ?? ''),
    text('Internal-IP', nodeAddress('InternalIP'), 1),
    text('External-IP', nodeAddress('ExternalIP'), 1),
    text('OS-Image', (n) => n.status?.nodeInfo?.osImage || '<unknown>', 1),
    text('Kernel-Version', (n) => n.status?.nodeInfo?.kernelVersion || '<unknown>', 1),
    text('Container-Runtime', (n) => n.status?.nodeInfo?.containerRuntimeVersion || '<unknown>', 1),
  ],
  events: [
    text('Last Seen', (e, now) => eventTimes(e, now).last),
    text('Type', (e) => e.type ?? ''),
    text('Reason', (e) => e.reason ?? ''),
    text('Object', eventTarget),
    text('Subobject', (e) => e.involvedObject?.fieldPath ?? '', 1),
    text('Source', eventSource, 1),
    text('Message', (e) => (e.message ?? '').trim()),
    text('First Seen', (e, now) => eventTimes(e, now).first, 1),
    count('Count', (e, now) => eventTimes(e, now).count, 1),
    { ...nameColumn, priority: 1 },
  ],
  namespaces: [nameColumn, text('Status', (n) => n.status?.phase ?? ''), ageColumn],
  secrets: [nameColumn, text('Type', (s) => s.type), count('Data', size), ageColumn],
  configmaps: [nameColumn, count('Data', size), ageColumn],
  serviceaccounts: [nameColumn, count('Secrets', (s) => (s.secrets ?? []).length), ageColumn],
  persistentvolumes: [
    nameColumn,
    text('Capacity', (v) => v.spec?.capacity?.storage ?? ''),
    text('Access Modes', (v) => accessModes(v.spec?.accessModes)),
    text('Reclaim Policy', (v) => v.spec?.persistentVolumeReclaimPolicy),
    text('Status', phase),
    text('Claim', (v) => (v.spec?.claimRef ? `${v.spec.claimRef.namespace}/${v.spec.claimRef.name}` : '')),
    text('StorageClass', (v) => v.spec?.storageClassName ?? ''),
    text('VolumeAttributesClass', (v) => unset(v.spec?.volumeAttributesClassName)),
    text('Reason', (v) => v.status?.reason ?? ''),
    ageColumn,
    text('VolumeMode', (v) => unset(v.spec?.volumeMode), 1),
  ],
  persistentvolumeclaims: [
    nameColumn,
    text('Status', phase),
    text('Volume', (c) => c.spec?.volumeName ?? ''),
    text('Capacity', (c) => (c.spec?.volumeName ? (c.status?.capacity?.storage ?? '') : '')),
    text('Access Modes', (c) => (c.spec?.volumeName ? accessModes(c.status?.accessModes) : '')),
    text('StorageClass', (c) => c.spec?.storageClassName ?? ''),
    text('VolumeAttributesClass', (c) => unset(c.spec?.volumeAttributesClassName)),
    ageColumn,
    text('VolumeMode', (c) => unset(c.spec?.volumeMode), 1),
  ],
  'storageclasses.storage.k8s.io': [
    { ...nameColumn, value: (s) => (isDefaultClass(s) ? `${s.metadata.name} (default)` : s.metadata.name) },
    text('Provisioner', (s) => s.provisioner),
    text('ReclaimPolicy', (s) => s.reclaimPolicy),
    text('VolumeBindingMode', (s) => s.volumeBindingMode),
    { ...text('AllowVolumeExpansion', (s) => s.allowVolumeExpansion ?? false), type: 'boolean' },
    ageColumn,
  ],
  'horizontalpodautoscalers.autoscaling': [
    nameColumn,
    text('Reference', (h) => `${h.spec?.scaleTargetRef?.kind}/${h.spec?.scaleTargetRef?.name}`),
    text('Targets', targets),
    text('MinPods', (h) => unset(h.spec?.minReplicas)),
    text('MaxPods', (h) => h.spec?.maxReplicas),
    text('Replicas', (h) => h.status?.currentReplicas ?? 0),
    ageColumn,
  ],
  'poddisruptionbudgets.policy': [
    nameColumn,
    text('Min Available', (p) => p.spec?.minAvailable ?? 'N/A'),
    text('Max Unavailable', (p) => p.spec?.maxUnavailable ?? 'N/A'),
    count('Allowed Disruptions', (p) => p.status?.disruptionsAllowed ?? 0),
    ageColumn,
  ],
  resourcequotas: [
    nameColumn,
    text('Request', (q) => quotaText(q, false)),
    text('Limit', (q) => quotaText(q, true)),
    ageColumn,
  ],
  'leases.coordination.k8s.io': [nameColumn, text('Holder', (l) => l.spec?.holderIdentity ?? ''), ageColumn],
  'priorityclasses.scheduling.k8s.io': [
    nameColumn,
    count('Value', (p) => p.value),
    { ...text('Global-Default', (p) => p.globalDefault ?? false), type: 'boolean' },
    ageColumn,
    text('PreemptionPolicy', (p) => p.preemptionPolicy ?? ''),
  ],
  'rolebindings.rbac.authorization.k8s.io': bindingColumns,
  'clusterrolebindings.rbac.authorization.k8s.io': bindingColumns,
  'pods.metrics.k8s.io': [
    nameColumn,
    text('CPU', (m) => m.containers?.[0]?.usage?.cpu ?? ''),
    text('Memory', (m) => m.containers?.[0]?.usage?.memory ?? ''),
    text('Window', (m) => m.window ?? ''),
  ],
  'nodes.metrics.k8s.io': [
    nameColumn,
    text('CPU', (m) => m.usage?.cpu ?? ''),
    text('Memory', (m) => m.usage?.memory ?? ''),
    text('Window', (m) => m.window ?? ''),
  ],
}
const usual: Column[] = [nameColumn, createdAt]

export const columnsOf = (resource: string): Column[] => tables[resource] ?? usual
