/** PATCH in its four forms. */
import { applyPatch } from 'rfc6902'
import { isError } from '../../errors.ts'
import { cloneJson, isRecord } from '../../lib/json.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { applyMergePatch } from '../../spec/kube/merge-patch.ts'
import { statusError } from '../../spec/kube/status.ts'
import type { ApiRequest } from '../types.ts'
import { badRequest, modified, notFound } from './errors.ts'
import type { Context, Resource, Write } from './resource.ts'
import { insert, readDraft, replace } from './write.ts'

const jsonPatch = (object: KubeObject, body: unknown): unknown => {
  if (!Array.isArray(body))
    throw badRequest('error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch')
  const document = cloneJson(object)
  const errors = applyPatch(document, body).filter((error) => error !== null)
  if (errors.length > 0)
    throw statusError('invalid', `the server rejected our request due to an error in our request`, {
      details: {
        causes: errors.map((e) => ({ reason: 'FieldValueInvalid', message: e.message || e.name, field: 'patch' })),
      },
    })
  return document
}

const patched = (resource: Resource, current: KubeObject, patch: NonNullable<ApiRequest['patch']>): unknown => {
  void resource
  if (patch.type === 'json') return jsonPatch(current, patch.body)
  if (!isRecord(patch.body)) throw badRequest('error decoding patch: the patch must be an object')
  return applyMergePatch(current, patch.body)
}

export const patchObject = (
  context: Context,
  resource: Resource,
  request: ApiRequest,
  write: Write,
): { object: KubeObject; created: boolean } => {
  const patch = request.patch!
  const namespace = request.namespace ?? ''
  const current = context.store.get(resource.id, namespace, request.name!)
  if (patch.type === 'apply') {
    const given = patch.body as KubeObject
    if (!current) {
      const draft = readDraft(resource, request, given, write)
      return { object: insert(context, resource, draft, write, request.name!), created: true }
    }
    const draft = readDraft(resource, request, applyMergePatch(current, given) as KubeObject, write)
    return { object: replace(context, resource, draft, current, write), created: false }
  }
  if (!current) throw notFound(resource, request.name!)
  let result: unknown
  try {
    result = patched(resource, current, patch)
  } catch (error) {
    throw isError(error) ? error : badRequest(String(error))
  }
  const draft = readDraft(resource, request, result as KubeObject, write)
  const { resourceVersion } = draft.metadata
  if (resourceVersion && resourceVersion !== current.metadata.resourceVersion) throw modified(resource, request.name!)
  return { object: replace(context, resource, draft, current, write), created: false }
}
