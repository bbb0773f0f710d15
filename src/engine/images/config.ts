import { SlipwayError } from '../../errors.ts'
import { type Digest, hostPlatform, type ImageConfig } from '../../spec/oci/index.ts'

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

/** BuildKit writes null where there is no layer. */
export const layersOf = ({ rootfs }: Pick<ImageConfig, 'rootfs'>): Digest[] =>
  (rootfs?.diff_ids as unknown) === null ? [] : rootfs?.diff_ids

/** Old images do not name their system: there was only one. */
export const withPlatform = (config: ImageConfig): ImageConfig => ({
  ...config,
  rootfs: { ...config.rootfs, diff_ids: layersOf(config) },
  os: config.os ?? 'linux',
  architecture: config.architecture ?? hostPlatform().architecture,
})

/** Reads a configuration somebody else wrote. 'invalid' where it could not be run. */
export const readConfig = (text: string): ImageConfig => {
  let config: ImageConfig
  try {
    config = JSON.parse(text) as ImageConfig
  } catch (cause) {
    throw new SlipwayError('invalid', 'image configuration is not JSON', { cause })
  }
  const diffIds = layersOf(config)
  if (!Array.isArray(diffIds) || diffIds.some((id) => !/^sha256:[a-f0-9]{64}$/.test(String(id))))
    throw new SlipwayError('invalid', 'image configuration has no valid rootfs.diff_ids')
  const whole = withPlatform(config)
  if (typeof whole.os !== 'string' || typeof whole.architecture !== 'string')
    throw new SlipwayError('invalid', 'image configuration names no platform')
  return whole
}
