/** Budgets, limits, quotas, priorities, autoscaling and roles. */
import { equalJson } from '../../../lib/json.ts'
import { compareQuantities } from '../../../lib/quantity.ts'
import { isPathSegment } from '../../../spec/kube/names.ts'
import { invalid, required, unsupported } from '../errors.ts'
import type { Draft, Strategy } from '../resource.ts'
import { countOrPercent, type Errors, forbidden, mustBeOneOf, oneOf, quantityNotNegative } from './field.ts'
import { fill } from './pod-defaults.ts'
import { validateSelector } from './workload.ts'

export const budgetStrategy: Strategy = {
  generation: true,
  defaults(pdb) {
    pdb.spec ??= {}
  },
  prepareCreate(pdb) {
    pdb.status = { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 }
  },
  validate({ spec }, errors) {
    if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined)
      errors.push(invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set'))
    countOrPercent('spec.minAvailable', spec.minAvailable, errors)
    countOrPercent('spec.maxUnavailable', spec.maxUnavailable, errors)
    oneOf(
      'spec.unhealthyPodEvictionPolicy',
      spec.unhealthyPodEvictionPolicy,
      ['AlwaysAllow', 'IfHealthyBudget'],
      errors,
    )
    validateSelector(spec.selector, 'spec.selector', errors)
  },
}

export const limitRangeStrategy: Strategy = {
  defaults(range) {
    range.spec ??= { limits: [] }
    for (const item of range.spec.limits ?? []) {
      if (item.type !== 'Container') continue
      // A missing default is the maximum; a missing default request the default limit, and failing that the minimum.
      const limits = { ...item.max, ...item.default }
      const requests = { ...item.min, ...limits, ...item.defaultRequest }
      if (Object.keys(limits).length > 0) item.default = limits
      if (Object.keys(requests).length > 0) item.defaultRequest = requests
    }
  },
  validate({ spec }, errors) {
    for (const [i, item] of ((spec.limits ?? []) as Draft[]).entries()) {
      const at = `spec.limits[${i}]`
      if (!item.type) errors.push(required(`${at}.type`))
      for (const name of Object.keys(item.min ?? {}))
        if (item.max?.[name] !== undefined && compareQuantities(item.min[name], item.max[name]) > 0)
          errors.push(
            invalid(
              `${at}.min[${name}]`,
              item.min[name],
              `min value ${item.min[name]} is greater than max value ${item.max[name]}`,
            ),
          )
      for (const name of Object.keys(item.defaultRequest ?? {}))
        if (item.default?.[name] !== undefined && compareQuantities(item.defaultRequest[name], item.default[name]) > 0)
          errors.push(
            invalid(
              `${at}.defaultRequest[${name}]`,
              item.defaultRequest[name],
              `default request value ${item.defaultRequest[name]} is greater than default limit value ${item.default[name]}`,
            ),
          )
    }
  },
}
export const quotaStrategy: Strategy = {
  defaults(quota) {
    quota.spec ??= {}
  },
  prepareCreate(quota) {
    quota.status = {}
  },
  validate({ spec }, errors) {
    for (const [name, value] of Object.entries((spec.hard ?? {}) as Record<string, string>))
      quantityNotNegative(`spec.hard[${name}]`, value, errors)
  },
  validateUpdate(quota, old, errors) {
    if (!equalJson(quota.spec.scopes, old.spec.scopes))
      errors.push(invalid('spec.scopes', quota.spec.scopes ?? [], 'field is immutable'))
  },
}
const highestUserPriority = 1_000_000_000
export const priorityClassStrategy: Strategy = {
  generation: true,
  defaults(pc) {
    fill(pc, { value: 0, preemptionPolicy: 'PreemptLowerPriority' })
  },
  validate(pc, errors) {
    oneOf('preemptionPolicy', pc.preemptionPolicy, ['Never', 'PreemptLowerPriority'], errors)
    const system = ['system-cluster-critical', 'system-node-critical'].includes(pc.metadata.name)
    if (pc.metadata.name?.startsWith('system-') && !system)
      errors.push(
        invalid(
          'metadata.name',
          pc.metadata.name,
          `priority class names with 'system-' prefix are reserved for system use only. error: ${pc.metadata.name} is not a known system priority class`,
        ),
      )
    if (pc.value > highestUserPriority && !system)
      errors.push(forbidden('value', `maximum allowed value of a user defined priority is ${highestUserPriority}`))
  },
  validateUpdate(pc, old, errors) {
    if (pc.value !== old.value) errors.push(forbidden('value', 'may not be changed in an update.'))
    if (pc.preemptionPolicy !== old.preemptionPolicy)
      errors.push(invalid('preemptionPolicy', pc.preemptionPolicy, 'field is immutable'))
  },
}

