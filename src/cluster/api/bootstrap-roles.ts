/** The ClusterRoles users are given: cluster-admin, admin, edit, view, and what everyone may. Source: bootstrappolicy. */
import type { Draft } from './resource.ts'

const apiVersion = 'rbac.authorization.k8s.io/v1'
const labels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' }
const read = ['get', 'list', 'watch']
const write = ['create', 'delete', 'deletecollection', 'patch', 'update']
interface Rule {
  apiGroups?: string[]
  resources?: string[]
  nonResourceURLs?: string[]
  verbs: string[]
}
const rule = (verbs: string[], group: string, ...resources: string[]): Rule => ({
  apiGroups: [group],
  resources,
  verbs,
})

const workloads: [group: string, resources: string[]][] = [
  [
    'apps',
    [
      'daemonsets',
      'deployments',
      'deployments/scale',
      'replicasets',
      'replicasets/scale',
      'statefulsets',
      'statefulsets/scale',
    ],
  ],
  ['autoscaling', ['horizontalpodautoscalers']],
  ['batch', ['cronjobs', 'jobs']],
  ['networking.k8s.io', ['ingresses', 'networkpolicies']],
  ['policy', ['poddisruptionbudgets']],
]
const viewRules: Rule[] = [
  rule(
    read,
    '',
    'configmaps',
    'endpoints',
    'persistentvolumeclaims',
    'persistentvolumeclaims/status',
    'pods',
    'serviceaccounts',
    'services',
    'services/status',
  ),
  rule(
    read,
    '',
    'events',
    'limitranges',
    'namespaces',
    'namespaces/status',
    'pods/log',
    'pods/status',
    'resourcequotas',
    'resourcequotas/status',
  ),
  rule(read, 'discovery.k8s.io', 'endpointslices'),
  rule(read, 'events.k8s.io', 'events'),
  rule(read, 'metrics.k8s.io', 'pods', 'nodes'),
  ...workloads.map(([group, resources]) =>
    rule(read, group, ...resources, ...resources.filter((r) => !r.includes('/')).map((r) => `${r}/status`)),
  ),
]
const editRules: Rule[] = [
  rule(read, '', 'pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy', 'secrets', 'services/proxy'),
  rule(['impersonate'], '', 'serviceaccounts'),
  rule(write, '', 'pods', 'pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy'),
  rule(['create'], '', 'pods/eviction'),
  rule(
    write,
    '',
    'configmaps',
    'events',
    'persistentvolumeclaims',
    'secrets',
    'serviceaccounts',
    'services',
    'services/proxy',
  ),
  rule(['create'], '', 'serviceaccounts/token'),
  ...workloads.map(([group, resources]) => rule(write, group, ...resources)),
  rule([...read, ...write], 'coordination.k8s.io', 'leases'),
]
const adminRules: Rule[] = [
  rule(['create'], 'authorization.k8s.io', 'localsubjectaccessreviews'),
  rule([...read, ...write], 'rbac.authorization.k8s.io', 'roles', 'rolebindings'),
]
const reviews: Rule[] = [
  rule(['create'], 'authorization.k8s.io', 'selfsubjectaccessreviews', 'selfsubjectrulesreviews'),
  rule(['create'], 'authentication.k8s.io', 'selfsubjectreviews'),
]
const discovery: Rule[] = [
  {
    nonResourceURLs: [
      '/api',
      '/api/*',
      '/apis',
      '/apis/*',
      '/healthz',
      '/livez',
      '/openapi',
      '/openapi/*',
      '/readyz',
      '/version',
      '/version/',
    ],
    verbs: ['get'],
  },
]
const publicInfo: Rule[] = [
  { nonResourceURLs: ['/healthz', '/livez', '/readyz', '/version', '/version/'], verbs: ['get'] },
]
const everything: Rule[] = [
  { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
  { nonResourceURLs: ['*'], verbs: ['*'] },
]

const role = (name: string, rules: Rule[]): Draft => ({
  apiVersion,
  kind: 'ClusterRole',
  metadata: { name, labels },
  rules,
})
/** Roles of others that carry the label count as part of it: operators add their kinds to admin, edit and view so. */
const aggregated = (name: string, rules: Rule[], ...from: string[]): Draft => ({
  ...role(name, rules),
  aggregationRule: {
    clusterRoleSelectors: from.map((part) => ({
      matchLabels: { [`rbac.authorization.k8s.io/aggregate-to-${part}`]: 'true' },
    })),
  },
})
const binding = (name: string, ...groups: string[]): Draft => ({
  apiVersion,
  kind: 'ClusterRoleBinding',
  metadata: { name, labels },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
  subjects: groups.map((group) => ({ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: group })),
})

export const kubeSystemRoles = (): Draft[] =>
  structuredClone([
    role('cluster-admin', everything),
    aggregated('admin', [...viewRules, ...editRules, ...adminRules], 'admin', 'edit', 'view'),
    aggregated('edit', [...viewRules, ...editRules], 'edit', 'view'),
    aggregated('view', viewRules, 'view'),
    role('system:basic-user', reviews),
    role('system:discovery', discovery),
    role('system:public-info-viewer', publicInfo),
    binding('cluster-admin', 'system:masters'),
    binding('system:basic-user', 'system:authenticated'),
    binding('system:discovery', 'system:authenticated'),
    binding('system:public-info-viewer', 'system:authenticated', 'system:unauthenticated'),
  ])
