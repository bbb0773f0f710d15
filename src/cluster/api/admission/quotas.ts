/** ResourceQuotas: what a new object needs is charged, or refused. The quota controller recounts what goes away. */
import { equalJson } from '../../../lib/json.ts'
import { addQuantities, compareQuantities } from '../../../lib/quantity.ts'
import { forbidden } from '../errors.ts'
import { qosClass } from '../kinds/pod.ts'
import type { Context, Draft, Resource, Write } from '../resource.ts'

type Usage = Record<string, string>
const add = (usage: Usage, name: string, value: string): void => {
  usage[name] = usage[name] === undefined ? value : addQuantities(usage[name], value)
}
const larger = (a: string | undefined, b: string): string => (a === undefined || compareQuantities(b, a) > 0 ? b : a)

const podUsage = (pod: Draft): Usage => {
  const usage: Usage = { pods: '1', 'count/pods': '1' }
  // What has ended uses nothing any more.
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return { 'count/pods': '1' }
  for (const side of ['requests', 'limits'] as const) {
    const sum: Usage = {}
    for (const container of pod.spec.containers ?? [])
      for (const [name, value] of Object.entries((container.resources?.[side] ?? {}) as Usage)) add(sum, name, value)
    for (const container of pod.spec.initContainers ?? [])
      for (const [name, value] of Object.entries((container.resources?.[side] ?? {}) as Usage))
        if (container.restartPolicy === 'Always') add(sum, name, value)
        else sum[name] = larger(sum[name], value)
    for (const [name, value] of Object.entries((pod.spec.overhead ?? {}) as Usage))
      if (sum[name] !== undefined) add(sum, name, value)
    for (const [name, value] of Object.entries(sum)) {
      usage[`${side}.${name}`] = value
      if (side === 'requests' && ['cpu', 'memory', 'ephemeral-storage'].includes(name)) usage[name] = value
    }
  }
  return usage
}

/** What one object counts for, by the names that quotas use. */
const usageOf = (resource: Resource, object: Draft): Usage => {
  const { id } = resource
  if (id === 'pods') return podUsage(object)
  const usage: Usage = { [`count/${id}`]: '1' }
  if (
    [
      'configmaps',
      'secrets',
      'services',
      'persistentvolumeclaims',
      'resourcequotas',
      'replicationcontrollers',
    ].includes(id)
  )
    usage[id] = '1'
  if (id === 'services') {
    const ports = (object.spec?.ports ?? []).length
    const { type } = object.spec
    const balanced = type === 'LoadBalancer' && object.spec.allocateLoadBalancerNodePorts !== false
    if (type === 'LoadBalancer') usage['services.loadbalancers'] = '1'
    if (type === 'NodePort' || balanced) usage['services.nodeports'] = String(ports)
  }
  if (id === 'persistentvolumeclaims') {
    const size = object.spec.resources?.requests?.storage ?? '0'
    usage['requests.storage'] = size
    const name = object.spec.storageClassName
    if (name) {
      usage[`${name}.storageclass.storage.k8s.io/requests.storage`] = size
      usage[`${name}.storageclass.storage.k8s.io/persistentvolumeclaims`] = '1'
    }
  }
  return usage
}

const inScope = (scope: string, pod: Draft): boolean => {
  switch (scope) {
    case 'Terminating':
      return pod.spec.activeDeadlineSeconds !== undefined
    case 'NotTerminating':
      return pod.spec.activeDeadlineSeconds === undefined
    case 'BestEffort':
      return qosClass(pod.spec) === 'BestEffort'
    case 'NotBestEffort':
      return qosClass(pod.spec) !== 'BestEffort'
    default:
      return true
  }
}
const selects = (quota: Draft, resource: Resource, object: Draft): boolean => {
  const scopes: string[] = quota.spec.scopes ?? []
  const terms: Draft[] = quota.spec.scopeSelector?.matchExpressions ?? []
  if (scopes.length + terms.length === 0) return true
  if (resource.id !== 'pods') return false
  if (!scopes.every((scope) => inScope(scope, object))) return false
  return terms.every(({ scopeName, operator, values = [] }) => {
    if (scopeName !== 'PriorityClass') return inScope(scopeName, object)
    const own = object.spec.priorityClassName
    if (operator === 'In') return values.includes(own)
    if (operator === 'NotIn') return !values.includes(own)
    return operator === 'Exists' ? !!own : !own
  })
}

