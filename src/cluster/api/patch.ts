/** PATCH in its four forms. */
import { applyPatch } from 'rfc6902'
import { isError, messageOf } from '../../errors.ts'
import { cloneJson, isRecord } from '../../lib/json.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { applyMergePatch } from '../../spec/kube/merge-patch.ts'
import type { Schema } from '../../spec/kube/schema.ts'
import { statusError } from '../../spec/kube/status.ts'
import { strategicMerge } from '../../spec/kube/strategic-merge.ts'
import type { ApiRequest } from '../types.ts'
import { applyObject } from './apply.ts'
import { badRequest, modified, notFound } from './errors.ts'
import type { Context, Resource, Write } from './resource.ts'
import { readDraft, replace, storageOf } from './write.ts'

const jsonPatch = (object: KubeObject, body: unknown): unknown => {
  if (!Array.isArray(body))
    throw badRequest('error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch')
  const document = cloneJson(object)
  const failures = applyPatch(document, body).filter((error) => error !== null)
  if (failures.length > 0)
    throw statusError('invalid', 'the server rejected our request due to an error in our request', {
      details: {
        causes: failures.map((e) => ({ reason: 'FieldValueInvalid', message: e.message || e.name, field: 'patch' })),
      },
    })
  return document
}

/** The object that a json, merge or strategic patch makes of `current`. `schema` absent: strategic is not possible. */
export const applyPatchTo = (
  schema: Schema | undefined,
  current: KubeObject,
  patch: NonNullable<ApiRequest['patch']>,
): unknown => {
  if (patch.type === 'json') return jsonPatch(current, patch.body)
  if (!isRecord(patch.body))
    throw badRequest('error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}')
  if (patch.type === 'merge') return applyMergePatch(current, patch.body)
  if (!schema)
    throw statusError(
      'unsupported',
      'the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml',
      { http: 415, reason: 'UnsupportedMediaType' },
    )
  try {
    return strategicMerge(schema, current, patch.body)
  } catch (error) {
    throw isError(error) ? error : badRequest(messageOf(error))
  }
}

export const patchObject = (
  context: Context,
  resource: Resource,
  request: ApiRequest,
  write: Write,
): { object: KubeObject; created: boolean } => {
  const patch = request.patch
  if (!patch) throw badRequest('the request has no body')
  if (patch.type === 'apply') return applyObject(context, resource, request, write)
  const stored = context.store.get(resource.id, resource.namespaced ? (request.namespace ?? '') : '', request.name!)
  if (!stored) throw notFound(resource, request.name!)
  const current = resource.conversion ? resource.conversion.fromStorage(stored) : stored
  const result = applyPatchTo(resource.custom ? undefined : resource.schema, current, patch) as KubeObject
  const draft = readDraft(resource, request, result, write)
  if (draft.metadata.name !== request.name)
    throw badRequest(
      `the name of the object (${draft.metadata.name}) does not match the name on the URL (${request.name})`,
    )
  const { resourceVersion } = draft.metadata
  if (resourceVersion && resourceVersion !== stored.metadata.resourceVersion) throw modified(resource, request.name!)
  return { object: replace(context, storageOf(resource), draft, stored, write), created: false }
}
