/** The built-in resources. */
import * as kinds from '../../spec/kube/kinds.ts'
import type { Kind } from '../../spec/kube/kinds.ts'
import { isDns1035Label, isDns1123Label, isPathSegment } from '../../spec/kube/names.ts'
import { schemaOf } from '../../spec/kube/schema.ts'
import { Registry, readWrite, resourceOf, type Strategy, type Subresource } from './resource.ts'

const scale: Subresource = {
  name: 'scale',
  kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
  verbs: readWrite,
}
const core = (name: string, kind: string, verbs: string[], group = ''): Subresource => ({
  name,
  kind: { group, version: 'v1', kind },
  verbs,
})
const podSubresources: Subresource[] = [
  core('attach', 'PodAttachOptions', ['create', 'get']),
  core('binding', 'Binding', ['create']),
  core('ephemeralcontainers', 'Pod', readWrite),
  core('eviction', 'Eviction', ['create'], 'policy'),
  core('exec', 'PodExecOptions', ['create', 'get']),
  core('log', 'Pod', ['get']),
  core('portforward', 'PodPortForwardOptions', ['create', 'get']),
  core('resize', 'Pod', readWrite),
]
const generation: Strategy = { generation: true }
const path: Strategy = { validName: isPathSegment }

/** Kinds in the order in which discovery lists them. */
// biome-ignore lint/suspicious/noExplicitAny: kinds of all types in one table.
const builtIn: [kind: Kind<any>, strategy: Strategy, subresources?: Subresource[]][] = [
  [kinds.ConfigMap, {}],
  [kinds.Endpoints, { createOnUpdate: true }],
  [kinds.Event, { createOnUpdate: true }],
  [kinds.LimitRange, {}],
  [kinds.Namespace, { validName: isDns1123Label }, [core('finalize', 'Namespace', ['update'])]],
  [kinds.Node, {}],
  [kinds.PersistentVolumeClaim, {}],
  [kinds.PersistentVolume, {}],
  [kinds.Pod, {}, podSubresources],
  [kinds.ResourceQuota, {}],
  [kinds.Secret, {}],
  [kinds.ServiceAccount, {}, [core('token', 'TokenRequest', ['create'], 'authentication.k8s.io')]],
  [kinds.Service, { validName: isDns1035Label }],
  [kinds.ControllerRevision, {}],
  [kinds.DaemonSet, generation],
  [kinds.Deployment, generation, [scale]],
  [kinds.ReplicaSet, generation, [scale]],
  [kinds.StatefulSet, generation, [scale]],
  [kinds.HorizontalPodAutoscaler, {}],
  [kinds.CronJob, generation],
  [kinds.Job, generation],
  [kinds.Lease, { createOnUpdate: true }],
  [kinds.EndpointSlice, generation],
  [kinds.IngressClass, generation],
  [kinds.Ingress, generation],
  [kinds.NetworkPolicy, generation],
  [kinds.PodDisruptionBudget, generation],
  [kinds.ClusterRoleBinding, path],
  [kinds.ClusterRole, path],
  [kinds.RoleBinding, path],
  [kinds.Role, path],
  [kinds.PriorityClass, generation],
  [kinds.StorageClass, {}],
]

export const createRegistry = (): Registry => {
  const registry = new Registry()
  for (const [kind, strategy, subresources] of builtIn) {
    const schema = schemaOf(kind.group, kind.version, kind.kind)
    if (!schema) throw new Error(`no schema for ${kind.kind}`)
    registry.add(resourceOf(kind, schema, strategy, subresources ? { subresources } : {}))
  }
  return registry
}
