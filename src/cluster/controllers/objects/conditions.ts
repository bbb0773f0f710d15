import { timestamp } from '../../../lib/timestamp.ts'

export interface Condition {
  type: string
  status: string
  reason?: string | undefined
  message?: string | undefined
  lastTransitionTime?: string | undefined
}

/** The condition of that type. */
export const findCondition = <C extends Condition>(conditions: readonly C[] | undefined, type: string): C | undefined =>
  conditions?.find((condition) => condition.type === type)

/** The list with `condition` in it; lastTransitionTime moves only when the status does. */
export const withCondition = <C extends Condition>(
  conditions: readonly C[] | undefined,
  condition: C,
  now: number,
): C[] => {
  const before = findCondition(conditions, condition.type)
  const same = before?.status === condition.status
  const made = { ...condition, lastTransitionTime: (same && before?.lastTransitionTime) || timestamp(now) }
  if (!before) return [...(conditions ?? []), made]
  return conditions!.map((entry) => (entry === before ? made : entry))
}

export const withoutCondition = <C extends Condition>(conditions: readonly C[] | undefined, type: string): C[] =>
  (conditions ?? []).filter((condition) => condition.type !== type)
