/** The built-in resources. */

import type { Kind } from '../../spec/kube/kinds.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { schemaOf } from '../../spec/kube/schema.ts'
import { furnishNamespace } from './bootstrap.ts'
import { configMapStrategy, eventStrategy, namespaceStrategy, nodeStrategy, secretStrategy } from './kinds/config.ts'
import { cronJobStrategy, jobStrategy } from './kinds/job.ts'
import {
  endpointSliceStrategy,
  endpointsStrategy,
  ingressClassStrategy,
  ingressStrategy,
  networkPolicyStrategy,
} from './kinds/network.ts'
import { podStrategy } from './kinds/pod.ts'
import {
  autoscalerStrategy,
  bindingStrategy,
  budgetStrategy,
  limitRangeStrategy,
  priorityClassStrategy,
  quotaStrategy,
  roleStrategy,
} from './kinds/policy.ts'
import { serviceStrategy } from './kinds/service.ts'
import { claimStrategy, storageClassStrategy, volumeStrategy } from './kinds/storage.ts'
import { daemonSetStrategy, deploymentStrategy, replicaSetStrategy, statefulSetStrategy } from './kinds/workload.ts'
import { Registry, readWrite, resourceOf, type Strategy, type Subresource } from './resource.ts'
import { addVirtual } from './virtual.ts'

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
]

/** Kinds in the order in which discovery lists them. */
// biome-ignore lint/suspicious/noExplicitAny: kinds of all types in one table.
const builtIn: [kind: Kind<any>, strategy: Strategy, subresources?: Subresource[]][] = [
  [kinds.ConfigMap, configMapStrategy],
  [kinds.Endpoints, endpointsStrategy],
  [kinds.Event, eventStrategy],
  [kinds.LimitRange, limitRangeStrategy],
  [kinds.Namespace, namespaceStrategy, [core('finalize', 'Namespace', ['update'])]],
  [kinds.Node, nodeStrategy],
  [kinds.PersistentVolumeClaim, claimStrategy],
  [kinds.PersistentVolume, volumeStrategy],
  [kinds.Pod, podStrategy, podSubresources],
  [kinds.ResourceQuota, quotaStrategy],
  [kinds.Secret, secretStrategy],
  [kinds.ServiceAccount, {}, [core('token', 'TokenRequest', ['create'], 'authentication.k8s.io')]],
  [kinds.Service, serviceStrategy],
  [kinds.ControllerRevision, {}],
  [kinds.DaemonSet, daemonSetStrategy],
  [kinds.Deployment, deploymentStrategy, [scale]],
  [kinds.ReplicaSet, replicaSetStrategy, [scale]],
  [kinds.StatefulSet, statefulSetStrategy, [scale]],
  [kinds.HorizontalPodAutoscaler, autoscalerStrategy],
  [kinds.CronJob, cronJobStrategy],
  [kinds.Job, jobStrategy],
  [kinds.Lease, { createOnUpdate: true }],
  [kinds.EndpointSlice, endpointSliceStrategy],
  [kinds.IngressClass, ingressClassStrategy],
  [kinds.Ingress, ingressStrategy],
  [kinds.NetworkPolicy, networkPolicyStrategy],
  [kinds.PodDisruptionBudget, budgetStrategy],
  [kinds.ClusterRoleBinding, bindingStrategy],
  [kinds.ClusterRole, roleStrategy],
  [kinds.RoleBinding, bindingStrategy],
  [kinds.Role, roleStrategy],
  [kinds.PriorityClass, priorityClassStrategy],
  [kinds.StorageClass, storageClassStrategy],
]

export const createRegistry = (): Registry => {
  const registry = new Registry()
  for (const [kind, strategy, subresources] of builtIn) {
    const schema = schemaOf(kind.group, kind.version, kind.kind)
    if (!schema) throw new Error(`no schema for ${kind.kind}`)
    registry.add(resourceOf(kind, schema, strategy, subresources ? { subresources } : {}))
  }
  addVirtual(registry)
  // A namespace is furnished in the same breath, before anyone can see it empty.
  registry.byId('namespaces')!.strategy = {
    ...namespaceStrategy,
    committed: (namespace, previous, context) => {
      if (!previous) furnishNamespace(context, namespace)
    },
  }
  return registry
}
