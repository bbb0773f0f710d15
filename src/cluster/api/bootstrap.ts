/** What a cluster has from the start, made when it is missing. Nothing that was changed since is put back. */

import { addressAt, formatAddress, parseBlock } from '../../lib/ip.ts'
import { equalJson } from '../../lib/json.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { kubeSystemRoles } from './bootstrap-roles.ts'
import type { Context, Draft, Write } from './resource.ts'
import { insert } from './write.ts'

const by: Write = {
  user: { name: 'system:apiserver', groups: ['system:masters'] },
  dryRun: false,
  manager: 'kube-apiserver',
  warnings: [],
}
const rootCa = 'kube-root-ca.crt'

const ensure = (context: Context, object: Draft): void => {
  const [group] = object.apiVersion.includes('/') ? object.apiVersion.split('/') : ['']
  const resource = context.registry.byKind(group, object.kind)!
  if (context.store.get(resource.id, object.metadata.namespace ?? '', object.metadata.name)) return
  resource.strategy.defaults?.(object)
  insert(context, resource, object, by)
}

/** What every namespace has at once, so that the first pod in it need not wait for a controller. */
export const furnishNamespace = (context: Context, namespace: KubeObject): void => {
  const metadata = { namespace: namespace.metadata.name }
  ensure(context, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, name: 'default' } })
  const { ca } = context.options
  if (ca)
    ensure(context, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { ...metadata, name: rootCa },
      data: { 'ca.crt': ca },
    })
}

const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease']

const storageClass = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'local', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
  provisioner: 'slipway.dev/local',
  reclaimPolicy: 'Delete',
  volumeBindingMode: 'WaitForFirstConsumer',
  allowVolumeExpansion: true,
}
const priorities = [
  {
    name: 'system-cluster-critical',
    value: 2_000_000_000,
    description:
      'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  },
  {
    name: 'system-node-critical',
    value: 2_000_001_000,
    description: 'Used for system critical pods that must not be moved from their current node.',
  },
]

/** The Service through which pods reach this server, always at the first address. */
const apiService = (context: Context): Draft => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'kubernetes', namespace: 'default', labels: { component: 'apiserver', provider: 'kubernetes' } },
  spec: {
    clusterIP: formatAddress(addressAt(parseBlock(context.options.serviceCidr)!, 1n)),
    ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: context.options.apiPort ?? 6443 }],
  },
})
/** Where it listens may differ from start to start. */
const apiEndpoints = (context: Context): void => {
  const { apiAddress, apiPort = 6443 } = context.options
  if (!apiAddress) return
  const metadata = { name: 'kubernetes', namespace: 'default' }
  const ports = [{ name: 'https', port: apiPort, protocol: 'TCP' }]
  follow(context, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [apiAddress], conditions: { ready: true } }],
    ports,
  })
  // For clients that do not know slices yet; the label keeps it from being mirrored into another one.
  follow(context, {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { ...metadata, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: apiAddress }], ports }],
  })
}
/** Makes the object, or brings everything but its metadata up to date. */
const follow = (context: Context, object: Draft): void => {
  const [group] = object.apiVersion.includes('/') ? object.apiVersion.split('/') : ['']
  const { id } = context.registry.byKind(group, object.kind)!
  const current = context.store.get(id, object.metadata.namespace, object.metadata.name) as Draft
  if (!current) ensure(context, object)
  else {
    const next = { ...current, ...object, metadata: current.metadata }
    if (!equalJson(next, current)) context.store.update(id, next)
  }
}
/** The service's address and port follow the options: another port or range may be free today. */
const followOptions = (context: Context): void => {
  const wanted = apiService(context)
  const current = context.store.get('services', 'default', 'kubernetes') as Draft
  if (!current) return
  const { clusterIP, ports } = wanted.spec
  if (current.spec.clusterIP === clusterIP && current.spec.ports[0]?.targetPort === ports[0].targetPort) return
  context.store.update('services', { ...current, spec: { ...current.spec, clusterIP, clusterIPs: [clusterIP], ports } })
}
const followCa = (context: Context): void => {
  const { ca } = context.options
  if (!ca) return
  for (const map of context.store.list('configmaps', '') as Draft[])
    if (map.metadata.name === rootCa && map.data?.['ca.crt'] !== ca)
      context.store.update('configmaps', { ...map, data: { 'ca.crt': ca } })
}

export const bootstrap = (context: Context): void => {
  for (const name of namespaces) ensure(context, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  for (const namespace of context.store.list('namespaces', ''))
    if (!namespace.metadata.deletionTimestamp) furnishNamespace(context, namespace)
  ensure(context, apiService(context))
  followOptions(context)
  followCa(context)
  apiEndpoints(context)
  ensure(context, structuredClone(storageClass))
  for (const { name, value, description } of priorities)
    ensure(context, {
      apiVersion: 'scheduling.k8s.io/v1',
      kind: 'PriorityClass',
      metadata: { name },
      value,
      description,
    })
  for (const object of kubeSystemRoles()) ensure(context, object)
}
