/** What a cluster has from the start. */
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { Context, Write } from './resource.ts'
import { insert } from './write.ts'

const write: Write = {
  user: { name: 'system:apiserver', groups: ['system:masters'] },
  dryRun: false,
  manager: 'slipway',
  warnings: [],
}

const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease']

export const ensure = (context: Context, object: KubeObject): void => {
  const [group, version] = object.apiVersion!.includes('/') ? object.apiVersion!.split('/') : ['', object.apiVersion]
  const resource = context.registry.byKind(group!, object.kind!)!
  void version
  if (context.store.get(resource.id, object.metadata.namespace ?? '', object.metadata.name!)) return
  resource.strategy.defaults?.(object)
  insert(context, resource, object, write)
}

export const bootstrap = (context: Context): void => {
  for (const name of namespaces) ensure(context, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
}
