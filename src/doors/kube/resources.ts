/** Requests for resources: what the URL, query and headers say becomes one ApiRequest. */
import type { ApiRequest, ApiServer } from '../../cluster/types.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { readObject, readPatch } from './body.ts'
import { type Exchange, send, sendJson, warningHeader } from './exchange.ts'
import { type Form, negotiate } from './negotiate.ts'
import type { Target } from './paths.ts'
import { badRequest, methodNotAllowed } from './refusals.ts'
import { streamWatch } from './watch.ts'

type ResourceTarget = Extract<Target, { kind: 'resource' }>

const flag = (query: URLSearchParams, key: string): boolean | undefined => {
  const value = query.get(key)
  if (value === null) return undefined
  return value === '' || /^(1|t|T|TRUE|true|True)$/.test(value)
}
const integer = (query: URLSearchParams, key: string): number | undefined => {
  const value = query.get(key)
  if (value === null || value === '') return undefined
  if (!/^-?\d+$/.test(value)) throw badRequest(`strconv.ParseInt: parsing "${value}": invalid syntax`)
  return Number(value)
}

const verbOf = (method: string, target: ResourceTarget, query: URLSearchParams): ApiRequest['verb'] => {
  const named = target.name !== undefined
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (target.watch || (flag(query, 'watch') && !target.subresource)) return 'watch'
      return named ? 'get' : 'list'
    case 'POST':
      return 'create'
    case 'PUT':
      if (named) return 'update'
      break
    case 'PATCH':
      if (named) return 'patch'
      break
    case 'DELETE':
      return named ? 'delete' : 'deletecollection'
    default:
  }
  throw methodNotAllowed()
}

/** How long a watch lasts when the client does not say: 30 to 60 minutes, spread so that clients do not return together. */
const watchSeconds = (random: number): number => Math.round(1800 * (1 + random))

const fromQuery = (query: URLSearchParams): Partial<ApiRequest> => {
  const dryRun = query.getAll('dryRun').filter(Boolean)
  if (dryRun.some((value) => value !== 'All')) {
    throw badRequest(`Invalid value: ${JSON.stringify(dryRun)}: dryRun: Unsupported value: supported values: "All"`)
  }
  const validation = query.get('fieldValidation')
  if (validation && !['Strict', 'Warn', 'Ignore'].includes(validation)) {
    throw badRequest(
      `fieldValidation: Unsupported value: "${validation}": supported values: "Ignore", "Strict", "Warn"`,
    )
  }
  return {
    labels: query.get('labelSelector') || undefined,
    fields: query.get('fieldSelector') || undefined,
    limit: integer(query, 'limit'),
    continue: query.get('continue') || undefined,
    resourceVersion: query.get('resourceVersion') ?? undefined,
    resourceVersionMatch: query.get('resourceVersionMatch') || undefined,
    sendInitialEvents: flag(query, 'sendInitialEvents'),
    allowWatchBookmarks: flag(query, 'allowWatchBookmarks'),
    timeoutSeconds: integer(query, 'timeoutSeconds'),
    dryRun: dryRun.length > 0 || undefined,
    fieldManager: query.get('fieldManager') || undefined,
    force: flag(query, 'force'),
    fieldValidation: (validation || undefined) as ApiRequest['fieldValidation'],
  }
}

/** DELETE takes its options from the body, or else from the query. */
const deleteOptions = (body: KubeObject | undefined, query: URLSearchParams): Partial<ApiRequest> => {
  const source = (body ?? {
    gracePeriodSeconds: integer(query, 'gracePeriodSeconds'),
    propagationPolicy: query.get('propagationPolicy') ?? undefined,
    orphanDependents: flag(query, 'orphanDependents'),
  }) as Record<string, unknown>
  const options: Record<string, unknown> = {}
  for (const key of ['gracePeriodSeconds', 'propagationPolicy', 'preconditions', 'orphanDependents']) {
    if (source[key] !== undefined && source[key] !== null) options[key] = source[key]
  }
  const dryRun = (source.dryRun as string[] | undefined) ?? []
  return { deleteOptions: options, ...(dryRun.includes('All') && { dryRun: true }) }
}

const managerOf = (exchange: Exchange): string => {
  // As Kubernetes: without a fieldManager the first part of the user agent is the manager's name.
  const agent = exchange.request.headers['user-agent'] ?? ''
  return agent.split('/')[0]!.slice(0, 128)
}

const toRequest = async (exchange: Exchange, target: ResourceTarget, form: Form): Promise<ApiRequest> => {
  const { request, query, user, signal } = exchange
  const verb = verbOf(request.method!, target, query)
  const base: ApiRequest = {
    ...fromQuery(query),
    verb,
    user,
    signal,
    group: target.group,
    version: target.version,
    resource: target.resource,
    subresource: target.subresource,
    namespace: target.namespace,
    name: target.name,
    ...(form.as === 'table' && {
      table: { includeObject: (query.get('includeObject') ?? 'Metadata') as 'None' | 'Metadata' | 'Object' },
    }),
    ...(form.as === 'metadata' && { metadataOnly: true }),
  }
  if (verb === 'create' || verb === 'update') {
    base.object = await readObject(request)
    base.fieldManager ??= managerOf(exchange)
  } else if (verb === 'patch') {
    base.patch = await readPatch(request)
    if (base.patch.type !== 'apply') base.fieldManager ??= managerOf(exchange)
  } else if (verb === 'delete' || verb === 'deletecollection') {
    Object.assign(base, deleteOptions(await readObject(request), query))
  } else if (verb === 'watch' && target.name !== undefined) {
    base.fields = [base.fields, `metadata.name=${target.name}`].filter(Boolean).join(',')
    base.name = undefined
  }
  return base
}

/** Answers one request for a resource. */
export const handleResource = async (
  api: ApiServer,
  exchange: Exchange,
  target: ResourceTarget,
  random: () => number,
): Promise<void> => {
  const { request, response } = exchange
  const form = negotiate(request.headers.accept)
  const asked = await toRequest(exchange, target, form)
  if (asked.verb === 'watch') asked.timeoutSeconds ??= watchSeconds(random())
  const answer = await api.handle(asked)
  if (answer.kind === 'watch') {
    await streamWatch(response, answer.events, form.contentType, exchange.signal)
    return
  }
  const headers = answer.warnings.length ? { warning: answer.warnings.map(warningHeader) } : {}
  if (form.encoding === 'yaml') {
    const { stringify } = await import('yaml')
    await send(request, response, answer.status, form.contentType, stringify(answer.object), headers)
  } else await sendJson(exchange, answer.status, answer.object, headers, form.contentType)
}
