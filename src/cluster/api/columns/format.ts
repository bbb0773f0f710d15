/** How kubectl's tables write times, lists and selectors. Source: apimachinery duration.HumanDuration, pkg/printers. */
import type { Draft } from '../resource.ts'

/** "47s", "5m30s", "3h", "4d21h" … */
export const humanDuration = (ms: number): string => {
  const seconds = Math.floor(ms / 1000)
  if (seconds < -1) return '<invalid>'
  if (seconds < 0) return '0s'
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  const pair = (big: number, b: string, small: number, s: string): string =>
    small === 0 ? `${big}${b}` : `${big}${b}${small}${s}`
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's')
  if (minutes < 180) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm')
  if (hours < 48) return `${hours}h`
  const days = Math.floor(hours / 24)
  if (hours < 192) return pair(days, 'd', hours % 24, 'h')
  if (days < 730) return `${days}d`
  if (days < 2920) return pair(Math.floor(days / 365), 'y', days % 365, 'd')
  return `${Math.floor(days / 365)}y`
}
export const age = (time: string | null | undefined, now: number): string =>
  time ? humanDuration(now - Date.parse(time)) : '<unknown>'
export const none = (value: unknown): unknown =>
  value === undefined || value === null || value === '' ? '<none>' : value
export const labelsText = (labels: Record<string, string> | undefined): string =>
  Object.keys(labels ?? {}).length === 0
    ? '<none>'
    : Object.keys(labels!)
        .sort()
        .map((key) => `${key}=${labels![key]}`)
        .join(',')
/** The first three, and how many more. */
export const firstThree = (items: string[], separator = ','): string =>
  items.length === 0
    ? '<none>'
    : items.length > 3
      ? `${items.slice(0, 3).join(separator)} + ${items.length - 3} more...`
      : items.join(separator)
export const containerNames = (spec: Draft): string => (spec?.containers ?? []).map((c: Draft) => c.name).join(',')
export const containerImages = (spec: Draft): string => (spec?.containers ?? []).map((c: Draft) => c.image).join(',')
const short: Record<string, string> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
}
export const accessModes = (modes: string[] | undefined): string =>
  [...new Set(modes ?? [])].map((m) => short[m] ?? m).join(',')
export const hasCondition = (object: Draft, type: string): boolean =>
  (object.status?.conditions ?? []).some((c: Draft) => c.type === type && c.status === 'True')
