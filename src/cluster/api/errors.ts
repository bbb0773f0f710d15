/** The API server's failures, in the words of Kubernetes 1.33. */
import type { SlipwayError } from '../../errors.ts'
import { type Cause, statusError } from '../../spec/kube/status.ts'

export interface ResourceName {
  group: string
  /** Plural. */
  resource: string
  kind: string
}
/** "deployments.apps", "pods" */
const qualified = ({ group, resource }: Pick<ResourceName, 'group' | 'resource'>): string =>
  group ? `${resource}.${group}` : resource
const qualifiedKind = ({ group, kind }: ResourceName): string => (group ? `${kind}.${group}` : kind)

const detailsOf = (of: ResourceName, name: string) => ({ name, group: of.group || undefined, kind: of.resource })

export const notFound = (of: ResourceName, name: string): SlipwayError =>
  statusError('not-found', `${qualified(of)} "${name}" not found`, { details: detailsOf(of, name) })
export const alreadyExists = (of: ResourceName, name: string): SlipwayError =>
  statusError('already-exists', `${qualified(of)} "${name}" already exists`, { details: detailsOf(of, name) })
export const conflict = (of: ResourceName, name: string, why: string): SlipwayError =>
  statusError('conflict', `Operation cannot be fulfilled on ${qualified(of)} "${name}": ${why}`, {
    details: detailsOf(of, name),
  })
export const modified = (of: ResourceName, name: string): SlipwayError =>
  conflict(of, name, 'the object has been modified; please apply your changes to the latest version and try again')
export const forbidden = (of: ResourceName, name: string, why: string, causes?: Cause[]): SlipwayError =>
  statusError('forbidden', `${qualified(of)}${name ? ` "${name}"` : ''} is forbidden: ${why}`, {
    details: { ...detailsOf(of, name), name: name || undefined, causes },
  })
export const badRequest = (message: string): SlipwayError => statusError('bad-request', message)
export const noResource = (): SlipwayError =>
  statusError('not-found', 'the server could not find the requested resource', { details: {} })
export const notAllowed = (): SlipwayError =>
  statusError('unsupported', 'the server does not allow this method on the requested resource', { details: {} })
export const internal = (message: string): SlipwayError =>
  statusError('internal', `Internal error occurred: ${message}`)

/** What is wrong with one field. */
export interface FieldError {
  path: string
  reason: string
  /** Without the path. */
  message: string
}
const shown = (value: unknown): string => JSON.stringify(value) ?? 'null'
const join = (head: string, detail: string | undefined): string => (detail ? `${head}: ${detail}` : head)

export const required = (path: string, detail = ''): FieldError => ({
  path,
  reason: 'FieldValueRequired',
  message: join('Required value', detail),
})
export const invalid = (path: string, value: unknown, detail: string): FieldError => ({
  path,
  reason: 'FieldValueInvalid',
  message: join(`Invalid value: ${shown(value)}`, detail),
})
export const unsupported = (path: string, value: unknown, supported: readonly string[]): FieldError => ({
  path,
  reason: 'FieldValueNotSupported',
  message: join(
    `Unsupported value: ${shown(value)}`,
    supported.length > 0 ? `supported values: ${supported.map(shown).join(', ')}` : '',
  ),
})
export const forbiddenField = (path: string, detail: string): FieldError => ({
  path,
  reason: 'FieldValueForbidden',
  message: join('Forbidden', detail),
})
export const duplicate = (path: string, value: unknown): FieldError => ({
  path,
  reason: 'FieldValueDuplicate',
  message: `Duplicate value: ${shown(value)}`,
})
export const missing = (path: string, value: unknown): FieldError => ({
  path,
  reason: 'FieldValueNotFound',
  message: `Not found: ${shown(value)}`,
})
export const tooLong = (path: string, max: number): FieldError => ({
  path,
  reason: 'FieldValueTooLong',
  message: `Too long: may not be more than ${max} bytes`,
})

/** 422 with one cause per field. */
export const invalidObject = (of: ResourceName, name: string, errors: FieldError[]): SlipwayError => {
  const texts = errors.map((e) => `${e.path}: ${e.message}`)
  const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`
  return statusError('invalid', `${qualifiedKind(of)} "${name}" is invalid: ${list}`, {
    details: {
      name: name || undefined,
      group: of.group || undefined,
      kind: of.kind,
      causes: errors.map((e) => ({ reason: e.reason, message: e.message, field: e.path })),
    },
  })
}
