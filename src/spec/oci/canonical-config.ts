import type { Digest, ImageConfig } from './image.ts'

/** Keys of the configuration's first level, in the order image tools write them; others follow by name. */
const order = ['architecture', 'variant', 'os', 'os.version', 'created', 'author', 'config', 'rootfs', 'history']

/** The configuration as JSON that depends on its content only: keys sorted, absent values left out. */
export const canonicalConfig = (config: Omit<ImageConfig, 'rootfs'>, diffIds: Digest[]): string => {
  const whole: Record<string, unknown> = { ...config, rootfs: { type: 'layers', diff_ids: diffIds } }
  const rank = (key: string): string => String(order.indexOf(key) === -1 ? order.length : order.indexOf(key)) + key
  const keys = Object.keys(whole).sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
  return JSON.stringify(Object.fromEntries(keys.map((key) => [key, sorted(whole[key])])))
}

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)]))
}
