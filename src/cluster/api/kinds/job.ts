/** Jobs and CronJobs. */
import { cloneJson, equalJson } from '../../../lib/json.ts'
import { matchesSelector } from '../../../spec/kube/label-selector.ts'
import { invalid, required } from '../errors.ts'
import type { Draft, Strategy } from '../resource.ts'
import { type Errors, immutable, mustBeOneOf, notNegative } from './field.ts'
import { defaultTemplate, fill } from './pod-defaults.ts'
import { validateSelector, validateTemplate } from './workload.ts'

const maxInt32 = 2147483647

const defaultJobSpec = (spec: Draft): void => {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = spec.parallelism = 1
  fill(spec, {
    parallelism: 1,
    backoffLimit: spec.backoffLimitPerIndex === undefined ? 6 : maxInt32,
    completionMode: 'NonIndexed',
    suspend: false,
    manualSelector: undefined,
    podReplacementPolicy: spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed',
  })
  if (spec.manualSelector === undefined) delete spec.manualSelector
  for (const rule of spec.podFailurePolicy?.rules ?? [])
    for (const pattern of rule.onPodConditions ?? []) fill(pattern, { status: 'True' })
  defaultTemplate(spec.template)
}

const validateJobSpec = (spec: Draft, path: string, errors: Errors): void => {
  for (const key of [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
    'ttlSecondsAfterFinished',
  ])
    notNegative(`${path}.${key}`, spec[key], errors)
  if (!spec.template) {
    errors.push(required(`${path}.template`))
    return
  }
  validateTemplate(spec.template, `${path}.template`, errors)
  const policy = spec.template.spec?.restartPolicy
  if (policy === 'Always')
    errors.push(required(`${path}.template.spec.restartPolicy`, 'valid values: "OnFailure", "Never"'))
  if (spec.podFailurePolicy && policy !== 'Never')
    errors.push(
      invalid(
        `${path}.template.spec.restartPolicy`,
        policy,
        'only "Never" is supported when podFailurePolicy is specified',
      ),
    )
  if (spec.completionMode !== undefined) {
    mustBeOneOf(`${path}.completionMode`, spec.completionMode, ['Indexed', 'NonIndexed'], errors)
    if (spec.completionMode === 'Indexed' && spec.completions === undefined)
      errors.push(required(`${path}.completions`, 'when completion mode is Indexed'))
  }
  if (spec.backoffLimitPerIndex !== undefined && spec.completionMode !== 'Indexed')
    errors.push(invalid(`${path}.backoffLimitPerIndex`, spec.backoffLimitPerIndex, 'requires indexed completion mode'))
}

const labelsOf = (job: Draft): Record<string, string> => ({
  'batch.kubernetes.io/controller-uid': job.metadata.uid,
  'batch.kubernetes.io/job-name': job.metadata.name,
  'controller-uid': job.metadata.uid,
  'job-name': job.metadata.name,
})

export const jobStrategy: Strategy = {
  generation: true,
  fields: { 'status.successful': (job) => String(job.status?.succeeded ?? 0) },
  defaults(job) {
    job.spec ??= {}
    defaultJobSpec(job.spec)
  },
  prepareCreate(job) {
    job.status = {}
    // The selector is the job's own: its pods carry the job's uid, so that no one else's are ever counted.
    if (job.spec.manualSelector || !job.spec.template) return
    const template = job.spec.template
    template.metadata = { ...template.metadata, labels: { ...template.metadata?.labels, ...labelsOf(job) } }
    job.spec.selector ??= {}
    job.spec.selector.matchLabels = {
      ...job.spec.selector.matchLabels,
      'batch.kubernetes.io/controller-uid': job.metadata.uid,
    }
  },
  prepareUpdate(job, old) {
    if (!job.spec.selector) job.spec.selector = cloneJson(old.spec.selector)
    const labels = job.spec.template?.metadata
    // A client that sends its own template again means the one that is there.
    if (labels && !job.spec.manualSelector && old.spec.template.metadata?.labels?.['controller-uid'])
      labels.labels = { ...labelsOf(old), ...labels.labels }
  },
  validate(job, errors) {
    validateJobSpec(job.spec, 'spec', errors)
    if (job.spec.selector) {
      validateSelector(job.spec.selector, 'spec.selector', errors)
      if (job.spec.template && !matchesSelector(job.spec.selector, job.spec.template.metadata?.labels))
        errors.push(
          invalid(
            'spec.template.metadata.labels',
            job.spec.template.metadata?.labels ?? {},
            '`selector` does not match template `labels`',
          ),
        )
    } else errors.push(required('spec.selector'))
    if (job.spec.completionMode === 'Indexed' && job.metadata.name?.length > 63 - 7)
      errors.push(invalid('metadata.name', job.metadata.name, 'will not able to create pod with invalid DNS label'))
  },
  validateUpdate(job, old, errors) {
    immutable('spec.selector', job.spec.selector, old.spec.selector, errors)
    immutable('spec.completionMode', job.spec.completionMode, old.spec.completionMode, errors)
    immutable('spec.podFailurePolicy', job.spec.podFailurePolicy, old.spec.podFailurePolicy, errors)
    immutable('spec.backoffLimitPerIndex', job.spec.backoffLimitPerIndex, old.spec.backoffLimitPerIndex, errors)
    if (old.spec.completionMode !== 'Indexed')
      immutable('spec.completions', job.spec.completions, old.spec.completions, errors)
    else if (job.spec.completions !== old.spec.completions && job.spec.completions !== job.spec.parallelism)
      errors.push(invalid('spec.completions', job.spec.completions, 'can only be modified in tandem with parallelism'))
    // Scheduling directives of a job that is suspended and never ran may still change.
    const open = old.spec.suspend && !old.status?.startTime
    const fixed = (template: Draft): Draft =>
      open
        ? {
            ...template,
            metadata: undefined,
            spec: {
              ...template.spec,
              nodeSelector: undefined,
              affinity: undefined,
              tolerations: undefined,
              schedulingGates: undefined,
            },
          }
        : template
    if (!equalJson(fixed(job.spec.template), fixed(old.spec.template)))
      errors.push(invalid('spec.template', job.spec.template, 'field is immutable'))
  },
}

