/** Kubernetes names from Compose names. */
import { sha256Hex } from '../../lib/sha256.ts'

/** On objects whose names carry a hash of their content: `up` removes those that nothing refers to any more. */
export const hashedLabel = 'slipway.dev/content-hash'

/** Ten characters that change with the content. */
export const contentHash = (value: unknown): string =>
  sha256Hex(typeof value === 'string' ? value : JSON.stringify(value)).slice(0, 10)

/** A DNS-1123 label: small letters, digits, dashes, at most 63; a long name keeps its beginning and a hash of all of it. */
export const dnsLabel = (name: string, room = 63): string => {
  const label = name
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-')
    .replace(/^-+|-+$/g, '')
  if (label === '') return `x-${contentHash(name)}`
  return label.length <= room ? label : `${label.slice(0, room - 11).replace(/-+$/, '')}-${contentHash(name)}`
}

/** Services and aliases must not begin with a digit (RFC 1035). */
export const serviceName = (name: string): string => {
  const label = dnsLabel(name)
  return /^[a-z]/.test(label) ? label : dnsLabel(`s-${label}`)
}

export const labelValue = (value: string): string =>
  /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/.test(value) ? value : dnsLabel(value)

/** May this be the key of an annotation? */
export const isQualifiedName = (key: string): boolean => {
  const [name, prefix] = key.split('/').reverse() as [string, string | undefined]
  if (key.split('/').length > 2) return false
  if (prefix !== undefined && !/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(prefix)) return false
  return /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(name)
}

/** `$(NAME)` and `$$` mean something in a container's command and arguments; doubled, they do not. */
export const escapeExpansion = (text: string): string => text.replace(/\$(?=[$(])/g, '$$$$')
