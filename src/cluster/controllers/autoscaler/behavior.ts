/** How fast an autoscaler may follow. Source: pkg/controller/podautoscaler/horizontal.go. */
import type { HorizontalPodAutoscaler, HPAScalingRules } from '../../../spec/kube/generated/types.ts'

export interface Past {
  /** What was wanted, and when (ms). */
  recommendations: { at: number; replicas: number }[]
  /** What was done: replicas added or removed, and when. */
  ups: { at: number; change: number }[]
  downs: { at: number; change: number }[]
}
export const noPast = (): Past => ({ recommendations: [], ups: [], downs: [] })

interface Outcome {
  replicas: number
  able: { reason: string; message: string }
  limited: { status: 'True' | 'False'; reason: string; message: string }
}
type Rules = Required<Pick<HPAScalingRules, 'policies' | 'selectPolicy' | 'stabilizationWindowSeconds'>>

const defaultUp: Rules = {
  stabilizationWindowSeconds: 0,
  selectPolicy: 'Max',
  policies: [
    { type: 'Pods', value: 4, periodSeconds: 15 },
    { type: 'Percent', value: 100, periodSeconds: 15 },
  ],
}
const defaultDown: Rules = {
  stabilizationWindowSeconds: 300,
  selectPolicy: 'Max',
  policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
}
const rulesOf = (given: HPAScalingRules | undefined, fallback: Rules): Rules => ({
  policies: given?.policies ?? fallback.policies,
  selectPolicy: given?.selectPolicy ?? fallback.selectPolicy,
  stabilizationWindowSeconds: given?.stabilizationWindowSeconds ?? fallback.stabilizationWindowSeconds,
})
const behaviorOf = (hpa: HorizontalPodAutoscaler): { up: Rules; down: Rules } => ({
  up: rulesOf(hpa.spec?.behavior?.scaleUp, defaultUp),
  down: rulesOf(hpa.spec?.behavior?.scaleDown, defaultDown),
})

const changeWithin = (changes: readonly { at: number; change: number }[], seconds: number, now: number): number =>
  changes.filter(({ at }) => at > now - seconds * 1000).reduce((sum, { change }) => sum + change, 0)

/** The number of replicas that may be set now, when `wanted` are wanted. Remembers the wish in `past`. */
export const follow = (
  hpa: HorizontalPodAutoscaler,
  current: number,
  wanted: number,
  past: Past,
  now: number,
): Outcome => {
  const { up, down } = behaviorOf(hpa)
  const { stable, able } = stabilize(up, down, current, wanted, past, now)
  const { replicas, ...limited } = limit(hpa, up, down, current, stable, past, now)
  return { replicas, able, limited }
}

const stabilize = (up: Rules, down: Rules, current: number, wanted: number, past: Past, now: number) => {
  const longest = Math.max(up.stabilizationWindowSeconds ?? 0, down.stabilizationWindowSeconds ?? 0)
  past.recommendations = past.recommendations.filter(({ at }) => at > now - longest * 1000)
  const within = (rules: Rules): number[] =>
    past.recommendations
      .filter(({ at }) => at > now - (rules.stabilizationWindowSeconds ?? 0) * 1000)
      .map(({ replicas }) => replicas)
  const least = Math.min(wanted, ...within(up))
  const most = Math.max(wanted, ...within(down))
  past.recommendations.push({ at: now, replicas: wanted })
  const stable = Math.min(Math.max(current, least), most)
  if (stable === wanted)
    return { stable, able: { reason: 'ReadyForNewScale', message: 'recommended size matches current size' } }
  const able =
    stable < wanted
      ? {
          reason: 'ScaleUpStabilized',
          message: 'recent recommendations were lower than current one, applying the lowest recent recommendation',
        }
      : {
          reason: 'ScaleDownStabilized',
          message: 'recent recommendations were higher than current one, applying the highest recent recommendation',
        }
  return { stable, able }
}

type Limited = Outcome['limited'] & { replicas: number }
const limited = (replicas: number, status: 'True' | 'False', reason: string, message: string): Limited => ({
  replicas,
  status,
  reason,
  message,
})

const limit = (
  hpa: HorizontalPodAutoscaler,
  up: Rules,
  down: Rules,
  current: number,
  stable: number,
  past: Past,
  now: number,
): Limited => {
  const least = hpa.spec?.minReplicas ?? 1
  const most = hpa.spec!.maxReplicas
  if (stable > current) {
    const rate = Math.max(current, upLimit(up, current, past, now))
    if (stable > Math.min(most, rate)) {
      return rate < most
        ? limited(
            rate,
            'True',
            'ScaleUpLimit',
            'the desired replica count is increasing faster than the maximum scale rate',
          )
        : limited(most, 'True', 'TooManyReplicas', 'the desired replica count is more than the maximum replica count')
    }
  } else if (stable < current) {
    const rate = Math.min(current, downLimit(down, current, past, now))
    if (stable < Math.max(least, rate)) {
      return rate > least
        ? limited(
            rate,
            'True',
            'ScaleDownLimit',
            'the desired replica count is decreasing faster than the maximum scale rate',
          )
        : limited(least, 'True', 'TooFewReplicas', 'the desired replica count is less than the minimum replica count')
    }
  }
  return limited(stable, 'False', 'DesiredWithinRange', 'the desired count is within the acceptable range')
}

const upLimit = (rules: Rules, current: number, past: Past, now: number): number => {
  if (rules.selectPolicy === 'Disabled') return current
  const proposals = (rules.policies ?? []).map(({ type, value, periodSeconds }) => {
    const start = current - changeWithin(past.ups, periodSeconds, now) + changeWithin(past.downs, periodSeconds, now)
    return type === 'Pods' ? start + value : Math.ceil(start * (1 + value / 100))
  })
  return rules.selectPolicy === 'Min' ? Math.min(...proposals) : Math.max(...proposals)
}
const downLimit = (rules: Rules, current: number, past: Past, now: number): number => {
  if (rules.selectPolicy === 'Disabled') return current
  const proposals = (rules.policies ?? []).map(({ type, value, periodSeconds }) => {
    const start = current + changeWithin(past.downs, periodSeconds, now) - changeWithin(past.ups, periodSeconds, now)
    return type === 'Pods' ? start - value : Math.trunc(start * (1 - value / 100))
  })
  return rules.selectPolicy === 'Min' ? Math.max(...proposals) : Math.min(...proposals)
}

/** Remembers a change that was made, as long as a policy may ask for it. */
export const remember = (past: Past, from: number, to: number, now: number): void => {
  const young = ({ at }: { at: number }): boolean => at > now - 1_800_000
  past.ups = past.ups.filter(young)
  past.downs = past.downs.filter(young)
  if (to > from) past.ups.push({ at: now, change: to - from })
  else past.downs.push({ at: now, change: from - to })
}
