/** Reading: get, list with selectors and pages, and the selection of watch events. */
import { isError } from '../../errors.ts'
import { matchesFields, parseFieldSelector } from '../../spec/kube/fields.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { labelMatcher } from '../../spec/kube/labels.ts'
import { statusError } from '../../spec/kube/status.ts'
import type { ApiRequest } from '../types.ts'
import { badRequest, notFound } from './errors.ts'
import type { Context, Resource } from './resource.ts'

export type Selection = (object: KubeObject) => boolean

/** The predicate of a request's label and field selectors and, on a single-object path, its name. */
export const selectionOf = (resource: Resource, request: ApiRequest): Selection | undefined => {
  if (!request.labels && !request.fields && !request.name) return undefined
  let labels: (given: Record<string, string> | undefined) => boolean
  let fields: ReturnType<typeof parseFieldSelector>
  try {
    labels = labelMatcher(request.labels)
    fields = parseFieldSelector(request.fields)
  } catch (error) {
    throw isError(error, 'bad-request') ? badRequest(error.message) : error
  }
  const known = resource.strategy.fields ?? {}
  for (const { field } of fields)
    if (field !== 'metadata.name' && field !== 'metadata.namespace' && !Object.hasOwn(known, field))
      throw badRequest(`field label not supported: ${field}`)
  const fieldOf = (object: KubeObject, field: string): string => {
    if (field === 'metadata.name') return object.metadata.name ?? ''
    if (field === 'metadata.namespace') return object.metadata.namespace ?? ''
    return known[field]!(object)
  }
  return (object) =>
    (!request.name || object.metadata.name === request.name) &&
    labels(object.metadata.labels) &&
    matchesFields(fields, (field) => fieldOf(object, field))
}

export const getObject = (context: Context, resource: Resource, namespace: string, name: string): KubeObject => {
  const found = context.store.get(resource.id, namespace, name)
  if (!found) throw notFound(resource, name)
  return found
}

interface Token {
  /** Revision of the list. */
  rv: number
  /** Namespace/name after which the page begins. */
  start: string
}
const encode = (token: Token): string => Buffer.from(JSON.stringify(token)).toString('base64url')
const decode = (text: string): Token => {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Token
    if (typeof token.rv === 'number' && typeof token.start === 'string') return token
  } catch {
    // Falls through to the one message for all broken tokens.
  }
  throw badRequest('continue key is not valid: encoded continue token is malformed')
}

/** A resourceVersion of a request: undefined when absent or "0", which both mean "any". */
export const revisionOf = (text: string | undefined): number | undefined => {
  if (text === undefined || text === '' || text === '0') return undefined
  if (!/^\d+$/.test(text))
    throw statusError(
      'invalid',
      `resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
      { http: 400, reason: 'BadRequest' },
    )
  return Number(text)
}

interface Page {
  items: KubeObject[]
  revision: number
  continue?: string | undefined
  remaining?: number | undefined
}
const keyOf = (object: KubeObject): string => `${object.metadata.namespace ?? ''}/${object.metadata.name}`

/** One page, consistent with the page before it: later pages show the state at the revision of the first. */
export const listObjects = (context: Context, resource: Resource, request: ApiRequest): Page => {
  const { store } = context
  const namespace = request.namespace ?? ''
  const select = selectionOf(resource, request)
  const token = request.continue ? decode(request.continue) : undefined
  const asked = revisionOf(request.resourceVersion)
  if (token && asked) throw badRequest('specifying resource version is not allowed when using continue')
  if (asked !== undefined && asked > store.revision)
    throw statusError('timeout', `Too large resource version: ${asked}, current: ${store.revision}`, {
      details: {
        retryAfterSeconds: 1,
        causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      },
    })
  const exact = request.resourceVersionMatch === 'Exact' ? asked : undefined
  const revision = token?.rv ?? exact ?? store.revision
  let items: KubeObject[]
  try {
    items =
      revision === store.revision ? store.list(resource.id, namespace) : store.listAt(resource.id, namespace, revision)
  } catch (error) {
    if (isError(error, 'expired') && token)
      throw statusError(
        'expired',
        'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
      )
    throw isError(error, 'expired') ? statusError('expired', error.message) : error
  }
  if (token) items = items.filter((object) => keyOf(object) > token.start)
  if (select) items = items.filter(select)
  if (!request.limit || items.length <= request.limit) return { items, revision }
  const page = items.slice(0, request.limit)
  return {
    items: page,
    revision,
    continue: encode({ rv: revision, start: keyOf(page.at(-1)!) }),
    // Kubernetes leaves the count out when a selector is given.
    ...(select ? {} : { remaining: items.length - page.length }),
  }
}
