import { type ErrorCode, SlipwayError } from '../../errors.ts'
import { familiarName, familiarRepository, type Reference } from '../../spec/oci/index.ts'
import { type HttpAnswer, readBody } from './http.ts'

interface RegistryError {
  code: string
  message: string
}

/** The errors a registry's answer carries (distribution-spec "Error Codes"); none if it is something else. */
export const errorsIn = (body: Buffer): RegistryError[] => {
  try {
    const { errors } = JSON.parse(body.toString('utf8')) as { errors?: { code?: unknown; message?: unknown }[] }
    if (!Array.isArray(errors)) return []
    return errors.map(({ code, message }) => ({ code: String(code ?? 'UNKNOWN'), message: String(message ?? '') }))
  } catch {
    return [] // a proxy's HTML page, say
  }
}

export const spoken = ({ code, message }: RegistryError): string =>
  `${code.toLowerCase().replaceAll('_', ' ')}: ${message}`

/** What a refusal means, in dockerd's words. Reads the answer's body. */
export const refusal = async (answer: HttpAnswer, reference: Reference): Promise<SlipwayError> => {
  const body = await readBody(answer, 64 * 1024).catch(() => Buffer.alloc(0))
  const errors = errorsIn(body)
  const first = errors[0]
  const details = { status: answer.status, errors }
  const denied = (): SlipwayError => {
    const error = first ?? { code: 'DENIED', message: 'requested access to the resource is denied' }
    return new SlipwayError(
      answer.status === 404 ? 'not-found' : 'unauthorized',
      `pull access denied for ${familiarRepository(reference)}, repository does not exist or may require 'docker login': ${spoken(error)}`,
      { details, hint: `Log in first if the repository is private: docker login ${reference.domain}` },
    )
  }
  if (answer.status === 401 || answer.status === 403) return denied()
  if (answer.status === 404) {
    if (first?.code === 'DENIED') return denied()
    if (first?.code === 'NAME_UNKNOWN')
      return new SlipwayError('not-found', `repository ${familiarRepository(reference)} not found: ${spoken(first)}`, {
        details,
        hint: 'Check the spelling of the name.',
      })
    return new SlipwayError(
      'not-found',
      `manifest for ${familiarName(reference)} not found: manifest unknown: ${first?.message || 'manifest unknown'}`,
      {
        details,
        hint: 'Check the spelling of the name and the tag.',
      },
    )
  }
  return unexpected(answer, errors)
}

/** Any other answer than the expected one. */
export const unexpected = (answer: HttpAnswer, errors: RegistryError[]): SlipwayError => {
  const code: ErrorCode =
    answer.status === 429
      ? 'too-many-requests'
      : answer.status === 401 || answer.status === 403
        ? 'unauthorized'
        : answer.status === 404
          ? 'not-found'
          : answer.status >= 500
            ? 'unavailable'
            : 'invalid'
  const { origin, pathname } = answer.url
  const line = `${answer.status} ${answer.reason}`.trimEnd()
  const said = errors.map(spoken).join('; ') || `${origin}${pathname}: unexpected status code ${line}`
  return new SlipwayError(code, said, { details: { status: answer.status } })
}
