/** Pods: status at creation, what may change later, and graceful deletion. */
import { cloneJson, equalJson } from '../../../lib/json.ts'
import { isDns1123Subdomain } from '../../../spec/kube/names.ts'
import { invalid } from '../errors.ts'
import type { Draft, Strategy } from '../resource.ts'
import { type Errors, forbidden } from './field.ts'
import { defaultPod } from './pod-defaults.ts'
import { validatePodSpec } from './pod-validation.ts'

/** Guaranteed, Burstable or BestEffort, from cpu and memory of all containers. */
export const qosClass = (spec: Draft): string => {
  let any = false
  let guaranteed = true
  for (const { resources = {} } of [...(spec.containers ?? []), ...(spec.initContainers ?? [])])
    for (const name of ['cpu', 'memory']) {
      const zero = (text: unknown): boolean => text === undefined || text === '0'
      const limit = resources.limits?.[name]
      const request = resources.requests?.[name] ?? limit
      if (!zero(limit) || !zero(request)) any = true
      if (zero(limit) || request !== limit) guaranteed = false
    }
  return guaranteed && any ? 'Guaranteed' : any ? 'Burstable' : 'BestEffort'
}

const mutable =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)'

/** `next` with everything put back that an ordinary update may change. */
const restored = (next: Draft, old: Draft): Draft => {
  const spec = cloneJson(next)
  for (const list of ['containers', 'initContainers'])
    for (const [i, container] of (spec[list] ?? []).entries()) {
      const before = old[list]?.[i]
      if (before) container.image = before.image
    }
  spec.activeDeadlineSeconds = old.activeDeadlineSeconds
  spec.tolerations = old.tolerations
  if (old.schedulingGates) spec.schedulingGates = old.schedulingGates
  // While it waits behind its gates, a pod's selector may still be narrowed.
  if (old.schedulingGates?.length) {
    spec.nodeSelector = old.nodeSelector
    spec.affinity = old.affinity
  }
  return spec
}

const validateUpdate = (pod: Draft, old: Draft, errors: Errors): void => {
  const { spec } = pod
  if (spec.containers?.length !== old.spec.containers?.length) {
    errors.push(forbidden('spec.containers', 'pod updates may not add or remove containers'))
    return
  }
  if (spec.initContainers?.length !== old.spec.initContainers?.length) {
    errors.push(forbidden('spec.initContainers', 'pod updates may not add or remove containers'))
    return
  }
  const before = old.spec.activeDeadlineSeconds
  if (before !== undefined && (spec.activeDeadlineSeconds ?? Number.POSITIVE_INFINITY) > before)
    errors.push(
      invalid(
        'spec.activeDeadlineSeconds',
        spec.activeDeadlineSeconds ?? null,
        spec.activeDeadlineSeconds === undefined
          ? 'must not update from a positive integer to nil value'
          : 'must be less than or equal to previous value',
      ),
    )
  for (const toleration of old.spec.tolerations ?? [])
    if (
      !(spec.tolerations ?? []).some((t: Draft) =>
        equalJson({ ...t, tolerationSeconds: 0 }, { ...toleration, tolerationSeconds: 0 }),
      )
    ) {
      errors.push(forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds'))
      break
    }
  const gates: Draft[] = old.spec.schedulingGates ?? []
  for (const gate of spec.schedulingGates ?? [])
    if (!gates.some((g) => g.name === gate.name))
      errors.push(
        forbidden('spec.schedulingGates', `only deletion is allowed, but found new scheduling gate '${gate.name}'`),
      )
  if (!equalJson(restored(spec, old.spec), old.spec)) errors.push(forbidden('spec', mutable))
}

export const podStrategy: Strategy = {
  validName: isDns1123Subdomain,
  generation: true,
  defaults: defaultPod,
  prepareCreate(pod) {
    pod.status = { phase: 'Pending', qosClass: qosClass(pod.spec) }
    if (pod.spec.ephemeralContainers) delete pod.spec.ephemeralContainers
    if (pod.spec.schedulingGates?.length)
      pod.status.conditions = [
        {
          type: 'PodScheduled',
          status: 'False',
          reason: 'SchedulingGated',
          message: 'Scheduling is blocked due to non-empty scheduling gates',
          lastProbeTime: null,
          lastTransitionTime: pod.metadata.creationTimestamp,
        },
      ]
  },
  prepareUpdate(pod, old, _context, write) {
    if (write.subresource === 'ephemeralcontainers') {
      pod.spec = { ...cloneJson(old.spec), ephemeralContainers: pod.spec.ephemeralContainers }
      return
    }
    if (write.subresource === 'binding') return
    if (old.spec.ephemeralContainers) pod.spec.ephemeralContainers = cloneJson(old.spec.ephemeralContainers)
    else delete pod.spec.ephemeralContainers
  },
  prepareStatus(pod, old) {
    pod.status ??= {}
    if (!pod.status.qosClass && old.status?.qosClass) pod.status.qosClass = old.status.qosClass
    if (!pod.status.phase) pod.status.phase = old.status?.phase ?? 'Pending'
  },
  validate(pod, errors) {
    validatePodSpec(pod.spec, 'spec', errors)
  },
  validateUpdate(pod, old, errors, write) {
    if (!write.subresource) validateUpdate(pod, old, errors)
    if (write.subresource === 'ephemeralcontainers') {
      const now: Draft[] = pod.spec.ephemeralContainers ?? []
      for (const before of old.spec.ephemeralContainers ?? []) {
        const same = now.find((c) => c.name === before.name)
        if (!same)
          errors.push(
            forbidden(
              'spec.ephemeralContainers',
              `existing ephemeral containers ${JSON.stringify(before.name)} may not be removed`,
            ),
          )
        else if (!equalJson(same, before))
          errors.push(
            forbidden(
              'spec.ephemeralContainers',
              `existing ephemeral containers ${JSON.stringify(before.name)} may not be changed`,
            ),
          )
      }
    }
    if (write.subresource === 'status' && old.spec.nodeName && pod.spec.nodeName !== old.spec.nodeName)
      errors.push(forbidden('spec.nodeName', 'may not be changed directly'))
  },
  grace(pod, asked) {
    const { nodeName, terminationGracePeriodSeconds: own } = pod.spec
    // Nobody runs it: nothing to wait for.
    if (!nodeName || pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return 0
    const seconds = asked ?? own ?? 30
    return seconds < 0 ? 1 : seconds
  },
  fields: {
    'spec.nodeName': (pod) => pod.spec?.nodeName ?? '',
    'spec.restartPolicy': (pod) => pod.spec?.restartPolicy ?? '',
    'spec.schedulerName': (pod) => pod.spec?.schedulerName ?? '',
    'spec.serviceAccountName': (pod) => pod.spec?.serviceAccountName ?? '',
    'spec.hostNetwork': (pod) => String(pod.spec?.hostNetwork ?? false),
    'status.phase': (pod) => pod.status?.phase ?? '',
    'status.podIP': (pod) => pod.status?.podIP ?? '',
    'status.nominatedNodeName': (pod) => pod.status?.nominatedNodeName ?? '',
  },
}
