/** Writing: the way of an object from a request into the store. One synchronous run from reading the current state to commit. */
import { randomUUID } from 'node:crypto'
import { isError } from '../../errors.ts'
import { cloneJson, equalJson } from '../../lib/json.ts'
import { timestamp } from '../../lib/timestamp.ts'
import { decodeAs } from '../../spec/kube/decode.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { generatedName } from '../../spec/kube/names.ts'
import { statusError } from '../../spec/kube/status.ts'
import type { ApiRequest } from '../types.ts'
import { admitCreate, admitUpdate, checkCreate } from './admission/index.ts'
import { alreadyExists, badRequest, conflict, type FieldError, invalidObject, modified, notFound } from './errors.ts'
import { trackCreate, trackUpdate } from './managed-fields.ts'
import { validateMetadata, validateMetadataUpdate } from './metadata.ts'
import type { Context, Draft, Resource, Write } from './resource.ts'

/** The resource under which an object is kept: another version's, when this one is only a view. */
export const storageOf = (resource: Resource): Resource => resource.conversion?.storage ?? resource

/** Decodes as the resource's own version and checks identity: what the client meant, without defaults. */
export const readExternal = (resource: Resource, request: ApiRequest, given: KubeObject, write: Write): Draft => {
  if (typeof given !== 'object' || given === null) throw badRequest('the request body must be an object')
  if (given.apiVersion && given.apiVersion !== resource.apiVersion)
    throw badRequest(
      `the API version in the data (${given.apiVersion}) does not match the expected API version (${resource.apiVersion})`,
    )
  if (given.kind && given.kind !== resource.kind)
    throw badRequest(
      `${given.kind} in version ${JSON.stringify(resource.version)} cannot be handled as a ${resource.kind}`,
    )
  const prefix = `${resource.kind} in version ${JSON.stringify(resource.version)} cannot be handled as a ${resource.kind}: `
  let decoded: ReturnType<typeof decodeAs>
  try {
    decoded = decodeAs(resource.schema, resource.kind, given, resource.custom)
  } catch (error) {
    throw isError(error, 'bad-request') ? badRequest(prefix + error.message) : error
  }
  if (decoded.unknown.length > 0 && request.fieldValidation !== 'Ignore') {
    const texts = decoded.unknown.map((path) => `unknown field ${JSON.stringify(path)}`)
    if (request.fieldValidation === 'Strict') throw badRequest(`${prefix}strict decoding error: ${texts.join(', ')}`)
    write.warnings.push(...texts)
  }
  const external = decoded.object as Draft
  external.apiVersion = resource.apiVersion
  external.kind = resource.kind
  external.metadata ??= {}
  return external
}

/** What a request's object means in the stored version, with defaults. */
export const readDraft = (resource: Resource, request: ApiRequest, given: KubeObject, write: Write): Draft => {
  const target = storageOf(resource)
  const external = readExternal(resource, request, given, write)
  const draft = resource.conversion ? resource.conversion.toStorage(external) : external
  draft.apiVersion = target.apiVersion
  draft.kind = target.kind
  if (resource.namespaced) {
    if (draft.metadata.namespace && request.namespace && draft.metadata.namespace !== request.namespace)
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
    draft.metadata.namespace = request.namespace ?? draft.metadata.namespace ?? 'default'
  } else delete draft.metadata.namespace
  target.strategy.defaults?.(draft)
  return draft
}

const bringName = (context: Context, resource: Resource, draft: Draft): void => {
  const meta = draft.metadata
  if (meta.name || !meta.generateName) return
  for (let attempt = 0; attempt < 8; attempt++) {
    meta.name = generatedName(meta.generateName, () => context.clock.random())
    if (!context.store.get(resource.id, meta.namespace ?? '', meta.name)) return
  }
  throw statusError(
    'already-exists',
    `${resource.id} "${meta.name}" already exists, the server was not able to generate a unique name for the object`,
    { details: { retryAfterSeconds: 1 } },
  )
}

export const createObject = (context: Context, resource: Resource, request: ApiRequest, write: Write): KubeObject => {
  const draft = readDraft(resource, request, request.object!, write)
  return insert(context, storageOf(resource), draft, write, request.name)
}