const fieldRanges = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
] as const
const fieldNames = /^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)$/i
/** Why a schedule cannot be read, or undefined. The syntax of robfig/cron's standard parser. */
const scheduleProblem = (schedule: string): string | undefined => {
  if (/^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/.test(schedule) || /^@every \d/.test(schedule))
    return undefined
  if (schedule.startsWith('@')) return `unrecognized descriptor: ${schedule}`
  const fields = schedule.trim().split(/\s+/)
  if (fields.length !== 5) return `expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`
  for (const [i, field] of fields.entries())
    for (const part of field.split(',')) {
      const match = /^(\*|\?|[0-9a-zA-Z]+(?:-[0-9a-zA-Z]+)?)(?:\/([0-9]+))?$/.exec(part)
      if (!match) return `failed to parse int from ${part}: strconv.Atoi: parsing "${part}": invalid syntax`
      for (const bound of match[1]!.split('-')) {
        if (bound === '*' || bound === '?' || fieldNames.test(bound)) continue
        if (!/^\d+$/.test(bound))
          return `failed to parse int from ${bound}: strconv.Atoi: parsing "${bound}": invalid syntax`
        const [low, high] = fieldRanges[i]!
        if (Number(bound) < low) return `beginning of range (${bound}) below minimum (${low}): ${part}`
        if (Number(bound) > high) return `end of range (${bound}) above maximum (${high}): ${part}`
      }
    }
  return undefined
}

export const cronJobStrategy: Strategy = {
  generation: true,
  defaults(cron) {
    cron.spec ??= {}
    fill(cron.spec, {
      concurrencyPolicy: 'Allow',
      suspend: false,
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 1,
    })
    if (cron.spec.jobTemplate) {
      cron.spec.jobTemplate.metadata ??= {}
      defaultTemplate(cron.spec.jobTemplate.spec?.template)
    }
  },
  prepareCreate(cron) {
    cron.status = {}
  },
  validate({ metadata, spec }, errors) {
    if (metadata.name?.length > 52)
      errors.push(invalid('metadata.name', metadata.name, 'must be no more than 52 characters'))
    if (!spec.schedule) errors.push(required('spec.schedule'))
    else {
      const problem = scheduleProblem(spec.schedule)
      if (problem) errors.push(invalid('spec.schedule', spec.schedule, problem))
      if (/TZ=/.test(spec.schedule))
        errors.push(
          invalid('spec.schedule', spec.schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'),
        )
    }
    if (spec.timeZone !== undefined && !isTimeZone(spec.timeZone))
      errors.push(invalid('spec.timeZone', spec.timeZone, `unknown time zone ${spec.timeZone}`))
    mustBeOneOf('spec.concurrencyPolicy', spec.concurrencyPolicy, ['Allow', 'Forbid', 'Replace'], errors)
    for (const key of ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'])
      notNegative(`spec.${key}`, spec[key], errors)
    if (!spec.jobTemplate) errors.push(required('spec.jobTemplate'))
    else validateJobSpec(spec.jobTemplate.spec ?? {}, 'spec.jobTemplate.spec', errors)
  },
}
const isTimeZone = (name: string): boolean => {
  try {
    return name !== '' && name !== 'Local' && Boolean(new Intl.DateTimeFormat('en', { timeZone: name }))
  } catch {
    return false
  }
}
