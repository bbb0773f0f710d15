/** The kinds slipway speaks, as values: what a client or the API server must know to address them. */
import type * as k from './generated/types.ts'

export interface ObjectMetaHolder {
  apiVersion?: string | undefined
  kind?: string | undefined
  metadata: k.ObjectMeta
}
/** Any object at all. */
export type KubeObject = ObjectMetaHolder & Record<string, unknown>

export interface Kind<T extends ObjectMetaHolder = KubeObject> {
  group: string // '' is core
  version: string
  kind: string
  plural: string
  singular: string
  shortNames: readonly string[]
  categories: readonly string[]
  namespaced: boolean
  /** Never set; carries the type. */
  readonly __type?: T
}

const kind = <T extends ObjectMetaHolder>(
  apiVersion: string,
  name: string,
  plural: string,
  more: { cluster?: boolean; short?: string[]; categories?: string[] } = {},
): Kind<T> => {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion]
  return {
    group: group!,
    version: version!,
    kind: name,
    plural,
    singular: name.toLowerCase(),
    shortNames: more.short ?? [],
    categories: more.categories ?? [],
    namespaced: !more.cluster,
  }
}
const all = { categories: ['all'] }

export const Namespace = kind<k.Namespace>('v1', 'Namespace', 'namespaces', { cluster: true, short: ['ns'] })
export const Node = kind<k.Node>('v1', 'Node', 'nodes', { cluster: true, short: ['no'] })
export const Pod = kind<k.Pod>('v1', 'Pod', 'pods', { short: ['po'], ...all })
export const Service = kind<k.Service>('v1', 'Service', 'services', { short: ['svc'], ...all })
export const Endpoints = kind<k.Endpoints>('v1', 'Endpoints', 'endpoints', { short: ['ep'] })
export const ConfigMap = kind<k.ConfigMap>('v1', 'ConfigMap', 'configmaps', { short: ['cm'] })
export const Secret = kind<k.Secret>('v1', 'Secret', 'secrets')
export const ServiceAccount = kind<k.ServiceAccount>('v1', 'ServiceAccount', 'serviceaccounts', { short: ['sa'] })
export const Event = kind<k.Event>('v1', 'Event', 'events', { short: ['ev'] })
export const PersistentVolume = kind<k.PersistentVolume>('v1', 'PersistentVolume', 'persistentvolumes', {
  cluster: true,
  short: ['pv'],
})
export const PersistentVolumeClaim = kind<k.PersistentVolumeClaim>(
  'v1',
  'PersistentVolumeClaim',
  'persistentvolumeclaims',
  { short: ['pvc'] },
)
export const LimitRange = kind<k.LimitRange>('v1', 'LimitRange', 'limitranges', { short: ['limits'] })
export const ResourceQuota = kind<k.ResourceQuota>('v1', 'ResourceQuota', 'resourcequotas', { short: ['quota'] })
export const Deployment = kind<k.Deployment>('apps/v1', 'Deployment', 'deployments', { short: ['deploy'], ...all })
export const ReplicaSet = kind<k.ReplicaSet>('apps/v1', 'ReplicaSet', 'replicasets', { short: ['rs'], ...all })
export const StatefulSet = kind<k.StatefulSet>('apps/v1', 'StatefulSet', 'statefulsets', { short: ['sts'], ...all })
export const DaemonSet = kind<k.DaemonSet>('apps/v1', 'DaemonSet', 'daemonsets', { short: ['ds'], ...all })
export const ControllerRevision = kind<k.ControllerRevision>('apps/v1', 'ControllerRevision', 'controllerrevisions')
export const Job = kind<k.Job>('batch/v1', 'Job', 'jobs', all)
export const CronJob = kind<k.CronJob>('batch/v1', 'CronJob', 'cronjobs', { short: ['cj'], ...all })
export const HorizontalPodAutoscaler = kind<k.HorizontalPodAutoscaler>(
  'autoscaling/v2',
  'HorizontalPodAutoscaler',
  'horizontalpodautoscalers',
  { short: ['hpa'], ...all },
)
export const EndpointSlice = kind<k.EndpointSlice>('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices')
export const Ingress = kind<k.Ingress>('networking.k8s.io/v1', 'Ingress', 'ingresses', { short: ['ing'] })
export const IngressClass = kind<k.IngressClass>('networking.k8s.io/v1', 'IngressClass', 'ingressclasses', {
  cluster: true,
})
export const NetworkPolicy = kind<k.NetworkPolicy>('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies', {
  short: ['netpol'],
})
export const PodDisruptionBudget = kind<k.PodDisruptionBudget>(
  'policy/v1',
  'PodDisruptionBudget',
  'poddisruptionbudgets',
  { short: ['pdb'] },
)
export const StorageClass = kind<k.StorageClass>('storage.k8s.io/v1', 'StorageClass', 'storageclasses', {
  cluster: true,
  short: ['sc'],
})
export const Lease = kind<k.Lease>('coordination.k8s.io/v1', 'Lease', 'leases')
export const PriorityClass = kind<k.PriorityClass>('scheduling.k8s.io/v1', 'PriorityClass', 'priorityclasses', {
  cluster: true,
  short: ['pc'],
})
export const Role = kind<k.Role>('rbac.authorization.k8s.io/v1', 'Role', 'roles')
export const RoleBinding = kind<k.RoleBinding>('rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings')
export const ClusterRole = kind<k.ClusterRole>('rbac.authorization.k8s.io/v1', 'ClusterRole', 'clusterroles', {
  cluster: true,
})
export const ClusterRoleBinding = kind<k.ClusterRoleBinding>(
  'rbac.authorization.k8s.io/v1',
  'ClusterRoleBinding',
  'clusterrolebindings',
  { cluster: true },
)

export const apiVersionOf = (kind: Pick<Kind, 'group' | 'version'>): string =>
  kind.group ? `${kind.group}/${kind.version}` : kind.version
