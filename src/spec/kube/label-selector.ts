/** Label selectors as objects (metav1.LabelSelector): matching and text. */
import type { LabelSelector } from './generated/types.ts'

type Labels = Record<string, string> | undefined

/** An empty selector matches everything, an absent one nothing (as in metav1.LabelSelectorAsSelector). */
export const matchesSelector = (selector: LabelSelector | undefined, labels: Labels): boolean => {
  if (!selector) return false
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labels?.[key] !== value) return false
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const value = labels?.[key]
    if (operator === 'In' && (value === undefined || !values.includes(value))) return false
    if (operator === 'NotIn' && value !== undefined && values.includes(value)) return false
    if (operator === 'Exists' && value === undefined) return false
    if (operator === 'DoesNotExist' && value !== undefined) return false
  }
  return true
}

/** Matches a plain map of labels (Service.spec.selector). Absent or empty: nothing. */
export const matchesLabels = (selector: Record<string, string> | undefined, labels: Labels): boolean => {
  const wanted = Object.entries(selector ?? {})
  return wanted.length > 0 && wanted.every(([key, value]) => labels?.[key] === value)
}

/** Nothing is selected by it in particular: no labels and no expressions. */
export const isEmptySelector = (selector: LabelSelector | undefined): boolean =>
  Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0

/** The text form used in URLs and in Scale.status.selector: "app=web,tier in (a,b),!old". */
export const selectorText = (selector: LabelSelector | undefined): string => {
  const labels = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`)
  const expressions = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    if (operator === 'Exists') return key
    if (operator === 'DoesNotExist') return `!${key}`
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${[...values].sort().join(',')})`
  })
  return [...labels, ...expressions].sort().join(',')
}
