import type { OwnerReference } from '../../../spec/kube/generated/types.ts'
import { apiVersionOf, type Kind, type ObjectMetaHolder } from '../../../spec/kube/kinds.ts'

/** The reference by which `owner` controls what it makes. */
export const ownerReference = <T extends ObjectMetaHolder>(kind: Kind<T>, owner: T): OwnerReference => ({
  apiVersion: apiVersionOf(kind),
  kind: kind.kind,
  name: owner.metadata.name!,
  uid: owner.metadata.uid!,
  controller: true,
  blockOwnerDeletion: true,
})

const emptyMeansAbsent = new Set(['labels', 'annotations', 'nodeSelector', 'limits', 'requests', 'matchLabels'])

/**
 * Text that is equal for objects that mean the same: keys sorted; null, empty lists and empty maps count as absent (as in
 * apimachinery's semantic equality).
 */
export const canonical = (value: unknown): string => {
  const tidy = (part: unknown, name?: string): unknown => {
    if (part === null || part === undefined) return undefined
    if (Array.isArray(part)) return part.length === 0 ? undefined : part.map((entry) => tidy(entry) ?? null)
    if (typeof part !== 'object') return part
    const entries = Object.entries(part)
      .map(([key, entry]) => [key, tidy(entry, key)] as const)
      .filter(([, entry]) => entry !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    return entries.length === 0 && name && emptyMeansAbsent.has(name) ? undefined : Object.fromEntries(entries)
  }
  return JSON.stringify(tidy(value)) ?? ''
}

/** True when both mean the same. */
export const equal = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b)

const alphabet = 'bcdfghjklmnpqrstvwxz2456789'
/** A short hash of any value, in the letters of Kubernetes' generated names. */
export const shortHash = (value: unknown, salt = ''): string => {
  const text = canonical(value) + salt
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0
  return [...String(hash)].map((digit) => alphabet[digit.charCodeAt(0) % alphabet.length]).join('')
}

/** Older first; names decide between objects of the same second. */
export const byCreation = (a: ObjectMetaHolder, b: ObjectMetaHolder): number =>
  (a.metadata.creationTimestamp ?? '').localeCompare(b.metadata.creationTimestamp ?? '') ||
  (a.metadata.name ?? '').localeCompare(b.metadata.name ?? '')

/** A number, or a part of `total` in percent ("25%"), rounded up or down. */
export const scaledValue = (
  value: number | string | undefined,
  total: number,
  round: 'up' | 'down',
  fallback: number | string = 0,
): number => {
  const text = String(value ?? fallback)
  if (!text.endsWith('%')) return Number(text)
  const exact = (Number(text.slice(0, -1)) * total) / 100
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact)
}