/** Everything in the namespace that the quota counts, as it is now. */
const usedIn = (context: Context, quota: Draft, namespace: string): Usage => {
  const hard = Object.keys(quota.spec.hard ?? {})
  const used: Usage = Object.fromEntries(hard.map((name) => [name, '0']))
  for (const resource of context.registry.all()) {
    if (!resource.namespaced || resource.conversion || resource.serve) continue
    for (const object of context.store.list(resource.id, namespace)) {
      if (!selects(quota, resource, object)) continue
      for (const [name, value] of Object.entries(usageOf(resource, object)))
        if (name in used) used[name] = addQuantities(value, used[name]!)
    }
  }
  return used
}

const mustBeNamed = (quota: Draft, pod: Draft): string[] => {
  const missing: string[] = []
  for (const name of Object.keys(quota.spec.hard ?? {}).sort()) {
    const match = /^(?:(requests|limits)\.)?(cpu|memory|ephemeral-storage)$/.exec(name)
    if (!match) continue
    const side = match[1] === 'limits' ? 'limits' : 'requests'
    const without = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])].filter(
      (c: Draft) => c.resources?.[side]?.[match[2]!] === undefined,
    )
    if (without.length > 0) missing.push(`${name} for: ${without.map((c: Draft) => c.name).join(',')}`)
  }
  return missing
}
const shown = (usage: Usage, names: string[]): string => names.map((name) => `${name}=${usage[name]}`).join(',')

export const chargeQuotas = (
  context: Context,
  resource: Resource,
  draft: Draft,
  old: Draft | undefined,
  write: Write,
): void => {
  const { namespace, name } = draft.metadata
  if (!namespace) return
  const quotas = context.store.list('resourcequotas', namespace) as Draft[]
  if (quotas.length === 0) return
  const needs = usageOf(resource, draft)
  const had = old ? usageOf(resource, old) : {}
  const charges: [quota: Draft, used: Usage][] = []
  for (const quota of quotas) {
    if (!selects(quota, resource, draft)) continue
    const hard: Usage = quota.spec.hard ?? {}
    if (resource.id === 'pods') {
      const missing = mustBeNamed(quota, draft)
      if (missing.length > 0)
        throw forbidden(resource, name, `failed quota: ${quota.metadata.name}: must specify ${missing.join('; ')}`)
    }
    const counted = Object.keys(needs).filter((key) => key in hard && needs[key] !== had[key])
    if (counted.length === 0) continue
    const used = usedIn(context, quota, namespace)
    const next: Usage = { ...used }
    for (const key of counted) next[key] = addQuantities(used[key]!, needs[key]!, ...(had[key] ? [`-${had[key]}`] : []))
    const over = counted
      .filter(
        (key) => compareQuantities(next[key]!, hard[key]!) > 0 && compareQuantities(needs[key]!, had[key] ?? '0') > 0,
      )
      .sort()
    if (over.length > 0)
      throw forbidden(
        resource,
        name,
        `exceeded quota: ${quota.metadata.name}, requested: ${shown(needs, over)}, used: ${shown(used, over)}, limited: ${shown(hard, over)}`,
      )
    charges.push([quota, next])
  }
  if (write.dryRun) return
  for (const [quota, used] of charges) {
    const status = { hard: quota.spec.hard, used }
    if (!equalJson(quota.status, status)) context.store.update('resourcequotas', { ...quota, status })
  }
}
