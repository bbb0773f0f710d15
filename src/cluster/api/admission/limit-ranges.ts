/** LimitRanges: defaults for containers that name no resources, and bounds. Source: plugin/pkg/admission/limitranger. */
import { addQuantities, compareQuantities, parseQuantity } from '../../../lib/quantity.ts'
import { forbidden } from '../errors.ts'
import type { Context, Draft, Resource } from '../resource.ts'

const rangesIn = (context: Context, namespace: string): Draft[] =>
  (context.store.list('limitranges', namespace) as Draft[]).flatMap((range) => range.spec.limits ?? [])

/** Sets what is missing; says what it did in an annotation, as Kubernetes does. */
export const applyLimitRanges = (context: Context, pod: Draft): void => {
  const said: string[] = []
  for (const item of rangesIn(context, pod.metadata.namespace)) {
    if (item.type !== 'Container') continue
    for (const [list, what] of [
      ['containers', 'container'],
      ['initContainers', 'init container'],
    ] as const)
      for (const container of pod.spec[list] ?? [])
        for (const [side, defaults] of [
          ['requests', item.defaultRequest],
          ['limits', item.default],
        ] as const) {
          const set: string[] = []
          for (const name of Object.keys(defaults ?? {}).sort()) {
            container.resources[side] ??= {}
            if (container.resources[side][name] !== undefined) continue
            container.resources[side][name] = defaults[name]
            set.push(name)
          }
          if (container.resources[side] && Object.keys(container.resources[side]).length === 0)
            delete container.resources[side]
          if (set.length > 0)
            said.push(`${set.join(', ')} ${side === 'requests' ? 'request' : 'limit'} for ${what} ${container.name}`)
        }
  }
  if (said.length > 0)
    pod.metadata.annotations = {
      ...pod.metadata.annotations,
      'kubernetes.io/limit-ranger': `LimitRanger plugin set: ${said.join('; ')}`,
    }
}

const violations = (item: Draft, resources: Draft): string[] => {
  const found: string[] = []
  const { requests = {}, limits = {} } = resources ?? {}
  const { type } = item
  for (const [name, min] of Object.entries((item.min ?? {}) as Record<string, string>)) {
    if (requests[name] === undefined)
      found.push(`minimum ${name} usage per ${type} is ${min}.  No request is specified`)
    else if (compareQuantities(requests[name], min) < 0)
      found.push(`minimum ${name} usage per ${type} is ${min}, but request is ${requests[name]}`)
    else if (limits[name] !== undefined && compareQuantities(limits[name], min) < 0)
      found.push(`minimum ${name} usage per ${type} is ${min}, but limit is ${limits[name]}`)
  }
  for (const [name, max] of Object.entries((item.max ?? {}) as Record<string, string>)) {
    const storage = type === 'PersistentVolumeClaim'
    if (!storage && limits[name] === undefined)
      found.push(`maximum ${name} usage per ${type} is ${max}.  No limit is specified`)
    else if (limits[name] !== undefined && compareQuantities(limits[name], max) > 0)
      found.push(`maximum ${name} usage per ${type} is ${max}, but limit is ${limits[name]}`)
    if (requests[name] !== undefined && compareQuantities(requests[name], max) > 0)
      found.push(`maximum ${name} usage per ${type} is ${max}, but request is ${requests[name]}`)
  }
  for (const [name, most] of Object.entries((item.maxLimitRequestRatio ?? {}) as Record<string, string>)) {
    const request = parseQuantity(requests[name] ?? '0')
    const limit = parseQuantity(limits[name] ?? '0')
    if (!request)
      found.push(
        `${name} max limit to request ratio per ${type} is ${most}, but no request is specified or request is 0`,
      )
    else if (!limit)
      found.push(`${name} max limit to request ratio per ${type} is ${most}, but no limit is specified or limit is 0`)
    else if (limit / request > parseQuantity(most)!)
      found.push(
        `${name} max limit to request ratio per ${type} is ${most}, but provided ratio is ${(limit / request).toFixed(6)}`,
      )
  }
  return found
}
const total = (pod: Draft): Draft => {
  const sum: Draft = { requests: {}, limits: {} }
  for (const container of pod.spec.containers ?? [])
    for (const side of ['requests', 'limits'] as const)
      for (const [name, value] of Object.entries((container.resources?.[side] ?? {}) as Record<string, string>))
        sum[side][name] = sum[side][name] === undefined ? value : addQuantities(sum[side][name], value)
  return sum
}

export const checkLimitRanges = (context: Context, resource: Resource, draft: Draft): void => {
  const found: string[] = []
  for (const item of rangesIn(context, draft.metadata.namespace)) {
    if (resource.id === 'persistentvolumeclaims') {
      if (item.type === 'PersistentVolumeClaim') found.push(...violations(item, draft.spec.resources))
    } else if (item.type === 'Pod') found.push(...violations(item, total(draft)))
    else if (item.type === 'Container')
      for (const container of [...(draft.spec.containers ?? []), ...(draft.spec.initContainers ?? [])])
        found.push(...violations(item, container.resources))
  }
  if (found.length === 0) return
  throw forbidden(resource, draft.metadata.name, found.length === 1 ? found[0]! : `[${found.join(', ')}]`)
}