/** From a decoded draft on. */
export const insert = (
  context: Context,
  resource: Resource,
  draft: Draft,
  write: Write,
  urlName?: string,
): KubeObject => {
  const { strategy } = resource
  const meta = draft.metadata
  if (meta.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created')
  if (urlName && !meta.name) meta.name = urlName
  bringName(context, resource, draft)
  meta.uid = randomUUID()
  meta.creationTimestamp = timestamp(context.clock.now())
  for (const key of ['resourceVersion', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink', 'generation'])
    delete meta[key]
  // A kind's own status is always there, if only empty; a custom resource's comes with its controller.
  if (resource.hasStatus && !strategy.statusOnCreate) {
    if (resource.custom) delete draft.status
    else draft.status = {}
  }
  if (strategy.generation) meta.generation = 1
  // What admission and allocation add from here on is nobody's: an applier may leave it out without losing it.
  if (write.track) write.track(draft)
  else trackCreate(context, resource, draft, write)
  admitCreate(context, resource, draft, write)
  strategy.prepareCreate?.(draft, context, write)
  if (meta.name && context.store.get(resource.id, meta.namespace ?? '', meta.name))
    throw alreadyExists(resource, meta.name)
  const errors: FieldError[] = []
  validateMetadata(resource, draft, errors)
  strategy.validate?.(draft, errors)
  if (errors.length > 0) throw invalidObject(resource, meta.name ?? '', errors)
  checkCreate(context, resource, draft, write)
  if (write.dryRun) return draft
  const stored = context.store.create(resource.id, draft)
  strategy.committed?.(stored, undefined, context)
  return stored
}

const checkPreconditions = (resource: Resource, draft: Draft, current: KubeObject): void => {
  const { uid, resourceVersion } = draft.metadata
  const name = current.metadata.name!
  if (uid && uid !== current.metadata.uid)
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid}`,
    )
  if (resourceVersion && resourceVersion !== '0' && resourceVersion !== current.metadata.resourceVersion)
    throw modified(resource, name)
}

export const updateObject = (context: Context, resource: Resource, request: ApiRequest, write: Write): KubeObject => {
  const draft = readDraft(resource, request, request.object!, write)
  const name = request.name!
  if (!draft.metadata.name) draft.metadata.name = name
  if (draft.metadata.name !== name)
    throw badRequest(`the name of the object (${draft.metadata.name}) does not match the name on the URL (${name})`)
  const current = context.store.get(resource.id, draft.metadata.namespace ?? '', name)
  if (!current) {
    if (!resource.strategy.createOnUpdate || request.subresource) throw notFound(resource, name)
    delete draft.metadata.resourceVersion
    return insert(context, storageOf(resource), draft, write)
  }
  checkPreconditions(resource, draft, current)
  return replace(context, storageOf(resource), draft, current, write)
}

const unowned = [
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'generation',
  'selfLink',
  'namespace',
  'generateName',
]

/** What counts for metadata.generation: all but metadata and status. */
const desired = (object: Draft): Draft => ({ ...object, metadata: undefined, status: undefined })

/** Makes `draft` the new state of `current`: the shared end of update, patch and apply. Returns current when nothing changes. */
export const replace = (
  context: Context,
  resource: Resource,
  draft: Draft,
  current: KubeObject,
  write: Write,
): KubeObject => {
  const { strategy } = resource
  const old = current as Draft
  const meta = draft.metadata
  for (const key of unowned) {
    if (old.metadata[key] === undefined) delete meta[key]
    else meta[key] = old.metadata[key]
  }
  meta.resourceVersion = old.metadata.resourceVersion
  if (write.subresource === 'status') {
    for (const key of Object.keys(draft)) if (key !== 'status' && key !== 'metadata') delete draft[key]
    for (const key of Object.keys(old)) if (key !== 'status' && key !== 'metadata') draft[key] = cloneJson(old[key])
    draft.metadata = {
      ...cloneJson(old.metadata),
      managedFields: meta.managedFields ?? cloneJson(old.metadata.managedFields),
    }
    strategy.prepareStatus?.(draft, old, context, write)
  } else {
    if (resource.hasStatus) {
      if (old.status === undefined) delete draft.status
      else draft.status = cloneJson(old.status)
      if (write.withStatus) draft.status = write.withStatus
    }
    strategy.prepareUpdate?.(draft, old, context, write)
    admitUpdate(context, resource, draft, old, write)
  }
  if (strategy.generation && write.subresource !== 'status' && !equalJson(desired(draft), desired(old)))
    draft.metadata.generation = (old.metadata.generation ?? 0) + 1
  const errors: FieldError[] = []
  if (write.subresource !== 'status') {
    validateMetadata(resource, draft, errors)
    strategy.validate?.(draft, errors)
  }
  validateMetadataUpdate(resource, draft, old, errors)
  strategy.validateUpdate?.(draft, old, errors, write)
  if (errors.length > 0) throw invalidObject(resource, old.metadata.name!, errors)
  if (write.track) write.track(draft)
  else trackUpdate(context, resource, draft, old, write)
  if (equalJson(draft, old)) return current
  return commitUpdate(context, resource, draft, current, write)
}

/** Stores an update, or removes the object when it was only waiting for its last finalizer. */
const commitUpdate = (
  context: Context,
  resource: Resource,
  draft: Draft,
  current: KubeObject,
  write: Write,
): KubeObject => {
  if (write.dryRun) return draft
  const { store } = context
  const { metadata } = draft
  const done =
    metadata.deletionTimestamp &&
    !metadata.finalizers?.length &&
    !metadata.deletionGracePeriodSeconds &&
    !draft.spec?.finalizers?.length &&
    (current.metadata.finalizers?.length || (current as Draft).spec?.finalizers?.length)
  const stored = done
    ? store.delete(resource.id, metadata.namespace ?? '', metadata.name, draft)!
    : store.update(resource.id, draft)
  resource.strategy.committed?.(stored, current, context)
  return stored
}
