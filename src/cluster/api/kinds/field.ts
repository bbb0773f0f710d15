/** Small checks shared by the validations of kinds. */
import { isIP, isIPv4 } from 'node:net'
import { equalJson } from '../../../lib/json.ts'
import { compareQuantities } from '../../../lib/quantity.ts'
import { isPortName } from '../../../spec/kube/names.ts'
import { duplicate, type FieldError, forbiddenField, invalid, required, unsupported } from '../errors.ts'

export type Errors = FieldError[]

export const oneOf = (path: string, value: unknown, allowed: readonly string[], errors: Errors): void => {
  if (value !== undefined && !allowed.includes(value as string)) errors.push(unsupported(path, value, allowed))
}
/** Required and one of. */
export const mustBeOneOf = (path: string, value: unknown, allowed: readonly string[], errors: Errors): void => {
  if (value === undefined || value === '') errors.push(required(path))
  else oneOf(path, value, allowed, errors)
}
export const notNegative = (path: string, value: number | undefined, errors: Errors): void => {
  if (value !== undefined && value < 0) errors.push(invalid(path, value, 'must be greater than or equal to 0'))
}
export const port = (path: string, value: unknown, errors: Errors): void => {
  if (typeof value === 'number' && (value < 1 || value > 65535))
    errors.push(invalid(path, value, 'must be between 1 and 65535, inclusive'))
}
export const portOrName = (path: string, value: unknown, errors: Errors): void => {
  if (typeof value === 'string') for (const reason of isPortName(value)) errors.push(invalid(path, value, reason))
  else port(path, value, errors)
}
export const names = (path: string, value: string, check: (text: string) => string[], errors: Errors): void => {
  for (const reason of check(value)) errors.push(invalid(path, value, reason))
}
export const ip = (path: string, value: string, errors: Errors): void => {
  if (!isIP(value)) errors.push(invalid(path, value, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'))
}
export const cidr = (path: string, value: string, errors: Errors): void => {
  const [address = '', bits = ''] = value.split('/')
  const max = isIPv4(address) ? 32 : 128
  if (!isIP(address) || !/^\d+$/.test(bits) || Number(bits) > max)
    errors.push(invalid(path, value, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'))
}
/** Pushes a Duplicate for each later element with the same key. */
export const unique = (
  items: unknown[],
  keyOf: (item: never) => string | undefined,
  path: (i: number) => string,
  errors: Errors,
  shown?: (item: never) => unknown,
): void => {
  const seen = new Set<string>()
  for (const [i, item] of items.entries()) {
    const key = keyOf(item as never)
    if (key === undefined) continue
    if (seen.has(key)) errors.push(duplicate(path(i), shown ? shown(item as never) : key))
    seen.add(key)
  }
}
export const immutable = (path: string, now: unknown, before: unknown, errors: Errors): void => {
  if (!equalJson(now, before)) errors.push(invalid(path, now ?? null, 'field is immutable'))
}
export const forbidden = (path: string, detail: string): FieldError => forbiddenField(path, detail)

export const quantityNotNegative = (path: string, value: string, errors: Errors): void => {
  if (compareQuantities(value, '0') < 0) errors.push(invalid(path, value, 'must be greater than or equal to 0'))
}
/** "25%" or 3. */
export const countOrPercent = (path: string, value: number | string | undefined, errors: Errors): void => {
  if (typeof value === 'string' && !/^[0-9]+%$/.test(value))
    errors.push(
      invalid(
        path,
        value,
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
      ),
    )
  else if (typeof value === 'number') notNegative(path, value, errors)
}
