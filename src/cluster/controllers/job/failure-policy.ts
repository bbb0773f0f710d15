/** Pod failure policies. Source: pkg/controller/job/pod_failure_policy.go. */
import type { Job, Pod, PodFailurePolicyRule } from '../../../spec/kube/generated/types.ts'

export interface PolicyMatch {
  action: 'FailJob' | 'FailIndex' | 'Ignore' | 'Count'
  message: string
}

/** The first rule that speaks of this failed pod. */
export const matchFailure = (job: Job, pod: Pod): PolicyMatch | undefined => {
  for (const [index, rule] of (job.spec?.podFailurePolicy?.rules ?? []).entries()) {
    const why = ruleMatch(rule, pod)
    if (why)
      return {
        action: rule.action as PolicyMatch['action'],
        message: `${why} matching ${rule.action} rule at index ${index}`,
      }
  }
  return undefined
}

const ruleMatch = (rule: PodFailurePolicyRule, pod: Pod): string | undefined => {
  const name = `${pod.metadata.namespace}/${pod.metadata.name}`
  const { onExitCodes, onPodConditions } = rule
  if (onExitCodes) {
    const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])]
    const hit = statuses.find(({ name: container, state }) => {
      const code = state?.terminated?.exitCode
      if (code === undefined || code === 0) return false
      if (onExitCodes.containerName && onExitCodes.containerName !== container) return false
      return onExitCodes.values.includes(code) === (onExitCodes.operator === 'In')
    })
    return hit && `Container ${hit.name} for pod ${name} failed with exit code ${hit.state!.terminated!.exitCode}`
  }
  const hit = onPodConditions?.find(({ type, status = 'True' }) =>
    pod.status?.conditions?.some((condition) => condition.type === type && condition.status === status),
  )
  return hit && `Pod ${name} has condition ${hit.type}`
}
