import { messageOf } from '../../../errors.ts'
import type { NamespaceCondition, Namespace as NamespaceObject } from '../../../spec/kube/generated/types.ts'
import { ConfigMap, Namespace, ServiceAccount } from '../../../spec/kube/kinds.ts'
import { withCondition } from '../objects/conditions.ts'
import { equal } from '../objects/meta.ts'
import { type Context, controller, watch } from '../run/controller.ts'
import type { AnyKind } from '../run/writes.ts'
import { resourcesOf } from './resources.ts'

const rootCaName = 'kube-root-ca.crt'

/** Every namespace has a ServiceAccount "default". */
export const serviceAccounts = controller({
  name: 'service-account-controller',
  for: Namespace,
  watches: [
    watch(ServiceAccount, ({ metadata: { namespace, name } }) => (name === 'default' ? [{ name: namespace! }] : [])),
  ],
  async reconcile({ name: namespace }, { objects, informers }) {
    const alive = informers.of(Namespace).get(undefined, namespace)
    if (!alive || alive.metadata.deletionTimestamp) return
    if (informers.of(ServiceAccount).get(namespace, 'default')) return
    const metadata = { namespace, name: 'default' }
    await objects.create(ServiceAccount, { apiVersion: 'v1', kind: 'ServiceAccount', metadata })
  },
})

/** Every namespace has the cluster's authority, for pods to know the API server by. */
export const rootCas = controller({
  name: 'root-ca-certificate-publisher',
  for: Namespace,
  watches: [
    watch(ConfigMap, ({ metadata: { namespace, name } }) => (name === rootCaName ? [{ name: namespace! }] : [])),
  ],
  async reconcile({ name: namespace }, { objects, informers, options }) {
    const alive = informers.of(Namespace).get(undefined, namespace)
    if (!alive || alive.metadata.deletionTimestamp) return
    const data = { 'ca.crt': options.rootCa }
    const before = informers.of(ConfigMap).get(namespace, rootCaName)
    if (!before) {
      const description =
        'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.'
      const metadata = { namespace, name: rootCaName, annotations: { 'kubernetes.io/description': description } }
      await objects.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data })
    } else if (!equal(before.data, data)) await objects.update(ConfigMap, { ...before, data })
  },
})

/** Empties namespaces that are deleted, then lets them go. Source: pkg/controller/namespace/deletion. */
export const namespaces = controller({
  name: 'namespace-controller',
  for: Namespace,
  async reconcile({ name }, context) {
    const namespace = context.informers.of(Namespace).get(undefined, name)
    if (!namespace?.metadata.deletionTimestamp) return
    const { left, failures } = await empty(name, context)
    const status = {
      ...namespace.status,
      phase: 'Terminating',
      conditions: conditionsOf(namespace, left, failures, context),
    }
    if (left.length > 0 || failures.length > 0) {
      if (!equal(status, namespace.status)) await context.objects.updateStatus(Namespace, { ...namespace, status })
      // Pods need their grace; a look now and then is all that is needed until they are gone.
      return { requeueAfter: failures.length > 0 ? 1000 : 250 }
    }
    await finalize(namespace, context)
    return
  },
})

interface Left {
  kind: AnyKind
  count: number
  finalizers: string[]
}

/** Deletes all that is in the namespace; what is still there, and what could not be deleted. */
const empty = async (
  namespace: string,
  { objects, options }: Context,
): Promise<{ left: Left[]; failures: string[] }> => {
  const left: Left[] = []
  const failures: string[] = []
  for (const kind of resourcesOf(options).filter(({ namespaced }) => namespaced)) {
    try {
      const before = await objects.list(kind, { namespace })
      if (before.items.length === 0) continue
      if (before.items.some(({ metadata }) => !metadata.deletionTimestamp))
        await objects.deleteCollection(kind, { namespace })
      const { items } = await objects.list(kind, { namespace })
      const finalizers = [...new Set(items.flatMap(({ metadata }) => metadata.finalizers ?? []))]
      if (items.length > 0) left.push({ kind, count: items.length, finalizers })
    } catch (error) {
      failures.push(`${kind.plural}: ${messageOf(error)}`)
    }
  }
  return { left, failures }
}

const conditionsOf = (
  namespace: NamespaceObject,
  left: readonly Left[],
  failures: readonly string[],
  { clock }: Context,
): NamespaceCondition[] => {
  const resource = ({ plural, group }: AnyKind): string => (group ? `${plural}.${group}` : `${plural}.`)
  const remaining = left.map(({ kind, count }) => `${resource(kind)} has ${count} resource instances`)
  const held = left.flatMap(({ finalizers, count }) =>
    finalizers.map((finalizer) => `${finalizer} in ${count} resource instances`),
  )
  const all: [type: string, bad: boolean, reasonBad: string, reason: string, messageBad: string, message: string][] = [
    [
      'NamespaceDeletionDiscoveryFailure',
      false,
      '',
      'ResourcesDiscovered',
      '',
      'All resources successfully discovered',
    ],
    [
      'NamespaceDeletionGroupVersionParsingFailure',
      false,
      '',
      'ParsedGroupVersions',
      '',
      'All legacy kube types successfully parsed',
    ],
    [
      'NamespaceDeletionContentFailure',
      failures.length > 0,
      'ContentDeletionFailed',
      'ContentDeleted',
      `Failed to delete all resource types, ${failures.length} remaining: ${failures.join(', ')}`,
      'All content successfully deleted, may be waiting on finalization',
    ],
    [
      'NamespaceContentRemaining',
      left.length > 0,
      'SomeResourcesRemain',
      'ContentRemoved',
      `Some resources are remaining: ${remaining.join(', ')}`,
      'All content successfully removed',
    ],
    [
      'NamespaceFinalizersRemaining',
      held.length > 0,
      'SomeFinalizersRemain',
      'ContentHasNoFinalizers',
      `Some content in the namespace has finalizers remaining: ${held.join(', ')}`,
      'All content-preserving finalizers finished',
    ],
  ]
  return all.reduce<NamespaceCondition[]>(
    (conditions, [type, bad, reasonBad, reason, messageBad, message]) =>
      withCondition(
        conditions,
        { type, status: bad ? 'True' : 'False', reason: bad ? reasonBad : reason, message: bad ? messageBad : message },
        clock.now(),
      ),
    namespace.status?.conditions ?? [],
  )
}

const finalize = async (namespace: NamespaceObject, { objects }: Context): Promise<void> => {
  const finalizers = (namespace.spec?.finalizers ?? []).filter((finalizer) => finalizer !== 'kubernetes')
  const body = { ...namespace, apiVersion: 'v1', kind: 'Namespace', spec: { ...namespace.spec, finalizers } }
  await objects.createSubresource(Namespace, { name: namespace.metadata.name! }, 'finalize', body)
}
