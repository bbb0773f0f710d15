/** Deployments, ReplicaSets, StatefulSets and DaemonSets. */
import { equalJson } from '../../../lib/json.ts'
import { matchesSelector } from '../../../spec/kube/label-selector.ts'
import { isLabelValue, isQualifiedName } from '../../../spec/kube/names.ts'
import { invalid, required, unsupported } from '../errors.ts'
import { validateAnnotations, validateLabels } from '../metadata.ts'
import type { Draft, Strategy } from '../resource.ts'
import { countOrPercent, type Errors, forbidden, immutable, mustBeOneOf, names, notNegative } from './field.ts'
import { defaultTemplate, fill } from './pod-defaults.ts'
import { validatePodSpec } from './pod-validation.ts'

export const validateSelector = (selector: Draft, path: string, errors: Errors): void => {
  for (const [key, value] of Object.entries((selector?.matchLabels ?? {}) as Record<string, string>)) {
    names(`${path}.matchLabels`, key, isQualifiedName, errors)
    names(`${path}.matchLabels`, value, isLabelValue, errors)
  }
  for (const [i, e] of ((selector?.matchExpressions ?? []) as Draft[]).entries()) {
    const at = `${path}.matchExpressions[${i}]`
    if (e.operator === 'In' || e.operator === 'NotIn') {
      if (!e.values?.length)
        errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"))
    } else if (e.operator === 'Exists' || e.operator === 'DoesNotExist') {
      if (e.values?.length)
        errors.push(forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
    } else errors.push(invalid(`${at}.operator`, e.operator ?? '', 'not a valid selector operator'))
    names(`${at}.key`, e.key ?? '', isQualifiedName, errors)
  }
}

export const validateTemplate = (template: Draft, path: string, errors: Errors): void => {
  validateLabels(template?.metadata?.labels, `${path}.labels`, errors)
  validateAnnotations(template?.metadata?.annotations, `${path}.annotations`, errors)
  validatePodSpec(template?.spec ?? {}, `${path}.spec`, errors)
}

/** The template as its pods will have it: each claim template is a volume of its name. */
const withClaimVolumes = ({ template, volumeClaimTemplates }: Draft): Draft => {
  const claims = ((volumeClaimTemplates ?? []) as Draft[]).map((c) => c.metadata?.name as string | undefined)
  if (claims.length === 0 || !template?.spec) return template
  const own = ((template.spec.volumes ?? []) as Draft[]).filter((v) => !claims.includes(v.name))
  const made = claims.filter(Boolean).map((name) => ({ name, persistentVolumeClaim: { claimName: name } }))
  return { ...template, spec: { ...template.spec, volumes: [...own, ...made] } }
}

/** Selector present, not empty, and matching the template, whose pods must restart always. */
const validateWorkload = (spec: Draft, errors: Errors): void => {
  const selector = spec.selector
  if (!selector) errors.push(required('spec.selector'))
  else {
    validateSelector(selector, 'spec.selector', errors)
    if (!Object.keys(selector.matchLabels ?? {}).length && !selector.matchExpressions?.length)
      errors.push(invalid('spec.selector', selector, 'empty selector is invalid for deployment'))
    else if (spec.template && !matchesSelector(selector, spec.template.metadata?.labels))
      errors.push(
        invalid(
          'spec.template.metadata.labels',
          spec.template.metadata?.labels ?? {},
          '`selector` does not match template `labels`',
        ),
      )
  }
  if (!spec.template) {
    errors.push(required('spec.template'))
    return
  }
  validateTemplate(spec.template, 'spec.template', errors)
  const policy = spec.template.spec?.restartPolicy
  if (policy && policy !== 'Always') errors.push(unsupported('spec.template.spec.restartPolicy', policy, ['Always']))
  if (spec.template.spec?.activeDeadlineSeconds !== undefined)
    errors.push(
      forbidden('spec.template.spec.activeDeadlineSeconds', 'activeDeadlineSeconds in ReplicaSet is not Supported'),
    )
  for (const key of ['replicas', 'minReadySeconds', 'revisionHistoryLimit', 'progressDeadlineSeconds'])
    notNegative(`spec.${key}`, spec[key], errors)
}

const isZero = (value: unknown): boolean => value === 0 || value === '0%' || value === undefined

export const deploymentStrategy: Strategy = {
  generation: true,
  defaults(d) {
    d.spec ??= {}
    fill(d.spec, { replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600, strategy: {} })
    fill(d.spec.strategy, { type: 'RollingUpdate' })
    if (d.spec.strategy.type === 'RollingUpdate') {
      d.spec.strategy.rollingUpdate ??= {}
      fill(d.spec.strategy.rollingUpdate, { maxUnavailable: '25%', maxSurge: '25%' })
    }
    defaultTemplate(d.spec.template)
  },
  validate({ spec }, errors) {
    validateWorkload(spec, errors)
    const { type, rollingUpdate } = spec.strategy
    mustBeOneOf('spec.strategy.type', type, ['Recreate', 'RollingUpdate'], errors)
    if (type === 'Recreate' && rollingUpdate)
      errors.push(forbidden('spec.strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'"))
    if (type === 'RollingUpdate') {
      countOrPercent('spec.strategy.rollingUpdate.maxUnavailable', rollingUpdate.maxUnavailable, errors)
      countOrPercent('spec.strategy.rollingUpdate.maxSurge', rollingUpdate.maxSurge, errors)
      if (isZero(rollingUpdate.maxUnavailable) && isZero(rollingUpdate.maxSurge))
        errors.push(
          invalid(
            'spec.strategy.rollingUpdate.maxUnavailable',
            rollingUpdate.maxUnavailable,
            'may not be 0 when `maxSurge` is 0',
          ),
        )
    }
    if (spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds <= (spec.minReadySeconds ?? 0))
      errors.push(
        invalid('spec.progressDeadlineSeconds', spec.progressDeadlineSeconds, 'must be greater than minReadySeconds'),
      )
  },
  validateUpdate(d, old, errors) {
    immutable('spec.selector', d.spec.selector, old.spec.selector, errors)
  },
}

export const replicaSetStrategy: Strategy = {
  generation: true,
  fields: { 'status.replicas': (rs) => String(rs.status?.replicas ?? 0) },
  defaults(rs) {
    rs.spec ??= {}
    fill(rs.spec, { replicas: 1 })
    defaultTemplate(rs.spec.template)
  },
  prepareCreate(rs) {
    rs.status = { replicas: 0 }
  },
  validate: ({ spec }, errors) => validateWorkload(spec, errors),
  validateUpdate(rs, old, errors) {
    immutable('spec.selector', rs.spec.selector, old.spec.selector, errors)
  },
}

export const daemonSetStrategy: Strategy = {
  generation: true,
  defaults(ds) {
    ds.spec ??= {}
    fill(ds.spec, { revisionHistoryLimit: 10, updateStrategy: {} })
    fill(ds.spec.updateStrategy, { type: 'RollingUpdate' })
    if (ds.spec.updateStrategy.type === 'RollingUpdate') {
      ds.spec.updateStrategy.rollingUpdate ??= {}
      fill(ds.spec.updateStrategy.rollingUpdate, { maxUnavailable: 1, maxSurge: 0 })
    }
    defaultTemplate(ds.spec.template)
  },
  prepareCreate(ds) {
    ds.status = { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 }
  },
  validate({ spec }, errors) {
    validateWorkload(spec, errors)
    mustBeOneOf('spec.updateStrategy.type', spec.updateStrategy.type, ['RollingUpdate', 'OnDelete'], errors)
    const rolling = spec.updateStrategy.rollingUpdate
    if (!rolling) return
    countOrPercent('spec.updateStrategy.rollingUpdate.maxUnavailable', rolling.maxUnavailable, errors)
    countOrPercent('spec.updateStrategy.rollingUpdate.maxSurge', rolling.maxSurge, errors)
    if (isZero(rolling.maxUnavailable) && isZero(rolling.maxSurge))
      errors.push(required('spec.updateStrategy.rollingUpdate.maxUnavailable', 'cannot be 0 when maxSurge is 0'))
  },
  validateUpdate(ds, old, errors) {
    immutable('spec.selector', ds.spec.selector, old.spec.selector, errors)
  },
}

const mutableOfStatefulSet = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
]

export const statefulSetStrategy: Strategy = {
  generation: true,
  defaults(s) {
    s.spec ??= {}
    fill(s.spec, {
      replicas: 1,
      revisionHistoryLimit: 10,
      podManagementPolicy: 'OrderedReady',
      updateStrategy: {},
      persistentVolumeClaimRetentionPolicy: {},
    })
    fill(s.spec.persistentVolumeClaimRetentionPolicy, { whenDeleted: 'Retain', whenScaled: 'Retain' })
    fill(s.spec.updateStrategy, { type: 'RollingUpdate' })
    if (s.spec.updateStrategy.type === 'RollingUpdate') {
      s.spec.updateStrategy.rollingUpdate ??= {}
      fill(s.spec.updateStrategy.rollingUpdate, { partition: 0 })
    }
    defaultTemplate(s.spec.template)
    for (const claim of s.spec.volumeClaimTemplates ?? []) {
      fill(claim, {
        kind: 'PersistentVolumeClaim',
        apiVersion: 'v1',
        metadata: {},
        spec: {},
        status: { phase: 'Pending' },
      })
      fill(claim.spec, { volumeMode: 'Filesystem' })
    }
  },
  prepareCreate(s) {
    s.status = { replicas: 0, availableReplicas: 0 }
  },
  validate({ spec }, errors) {
    validateWorkload({ ...spec, template: withClaimVolumes(spec) }, errors)
    mustBeOneOf('spec.podManagementPolicy', spec.podManagementPolicy, ['OrderedReady', 'Parallel'], errors)
    mustBeOneOf('spec.updateStrategy.type', spec.updateStrategy.type, ['RollingUpdate', 'OnDelete'], errors)
    if (spec.updateStrategy.type === 'OnDelete' && spec.updateStrategy.rollingUpdate)
      errors.push(
        invalid(
          'spec.updateStrategy.rollingUpdate',
          spec.updateStrategy.rollingUpdate,
          `only allowed for updateStrategy 'RollingUpdate'`,
        ),
      )
    notNegative('spec.updateStrategy.rollingUpdate.partition', spec.updateStrategy.rollingUpdate?.partition, errors)
    notNegative('spec.ordinals.start', spec.ordinals?.start, errors)
    for (const [i, claim] of ((spec.volumeClaimTemplates ?? []) as Draft[]).entries())
      if (!claim.metadata.name) errors.push(required(`spec.volumeClaimTemplates[${i}].metadata.name`))
  },
  validateUpdate(s, old, errors) {
    const fixed = (spec: Draft): Draft => ({
      ...spec,
      ...Object.fromEntries(mutableOfStatefulSet.map((key) => [key, undefined])),
    })
    if (!equalJson(fixed(s.spec), fixed(old.spec)))
      errors.push(
        forbidden(
          'spec',
          "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ),
      )
  },
}
