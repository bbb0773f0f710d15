/** Refusals of the door itself, in the words of k8s.io/apiserver. */
import type { SlipwayError } from '../../errors.ts'
import { statusError } from '../../spec/kube/status.ts'

export const badRequest = (message: string): SlipwayError => statusError('bad-request', message)
export const unauthorized = (): SlipwayError => statusError('unauthorized', 'Unauthorized')
export const noSuchResource = (): SlipwayError =>
  statusError('not-found', 'the server could not find the requested resource', { details: {} })
export const methodNotAllowed = (): SlipwayError =>
  statusError('unsupported', 'the server does not allow this method on the requested resource', { details: {} })
export const notAcceptable = (accepted: readonly string[]): SlipwayError =>
  statusError('unsupported', `only the following media types are accepted: ${accepted.join(', ')}`, {
    http: 406,
    reason: 'NotAcceptable',
  })
export const unsupportedMedia = (accepted: readonly string[]): SlipwayError =>
  statusError(
    'unsupported',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
    { http: 415, reason: 'UnsupportedMediaType' },
  )
export const tooLarge = (limit: number): SlipwayError =>
  statusError('bad-request', `Request entity too large: limit is ${limit}`, {
    http: 413,
    reason: 'RequestEntityTooLarge',
  })
