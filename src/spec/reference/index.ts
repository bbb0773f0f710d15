import { SlipwayError } from '../../errors.ts'
import type { Digest } from '../oci/index.ts'

/** A name of an image, fully qualified. Rule: the reference grammar of distribution and docker's short forms. */
export interface Reference {
  /** Registry host with its port: 'docker.io', 'localhost:5000'. */
  domain: string
  /** Repository path: 'library/debian'. */
  path: string
  tag?: string | undefined
  digest?: Digest | undefined
}

const component = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
const pathPattern = new RegExp(`^${component}(?:/${component})*$`)
const label = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const domainPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`)
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const digestPattern = /^sha256:[a-f0-9]{64}$|^sha512:[a-f0-9]{128}$/

export const isDigest = (text: string): boolean => digestPattern.test(text)

const invalid = (detail = ''): SlipwayError => new SlipwayError('invalid', `invalid reference format${detail}`)

/**
 * 'debian' → docker.io/library/debian, without a tag; `withTag` adds 'latest'. A bare 64-digit hex string is refused, as
 * docker does: it could be an id. Errors: 'invalid', in docker's words.
 */
export const parseReference = (text: string): Reference => {
  if (/^[a-f0-9]{64}$/.test(text))
    throw new SlipwayError('invalid', `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`)
  const at = text.indexOf('@')
  const digest = at === -1 ? undefined : text.slice(at + 1)
  const named = at === -1 ? text : text.slice(0, at)
  const slash = named.indexOf('/')
  const first = slash === -1 ? '' : named.slice(0, slash)
  const hasDomain = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  let domain = hasDomain ? first : 'docker.io'
  if (domain === 'index.docker.io') domain = 'docker.io'
  const remainder = hasDomain ? named.slice(slash + 1) : named
  const colon = remainder.lastIndexOf(':')
  const tag = colon === -1 ? undefined : remainder.slice(colon + 1)
  let path = colon === -1 ? remainder : remainder.slice(0, colon)
  if (domain === 'docker.io' && !path.includes('/')) path = `library/${path}`
  if (path !== path.toLowerCase()) throw invalid(`: repository name (${path}) must be lowercase`)
  if (!domainPattern.test(domain) || !pathPattern.test(path)) throw invalid()
  if (tag !== undefined && !tagPattern.test(tag)) throw invalid()
  if (digest !== undefined && !isDigest(digest)) throw invalid()
  if (domain.length + 1 + path.length > 255)
    throw new SlipwayError('invalid', 'repository name must not be more than 255 characters')
  return { domain, path, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) }
}

/** 'latest' where there is neither tag nor digest. */
export const withTag = (reference: Reference): Reference =>
  reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: 'latest' } : reference

/** "docker.io/library/debian" */
export const repositoryOf = (reference: Reference): string => `${reference.domain}/${reference.path}`

/** "docker.io/library/debian:bookworm@sha256:…" */
export const formatReference = (reference: Reference): string =>
  repositoryOf(reference) +
  (reference.tag === undefined ? '' : `:${reference.tag}`) +
  (reference.digest === undefined ? '' : `@${reference.digest}`)

/** As docker prints it: 'debian:bookworm', 'user/app:1', 'localhost:5000/app:1'. */
export const familiarName = (reference: Reference | string): string => {
  const parsed = typeof reference === 'string' ? parseReference(reference) : reference
  return formatReference(parsed).replace(/^docker\.io\/(library\/(?!.*\/))?/, '')
}

/** The repository alone, as docker prints it. */
export const familiarRepository = (reference: Reference | string): string => {
  const { domain, path } = typeof reference === 'string' ? parseReference(reference) : reference
  return familiarName({ domain, path })
}

/** Can parseReference read it? */
export const isReference = (text: string): boolean => {
  try {
    parseReference(text)
    return true
  } catch {
    return false
  }
}

/** 'debian' → 'docker.io/library/debian:latest': a name as it is kept. Errors: 'invalid'. */
export const wholeName = (text: string): string => formatReference(withTag(parseReference(text)))
