/** Server-side apply: merges a configuration into what is there, and remembers whose each field is. */
import { isRecord } from '../../lib/json.ts'
import { fieldsOf, mergeApplied, prune, union } from '../../spec/kube/field-set.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { ApiRequest } from '../types.ts'
import { badRequest, invalidObject, modified, notFound, required } from './errors.ts'
import { entryFor, ownable, trackApply } from './managed-fields.ts'
import type { Context, Draft, Resource, Write } from './resource.ts'
import { insert, readDraft, readExternal, replace, storageOf } from './write.ts'

/** The parts that an endpoint lets through: status only on the status subresource, everything else only on the object itself. */
const confined = (applied: Draft, write: Write): Draft => {
  const { status, ...rest } = applied
  if (write.subresource !== 'status') return rest
  return { apiVersion: rest.apiVersion, kind: rest.kind, metadata: rest.metadata, ...(status ? { status } : {}) }
}

export const applyObject = (
  context: Context,
  served: Resource,
  request: ApiRequest,
  write: Write,
): { object: KubeObject; created: boolean } => {
  const resource = storageOf(served)
  const given = request.patch!.body
  if (!isRecord(given)) throw badRequest('error decoding YAML: the applied configuration must be an object')
  if (!request.fieldManager)
    throw invalidObject({ group: 'meta.k8s.io', resource: 'patchoptions', kind: 'PatchOptions' }, '', [
      required('fieldManager', 'is required for apply patch'),
    ])
  const external = readExternal(served, request, given as unknown as KubeObject, write)
  const config = confined(served.conversion ? served.conversion.toStorage(external) : external, write)
  config.apiVersion = resource.apiVersion
  if (config.metadata.managedFields?.length) throw badRequest('metadata.managedFields must be nil')
  config.metadata.name ??= request.name
  if (config.metadata.name !== request.name)
    throw badRequest(
      `the name of the object (${config.metadata.name}) does not match the name on the URL (${request.name})`,
    )
  const set = fieldsOf(resource.schema, ownable(config))
  const { schema } = resource
  const stored = context.store.get(resource.id, resource.namespaced ? (request.namespace ?? '') : '', request.name!)
  if (!stored) {
    if (write.subresource) throw notFound(resource, request.name!)
    const draft = readDraft(resource, { ...request, fieldValidation: 'Ignore' }, config, write)
    if (config.metadata.uid) throw modified(resource, request.name!)
    const tracked = (final: Draft): void => trackApply(context, resource, final, undefined, write, set, true)
    return { object: insert(context, resource, draft, { ...write, track: tracked }), created: true }
  }
  const { uid, resourceVersion } = config.metadata
  if ((uid && uid !== stored.metadata.uid) || (resourceVersion && resourceVersion !== stored.metadata.resourceVersion))
    throw modified(resource, request.name!)
  const entries = (stored.metadata.managedFields ?? []) as Draft[]
  const mine = entryFor(context, resource, write, 'Apply')
  const isMine = (e: Draft): boolean =>
    e.operation === 'Apply' && e.manager === mine.manager && e.subresource === mine.subresource
  const last = entries.find(isMine)?.fieldsV1
  let owned: ReturnType<typeof union> = set
  for (const entry of entries) if (!isMine(entry)) owned = union(owned, entry.fieldsV1)
  const merged = mergeApplied(schema, stored, config)
  const next = prune(schema, merged, last, owned) as KubeObject
  const draft = readDraft(resource, { ...request, fieldValidation: 'Ignore' }, next, write)
  draft.metadata.managedFields = stored.metadata.managedFields
  const tracked = (final: Draft): void =>
    trackApply(context, resource, final, stored, write, set, request.force ?? false)
  return { object: replace(context, resource, draft, stored, { ...write, track: tracked }), created: false }
}
