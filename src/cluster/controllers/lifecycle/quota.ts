/** What counts against a ResourceQuota. Source: pkg/quota/v1/evaluator/core. */
import { formatBytes, formatMilli, quantityValue } from '../../../lib/quantity.ts'
import type {
  PersistentVolumeClaim as ClaimObject,
  Pod as PodObject,
  ResourceQuota as QuotaObject,
  Service as ServiceObject,
} from '../../../spec/kube/generated/types.ts'
import { PersistentVolumeClaim, Pod, ResourceQuota, Service } from '../../../spec/kube/kinds.ts'
import { type Amounts, podLimits, podRequests } from '../../../spec/kube/pod-requests.ts'
import type { Informers } from '../../types.ts'
import { equal } from '../objects/meta.ts'
import { isPodFinished } from '../objects/pods.ts'
import { controller, watch } from '../run/controller.ts'
import type { AnyKind } from '../run/writes.ts'
import { resourcesOf } from './resources.ts'

const isBestEffort = (pod: PodObject): boolean =>
  [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].every(
    ({ resources }) =>
      Object.keys(resources?.requests ?? {}).length + Object.keys(resources?.limits ?? {}).length === 0,
  )

/** Whether the quota's scopes include the pod. */
const inScopes = (quota: QuotaObject, pod: PodObject): boolean => {
  const scopes = (quota.spec?.scopes ?? []).map((scopeName) => ({
    scopeName,
    operator: 'Exists',
    values: undefined as string[] | undefined,
  }))
  return [...scopes, ...(quota.spec?.scopeSelector?.matchExpressions ?? [])].every(
    ({ scopeName, operator, values }) => {
      if (scopeName === 'Terminating') return pod.spec?.activeDeadlineSeconds !== undefined
      if (scopeName === 'NotTerminating') return pod.spec?.activeDeadlineSeconds === undefined
      if (scopeName === 'BestEffort') return isBestEffort(pod)
      if (scopeName === 'NotBestEffort') return !isBestEffort(pod)
      if (scopeName !== 'PriorityClass') return false
      const name = pod.spec?.priorityClassName
      if (operator === 'In') return name !== undefined && (values ?? []).includes(name)
      if (operator === 'NotIn') return name === undefined || !(values ?? []).includes(name)
      return (operator === 'DoesNotExist') === (name === undefined)
    },
  )
}

const sumOf = (all: readonly Amounts[], resource: string): number =>
  all.reduce((sum, amounts) => sum + (amounts[resource] ?? 0), 0)
const text = (resource: string, amount: number): string =>
  resource === 'cpu' ? formatMilli(amount) : formatBytes(amount)

const podUse = (name: string, pods: readonly PodObject[]): string | undefined => {
  if (name === 'pods') return String(pods.length)
  const [, kind, resource] = /^(requests|limits)\.(.+)$/.exec(name) ?? [undefined, 'requests', name]
  if (!/^(cpu|memory|ephemeral-storage|hugepages-.+)$/.test(resource!) && !resource!.includes('/')) return undefined
  const amounts = pods.map((pod) => (kind === 'limits' ? podLimits(pod.spec!) : podRequests(pod.spec!)))
  return text(resource!, sumOf(amounts, resource!))
}
const claimUse = (name: string, claims: readonly ClaimObject[]): string | undefined => {
  const [, className, rest] = /^(.+)\.storageclass\.storage\.k8s\.io\/(.+)$/.exec(name) ?? [undefined, undefined, name]
  const mine = claims.filter((claim) => className === undefined || claim.spec?.storageClassName === className)
  if (rest === 'persistentvolumeclaims') return String(mine.length)
  if (rest !== 'requests.storage') return undefined
  return formatBytes(mine.reduce((sum, claim) => sum + quantityValue(claim.spec?.resources?.requests?.storage), 0))
}
const serviceUse = (name: string, services: readonly ServiceObject[]): string | undefined => {
  if (name === 'services') return String(services.length)
  if (name === 'services.loadbalancers')
    return String(services.filter(({ spec }) => spec?.type === 'LoadBalancer').length)
  if (name !== 'services.nodeports') return undefined
  return String(services.flatMap(({ spec }) => spec?.ports ?? []).filter(({ nodePort }) => nodePort).length)
}

const plain = new Set(['configmaps', 'secrets', 'replicationcontrollers', 'resourcequotas'])
const objectUse = (
  name: string,
  namespace: string,
  informers: Informers,
  kinds: readonly AnyKind[],
): string | undefined => {
  const [plural, ...group] = name.startsWith('count/') ? name.slice(6).split('.') : plain.has(name) ? [name] : []
  const kind = kinds.find((one) => one.plural === plural && one.group === group.join('.'))
  return kind && String(informers.of(kind).list(namespace).length)
}

/** Keeps status.used of quotas true; admission compares against it. */
export const quotas = controller({
  name: 'resourcequota-controller',
  for: ResourceQuota,
  watches: [Pod, Service, PersistentVolumeClaim].map((kind) =>
    watch(kind as AnyKind, ({ metadata: { namespace } }, { informers }) =>
      informers
        .of(ResourceQuota)
        .list(namespace)
        .map(({ metadata }) => ({ namespace, name: metadata.name! })),
    ),
  ),
  async reconcile(key, { objects, informers, options }) {
    const quota = informers.of(ResourceQuota).get(key.namespace, key.name)
    if (!quota || quota.metadata.deletionTimestamp) return
    const namespace = key.namespace!
    const pods = informers
      .of(Pod)
      .list(namespace)
      .filter((pod) => !isPodFinished(pod) && inScopes(quota, pod))
    const claims = informers.of(PersistentVolumeClaim).list(namespace)
    const services = informers.of(Service).list(namespace)
    const hard = quota.spec?.hard ?? {}
    const kinds = resourcesOf(options)
    const used = Object.fromEntries(
      Object.keys(hard).map((name) => [
        name,
        claimUse(name, claims) ??
          serviceUse(name, services) ??
          objectUse(name, namespace, informers, kinds) ??
          podUse(name, pods) ??
          '0',
      ]),
    )
    const status = { hard, used }
    if (!equal(status, quota.status)) await objects.updateStatus(ResourceQuota, { ...quota, status })
    // Kinds that are merely counted are not followed one by one; a look now and then keeps them true.
    const counted = Object.keys(hard).some((name) => name.startsWith('count/') || plain.has(name))
    return counted ? { requeueAfter: 5000 } : undefined
  },
})
