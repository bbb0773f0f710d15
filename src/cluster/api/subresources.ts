/** Subresources other than status. */
import { cloneJson } from '../../lib/json.ts'
import { timestamp } from '../../lib/timestamp.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { selectorText } from '../../spec/kube/label-selector.ts'
import { formatLabels } from '../../spec/kube/labels.ts'
import type { ApiRequest, ApiResponse } from '../types.ts'
import { badRequest, conflict, invalid, invalidObject, modified, noResource, notAllowed } from './errors.ts'
import { evict } from './eviction.ts'
import { applyPatchTo, patchObject } from './patch.ts'
import { getObject } from './read.ts'
import type { Context, Draft, Resource, Write } from './resource.ts'
import { requestToken } from './tokens.ts'
import { replace, updateObject } from './write.ts'

const answer = (object: KubeObject, write: Write, status: 200 | 201 = 200): ApiResponse => ({
  kind: 'object',
  status,
  object,
  warnings: write.warnings,
})
const succeeded = {
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  code: 201,
} as unknown as KubeObject

const at = (object: Draft, path: string): Draft => path.split('.').reduce((value: Draft, key) => value?.[key], object)

/** Where a resource keeps its scale; custom resources say so in their definition. */
interface ScalePaths {
  specReplicasPath: string
  statusReplicasPath: string
  labelSelectorPath?: string | undefined
}
const usual: ScalePaths = {
  specReplicasPath: '.spec.replicas',
  statusReplicasPath: '.status.replicas',
  labelSelectorPath: '.spec.selector',
}

const scaleOf = (object: Draft, paths: ScalePaths): KubeObject => {
  const selector = paths.labelSelectorPath ? at(object, paths.labelSelectorPath.slice(1)) : undefined
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata
  const text =
    typeof selector === 'string'
      ? selector
      : selector?.matchLabels || selector?.matchExpressions
        ? selectorText(selector)
        : formatLabels(selector)
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: at(object, paths.specReplicasPath.slice(1)) ?? 0 },
    status: { replicas: at(object, paths.statusReplicasPath.slice(1)) ?? 0, ...(text ? { selector: text } : {}) },
  }
}

const scale = (context: Context, resource: Resource, request: ApiRequest, write: Write): ApiResponse => {
  const paths = resource.scale ?? usual
  const current = getObject(context, resource, request.namespace ?? '', request.name!)
  if (request.verb === 'get') return answer(scaleOf(current, paths), write)
  const before = scaleOf(current, paths)
  const next = (request.verb === 'update' ? request.object : applyPatchTo(undefined, before, request.patch!)) as Draft
  const asked = next?.metadata?.resourceVersion
  if (asked && asked !== current.metadata.resourceVersion) throw modified(resource, request.name!)
  const replicas = next?.spec?.replicas ?? 0
  if (!Number.isInteger(replicas))
    throw badRequest('Scale in version "v1" cannot be handled as a Scale: spec.replicas must be an integer')
  if (replicas < 0)
    throw invalidObject({ group: 'autoscaling', resource: 'scales', kind: 'Scale' }, request.name!, [
      invalid('spec.replicas', replicas, 'must be greater than or equal to 0'),
    ])
  const draft = cloneJson(current) as Draft
  const keys = paths.specReplicasPath.slice(1).split('.')
  const holder = keys.slice(0, -1).reduce((value: Draft, key) => (value[key] ??= {}), draft)
  holder[keys.at(-1)!] = replicas
  const stored = replace(context, resource, draft, current, { ...write, subresource: 'scale' })
  return answer(scaleOf(stored, paths), write)
}

/** Assigns a pod to a node. */
const bind = (context: Context, resource: Resource, request: ApiRequest, write: Write): ApiResponse => {
  const name = request.name!
  const current = getObject(context, resource, request.namespace ?? '', name) as Draft
  const binding = request.object as Draft
  const target = binding?.target?.name
  if (!target)
    throw invalidObject({ group: '', resource: 'bindings', kind: 'Binding' }, name, [
      { path: 'target.name', reason: 'FieldValueRequired', message: 'Required value' },
    ])
  const of = { ...resource, resource: 'pods/binding' }
  if (current.metadata.deletionTimestamp)
    throw conflict(of, name, `pod ${name} is being deleted, cannot be assigned to a host`)
  if (current.spec.nodeName)
    throw conflict(of, name, `pod ${name} is already assigned to node ${JSON.stringify(current.spec.nodeName)}`)
  if (current.spec.schedulingGates?.length) throw conflict(of, name, `pod ${name} has non-empty .spec.schedulingGates`)
  const draft = cloneJson(current)
  draft.spec.nodeName = target
  draft.metadata.annotations = { ...draft.metadata.annotations, ...binding.metadata?.annotations }
  if (Object.keys(draft.metadata.annotations).length === 0) delete draft.metadata.annotations
  const conditions = (draft.status.conditions ?? []).filter((c: Draft) => c.type !== 'PodScheduled')
  conditions.push({ type: 'PodScheduled', status: 'True', lastTransitionTime: timestamp(context.clock.now()) })
  replace(context, resource, draft, current, {
    ...write,
    subresource: 'binding',
    withStatus: { ...draft.status, conditions },
  })
  return answer(succeeded, write, 201)
}

export const handleSubresource = (
  context: Context,
  resource: Resource,
  request: ApiRequest,
  write: Write,
): ApiResponse => {
  const subresource = resource.subresources.find((s) => s.name === request.subresource)!
  // Clients that can only POST to subresources finalize namespaces that way.
  const posted = request.subresource === 'finalize' && request.verb === 'create'
  if (!subresource.verbs.includes(request.verb) && !posted) throw notAllowed()
  if (request.verb !== 'get' && request.verb !== 'patch' && !request.object) throw badRequest('the request has no body')
  switch (request.subresource) {
    case 'scale':
      return scale(context, resource, request, write)
    case 'binding':
      return bind(context, resource, request, write)
    case 'eviction':
      evict(context, resource, request, write)
      return answer(succeeded, write, 201)
    case 'token':
      return answer(requestToken(context, request), write, 201)
    case 'finalize':
      return answer(updateObject(context, resource, request, write), write)
    case 'ephemeralcontainers': {
      if (request.verb === 'get')
        return answer(getObject(context, resource, request.namespace ?? '', request.name!), write)
      if (request.verb === 'update') return answer(updateObject(context, resource, request, write), write)
      return answer(patchObject(context, resource, request, write).object, write)
    }
    default:
      // log, exec, attach and port-forward are streams: the door asks for the pod and talks to the node.
      throw noResource()
  }
}
