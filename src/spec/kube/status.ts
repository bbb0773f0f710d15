/** Kubernetes' Status: how every failure of the API looks, and back from it to a SlipwayError. */
import { type ErrorCode, isError, messageOf, SlipwayError } from '../../errors.ts'
import type { KubeObject } from './kinds.ts'

export interface Cause {
  reason: string
  message: string
  field?: string | undefined
}
export interface StatusDetails {
  name?: string | undefined
  group?: string | undefined
  kind?: string | undefined
  uid?: string | undefined
  causes?: Cause[] | undefined
  retryAfterSeconds?: number | undefined
}
export type Status = KubeObject & {
  apiVersion: 'v1'
  kind: 'Status'
  status: 'Success' | 'Failure'
  message: string
  reason: string
  code: number
  details?: StatusDetails
}

const codes: Record<ErrorCode, [code: number, reason: string]> = {
  'not-found': [404, 'NotFound'],
  'already-exists': [409, 'AlreadyExists'],
  conflict: [409, 'Conflict'],
  invalid: [422, 'Invalid'],
  'bad-request': [400, 'BadRequest'],
  precondition: [409, 'Conflict'],
  unauthorized: [401, 'Unauthorized'],
  forbidden: [403, 'Forbidden'],
  expired: [410, 'Expired'],
  'too-many-requests': [429, 'TooManyRequests'],
  unsupported: [405, 'MethodNotAllowed'],
  unavailable: [503, 'ServiceUnavailable'],
  'no-space': [507, 'InsufficientStorage'],
  timeout: [504, 'Timeout'],
  cancelled: [499, 'ClientClosedRequest'],
  internal: [500, 'InternalError'],
}

export const failure = (code: number, reason: string, message: string, details?: StatusDetails): Status => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  message,
  reason,
  ...(details ? { details } : {}),
  code,
})

const isStatus = (value: unknown): value is Status =>
  typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'Status'

/** The Status of anything thrown. What is not ours is an internal error. */
export const statusOf = (error: unknown): Status => {
  if (!isError(error)) return failure(500, 'InternalError', `Internal error occurred: ${messageOf(error)}`)
  if (isStatus(error.details)) return error.details
  const [code, reason] = codes[error.code]
  return failure(code, reason, error.message)
}

const reasons = new Map(Object.entries(codes).map(([code, [, reason]]) => [reason, code as ErrorCode]))
const byHttp = new Map(Object.entries(codes).map(([code, [http]]) => [http, code as ErrorCode]))
byHttp.set(409, 'conflict')
for (const http of [405, 406, 415, 501]) byHttp.set(http, 'unsupported')
for (const http of [502, 503]) byHttp.set(http, 'unavailable')

/** The error that a Status received over the wire stands for. */
export const errorOfStatus = (status: Status): SlipwayError => {
  const code = reasons.get(status.reason) ?? byHttp.get(status.code) ?? 'internal'
  return new SlipwayError(status.reason === 'Conflict' ? 'conflict' : code, status.message, { details: status })
}

/** An error whose details carry the Status it will be answered with. */
export const statusError = (
  code: ErrorCode,
  message: string,
  more: { details?: StatusDetails | undefined; http?: number; reason?: string; hint?: string } = {},
): SlipwayError => {
  const [http, reason] = codes[code]
  const status = failure(more.http ?? http, more.reason ?? reason, message, more.details)
  return new SlipwayError(code, message, { details: status, hint: more.hint })
}