const defaultBehavior = (behavior: Draft): void => {
  behavior.scaleUp ??= {}
  fill(behavior.scaleUp, {
    stabilizationWindowSeconds: 0,
    selectPolicy: 'Max',
    policies: [
      { type: 'Pods', value: 4, periodSeconds: 15 },
      { type: 'Percent', value: 100, periodSeconds: 15 },
    ],
  })
  behavior.scaleDown ??= {}
  fill(behavior.scaleDown, { selectPolicy: 'Max', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] })
}
export const autoscalerStrategy: Strategy = {
  defaults(hpa) {
    hpa.spec ??= {}
    fill(hpa.spec, { minReplicas: 1 })
    if (!hpa.spec.metrics?.length)
      hpa.spec.metrics = [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
      ]
    if (hpa.spec.behavior) defaultBehavior(hpa.spec.behavior)
  },
  prepareCreate(hpa) {
    hpa.status = { currentMetrics: null, desiredReplicas: 0 }
  },
  validate({ spec }, errors) {
    const target = spec.scaleTargetRef ?? {}
    for (const key of ['kind', 'name']) if (!target[key]) errors.push(required(`spec.scaleTargetRef.${key}`))
    if (spec.minReplicas < 1)
      errors.push(invalid('spec.minReplicas', spec.minReplicas, 'must be greater than or equal to 1'))
    if (!(spec.maxReplicas >= 1))
      errors.push(invalid('spec.maxReplicas', spec.maxReplicas ?? 0, 'must be greater than 0'))
    else if (spec.maxReplicas < spec.minReplicas)
      errors.push(invalid('spec.maxReplicas', spec.maxReplicas, 'must be greater than or equal to `minReplicas`'))
    for (const [i, metric] of ((spec.metrics ?? []) as Draft[]).entries())
      validateMetric(metric, `spec.metrics[${i}]`, errors)
  },
}
const metricTypes: Record<string, string> = {
  ContainerResource: 'containerResource',
  External: 'external',
  Object: 'object',
  Pods: 'pods',
  Resource: 'resource',
}
const validateMetric = (metric: Draft, path: string, errors: Errors): void => {
  if (!metric.type) errors.push(required(`${path}.type`, 'must specify a metric source type'))
  else if (!metricTypes[metric.type]) errors.push(unsupported(`${path}.type`, metric.type, Object.keys(metricTypes)))
  else if (!metric[metricTypes[metric.type]!])
    errors.push(
      required(`${path}.${metricTypes[metric.type]}`, 'must populate information for the given metric source'),
    )
  const target = metric[metricTypes[metric.type] ?? '']?.target
  if (metric.type && metricTypes[metric.type] && metric[metricTypes[metric.type]!] && !target)
    errors.push(required(`${path}.${metricTypes[metric.type]}.target`))
  if (target?.type === 'Utilization' && !(target.averageUtilization > 0))
    errors.push(
      invalid(
        `${path}.resource.target.averageUtilization`,
        target.averageUtilization ?? null,
        'must be greater than 0',
      ),
    )
}

const rbac = 'rbac.authorization.k8s.io'
export const roleStrategy: Strategy = {
  validName: isPathSegment,
  defaults(role) {
    if (role.kind === 'Role' || !role.aggregationRule) role.rules ??= null
  },
  validate(role, errors) {
    for (const [i, rule] of ((role.rules ?? []) as Draft[]).entries()) {
      const at = `rules[${i}]`
      if (!rule.verbs?.length) errors.push(required(`${at}.verbs`, 'verbs must contain at least one value'))
      if (rule.nonResourceURLs?.length) {
        if (role.kind === 'Role')
          errors.push(
            invalid(
              `${at}.nonResourceURLs`,
              rule.nonResourceURLs,
              'namespaced rules cannot apply to non-resource URLs',
            ),
          )
        continue
      }
      if (!rule.apiGroups?.length)
        errors.push(required(`${at}.apiGroups`, 'resource rules must supply at least one api group'))
      if (!rule.resources?.length)
        errors.push(required(`${at}.resources`, 'resource rules must supply at least one resource'))
    }
  },
}
export const bindingStrategy: Strategy = {
  validName: isPathSegment,
  defaults(binding) {
    if (binding.roleRef) fill(binding.roleRef, { apiGroup: rbac })
    for (const subject of binding.subjects ?? []) {
      if (subject.kind === 'User' || subject.kind === 'Group') fill(subject, { apiGroup: rbac })
      if (subject.kind === 'ServiceAccount' && !subject.namespace && binding.kind === 'RoleBinding')
        subject.namespace = binding.metadata.namespace
    }
  },
  validate(binding, errors) {
    const ref = binding.roleRef ?? {}
    if (ref.apiGroup !== rbac) errors.push(unsupported('roleRef.apiGroup', ref.apiGroup ?? '', [rbac]))
    mustBeOneOf(
      'roleRef.kind',
      ref.kind,
      binding.kind === 'RoleBinding' ? ['Role', 'ClusterRole'] : ['ClusterRole'],
      errors,
    )
    if (!ref.name) errors.push(required('roleRef.name'))
    for (const [i, subject] of ((binding.subjects ?? []) as Draft[]).entries()) {
      if (!subject.name) errors.push(required(`subjects[${i}].name`))
      mustBeOneOf(`subjects[${i}].kind`, subject.kind, ['ServiceAccount', 'User', 'Group'], errors)
      if (subject.kind === 'ServiceAccount' && !subject.namespace) errors.push(required(`subjects[${i}].namespace`))
    }
  },
  validateUpdate(binding, old, errors) {
    if (!equalJson(binding.roleRef, old.roleRef))
      errors.push(invalid('roleRef', binding.roleRef, 'cannot change roleRef'))
  },
}
